//! The machine in every form that can be read.

use crate::guest::{Content, machine};
use dialect::{DiskFile, RenderOptions};
use machine::Machine;
use std::fs;
use std::path::{Path, PathBuf};

/// A form of the machine.
pub(crate) struct Form {
    /// The dialect or package, as `anyvisor sources` lists it.
    pub(crate) name: &'static str,
    /// Makes it in an empty directory; answers with what the user names.
    pub(crate) make: fn(&Path, &Content) -> PathBuf,
    /// Whether it says more than what is on the disks.
    pub(crate) describes: bool,
}

/// Every form. A test holds it to what there is.
pub(crate) static FORMS: &[Form] = &[
    Form {
        name: "vmx",
        make: |at, content| described(at, content, "vmx", "esxi", ("vmdk", None, true)),
        describes: true,
    },
    Form {
        name: "ovf",
        make: |at, content| described(at, content, "ovf", "esxi", ("vmdk", Some("streamOptimized"), false)),
        describes: true,
    },
    Form { name: "ova", make: |at, content| converted(at, content, "esxi", Some("ova")), describes: true },
    Form {
        name: "libvirt",
        make: |at, content| described(at, content, "libvirt", "kvm", ("qcow2", None, true)),
        describes: true,
    },
    Form {
        name: "hyperv-json",
        make: |at, content| described(at, content, "hyperv-json", "hyperv", ("vhdx", None, true)),
        describes: true,
    },
    Form {
        name: "xl",
        make: |at, content| described(at, content, "xl", "xen", ("vhd", None, true)),
        describes: true,
    },
    Form {
        name: "proxmox",
        make: |at, content| described(at, content, "proxmox", "proxmox", ("qcow2", None, true)),
        describes: true,
    },
    Form {
        name: "vbox",
        make: |at, content| described(at, content, "vbox", "virtualbox", ("vdi", None, false)),
        describes: true,
    },
    Form {
        name: "disk",
        make: |at, content| content.write(at, "qcow2", None, true)[0].clone(),
        describes: false,
    },
];

/// The machine described in a dialect on a hypervisor's hardware, beside its disks.
fn described(
    directory: &Path,
    content: &Content,
    name: &str,
    profile: &str,
    (format, subformat, chained): (&str, Option<&str>, bool),
) -> PathBuf {
    let disks = content.write(directory, format, subformat, chained);
    let profile = profile::find(profile).unwrap();
    let machine = on(profile);
    let files = machine.disks.iter().zip(disks).map(|(disk, path)| DiskFile {
        id: disk.id.clone(),
        path: path.file_name().unwrap().into(),
        format: format.to_owned(),
        subformat: subformat.map(str::to_owned),
        capacity: disk.capacity.unwrap(),
        file_size: Some(fs::metadata(&path).unwrap().len()),
        ..DiskFile::default()
    });
    let options = RenderOptions {
        directory: Some(directory.to_path_buf()),
        disks: files.collect(),
        ..RenderOptions::default()
    };
    let dialect = dialect::by_name(name).unwrap();
    let rendered = dialect.render.unwrap()(&machine, profile, &options).unwrap();
    let path = directory.join(dialect.file_name("web"));
    fs::write(&path, rendered.text).unwrap();
    path
}

/// The machine on a hypervisor's hardware.
fn on(profile: &profile::Profile) -> Machine {
    let adapted = dialect::adapt(&machine(), profile);
    assert_eq!(adapted.objections, []);
    adapted.machine
}

/// What a conversion to a hypervisor makes of the machine.
fn converted(directory: &Path, content: &Content, target: &str, packing: Option<&str>) -> PathBuf {
    let from = directory.join("from");
    fs::create_dir(&from).unwrap();
    let source = described(&from, content, "vmx", "esxi", ("vmdk", None, true));
    let manifest =
        crate::convert(&source, &directory.join("to"), profile::find(target).unwrap(), packing).unwrap();
    directory.join("to").join(manifest.plan.files().first().unwrap())
}
