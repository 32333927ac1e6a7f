//! The upload script, run by the shell with a stand-in for OpenStack's client.

use crate::{VMX, options};
use dialect::render::Network;
use machine::Machine;
use profile::Profile;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The target.
pub fn profile() -> &'static Profile {
    profile::find("openstack").unwrap()
}

/// A stand-in for the client: it notes every argument in brackets, a call a line, and answers with what was asked for.
pub fn client(directory: &Path) -> PathBuf {
    let path = directory.join("openstack");
    let script = format!(
        "#!/bin/sh\nfor argument; do printf '[%s]' \"$argument\"; done >>'{log}'; echo >>'{log}'\n\
         case \"$1 $2\" in 'volume show') echo available ;; *) echo \"$1-$(wc -l <'{log}')\" ;; esac\n",
        log = directory.join("calls").display()
    );
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// Runs a script with that client; gives back what it said and what the client was asked.
pub fn run(directory: &Path, script: &str, create: bool) -> (Output, String) {
    let path = directory.join("upload.sh");
    std::fs::write(&path, script).unwrap();
    let output = Command::new("sh")
        .arg(&path)
        .current_dir(directory)
        .env("OPENSTACK", client(directory))
        .env("NETWORK", "net 1")
        .env("FLAVOR", "m1.large")
        .env("CREATE", if create { "yes" } else { "no" })
        .output()
        .unwrap();
    (output, std::fs::read_to_string(directory.join("calls")).unwrap_or_default())
}

fn machine() -> Machine {
    let parsed = dialect::vmx::parse(VMX.as_bytes()).unwrap();
    dialect::adapt(&parsed.machine, profile()).machine
}

#[test]
fn everything_is_uploaded_and_the_server_is_created() {
    let directory = tempfile::tempdir().unwrap();
    let machine = machine();
    let mut options = options(&machine, Path::new(""));
    options.networks.insert("DMZ".to_owned(), Network::Managed("dmz net".to_owned()));
    let script = dialect::openstack::render_upload(&machine, profile(), &options).unwrap().text;
    let (output, calls) = run(directory.path(), &script, true);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines: Vec<&str> = calls.lines().collect();
    let starts = |what: &str| lines.iter().filter(|line| line.starts_with(what)).count();
    let disks = machine.disks.len();
    assert_eq!(
        (starts("[image][create]"), starts("[volume][create]"), starts("[volume][show]")),
        (disks, disks, disks)
    );
    assert_eq!((starts("[port][create]"), starts("[server][create]")), (2, 1));
    let here = directory.path().display();
    for expected in [
        format!("[--file][{here}/disk1.qcow2][-f][value][-c][id][--][Web & <Mail> (prod)-disk1]"),
        "[--property][hw_firmware_type=uefi]".to_owned(),
        "[--property][os_secure_boot=required]".to_owned(),
        "[--property][os_distro=debian][--property][os_secure_boot=required][--property][os_type=linux]"
            .to_owned(),
        "[--property][os_version=12]".to_owned(),
        "[--network=dmz net][--mac-address][00:50:56:01:02:03][--enable]".to_owned(),
        "[--network=net 1]".to_owned(),
        "[server][create][--flavor][m1.large][--wait][--block-device][uuid=volume-2,".to_owned(),
        "disk_bus=scsi,boot_index=0]".to_owned(),
        "[--description=first second][--][Web & <Mail> (prod)]".to_owned(),
    ] {
        assert!(calls.contains(&expected), "{expected} is not in\n{calls}");
    }
}

#[test]
fn the_servers_command_is_printed_so_that_the_shell_reads_it_back() {
    let directory = tempfile::tempdir().unwrap();
    let machine = Machine { name: "it's $(touch PWNED)".to_owned(), ..machine() };
    let script = dialect::openstack::render_upload(&machine, profile(), &options(&machine, Path::new("")))
        .unwrap()
        .text;
    let (output, before) = run(directory.path(), &script, false);
    assert!(!before.contains("[server]"));
    let printed = String::from_utf8(output.stdout).unwrap();
    let status =
        Command::new("sh").args(["-c", &printed]).current_dir(directory.path()).output().unwrap().status;
    assert!(status.success(), "{printed}");
    let calls = std::fs::read_to_string(directory.path().join("calls")).unwrap();
    assert!(calls.lines().last().unwrap().ends_with("[--][it's $(touch PWNED)]"), "{calls}");
    assert!(!directory.path().join("PWNED").exists());
}
