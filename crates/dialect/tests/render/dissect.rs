//! What is written for VMware and VirtualBox, read by `dissect.hypervisor`: it finds the disks that were written.

use crate::VMX;
use dialect::{DiskFile, RenderOptions, by_name};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Prints the disks of a description, a line each, in order.
const READER: &str = "
import io, sys
from dissect.hypervisor.descriptor import ovf, vbox, vmx
text = open(sys.argv[2], encoding='utf-8').read()
readers = {
    'vmx': lambda: vmx.VMX.parse(text).disks(),
    'ovf': lambda: ovf.OVF(io.StringIO(text)).disks(),
    'vbox': lambda: [disk.location for disk in vbox.VBox(io.BytesIO(text.encode())).hardware.disks],
}
print('\\n'.join(sorted(readers[sys.argv[1]]())))
";

/// The Python into which `./dev test` installs what Debian does not package.
fn python() -> PathBuf {
    let of = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = of("XDG_CACHE_HOME").or_else(|| of("HOME").map(|home| home.join(".cache"))).unwrap();
    cache.join("anyvisor/readers/bin/python3")
}

fn read(dialect: &str, description: &Path) -> Vec<String> {
    let python = python();
    let output = Command::new(&python).args(["-c", READER, dialect]).arg(description).output();
    let output = output.unwrap_or_else(|error| {
        panic!("{} cannot be run ({error}): ./dev test makes it, with dissect.hypervisor", python.display())
    });
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn the_disks_are_found_by_another_reader() {
    let directory = tempfile::tempdir().unwrap();
    let machine = dialect::vmx::parse(VMX.as_bytes()).unwrap().machine;
    for (target, name, format) in [
        ("esxi", "vmx", "vmdk"),
        ("workstation", "vmx", "vmdk"),
        ("esxi", "ovf", "vmdk"),
        ("virtualbox", "ovf", "vmdk"),
        ("virtualbox", "vbox", "vdi"),
    ] {
        let profile = profile::find(target).unwrap();
        let machine = dialect::adapt(&machine, profile).machine;
        let file = |index: usize| format!("web & <data> {index}.{format}");
        let disks = machine.disks.iter().enumerate().map(|(index, disk)| DiskFile {
            id: disk.id.clone(),
            path: PathBuf::from(file(index)),
            format: format.to_owned(),
            capacity: 1 << 30,
            ..DiskFile::default()
        });
        let options = RenderOptions { disks: disks.collect(), ..RenderOptions::default() };
        let rendered = by_name(name).unwrap().render.unwrap()(&machine, profile, &options).unwrap();
        let path = directory.path().join(format!("{target}.{name}"));
        std::fs::write(&path, rendered.text).unwrap();
        let written: Vec<String> = (0..machine.disks.len()).map(file).collect();
        assert_eq!(written.len(), 3);
        assert_eq!(read(name, &path), written, "{name} for {target}");
    }
}
