//! The script that imports a machine into Proxmox, run with programs that only say what they are asked to do.

use crate::{VMX, hostile_names};
use dialect::{DiskFile, Network, RenderOptions};
use machine::{Firmware, Machine};
use profile::Profile;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

fn proxmox() -> &'static Profile {
    profile::find("proxmox").unwrap()
}

fn adapted() -> Machine {
    let source = dialect::vmx::parse(VMX.as_bytes()).unwrap().machine;
    let adapted = dialect::adapt(&source, proxmox());
    assert_eq!(adapted.objections, []);
    adapted.machine
}

/// Disks beside the script, and a bridge that every host has: the script looks whether there is one.
fn options(machine: &Machine) -> RenderOptions {
    let disks = machine.disks.iter().map(|disk| DiskFile {
        id: disk.id.clone(),
        path: format!("{}.qcow2", disk.id).into(),
        format: "qcow2".to_owned(),
        capacity: 1 << 30,
        ..DiskFile::default()
    });
    let default_network = Some(Network::Bridge("lo".to_owned()));
    RenderOptions { disks: disks.collect(), default_network, ..RenderOptions::default() }
}

/// Programs of a Proxmox host: `qm` says each argument in brackets, and knows no machine but 900.
fn host(directory: &Path) {
    let programs = [
        (
            "qm",
            "[ \"$1\" != status ] || [ \"$2\" = 900 ] || exit 1\n[ \"${3:-}${4:-}\" != \"${FAIL:-none}\" ] || exit 7\nprintf '[%s]' \"$@\"; echo",
        ),
        ("pct", "exit 1"),
        ("pvesh", "echo 123"),
        ("pvesm", "[ \"$3\" = local ]"),
    ];
    for (name, text) in programs {
        let path = directory.join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// Runs the script in a directory of its own, beside its disks.
fn run(text: &str, machine: &Machine, arguments: &[&str], fail: &str) -> (tempfile::TempDir, Output) {
    let directory = tempfile::tempdir().unwrap();
    let (programs, inner) = (directory.path().join("bin"), directory.path().join("a b"));
    std::fs::create_dir(&programs).unwrap();
    std::fs::create_dir(&inner).unwrap();
    host(&programs);
    for disk in &machine.disks {
        std::fs::write(inner.join(format!("{}.qcow2", disk.id)), "").unwrap();
    }
    std::fs::write(inner.join("import.sh"), text).unwrap();
    let path = format!("{}:/usr/bin:/bin", programs.display());
    let output = Command::new("sh")
        .arg(inner.join("import.sh"))
        .args(arguments)
        .env("PATH", path)
        .env("FAIL", fail)
        .current_dir(&inner)
        .output()
        .unwrap();
    assert_eq!(std::fs::read_dir(&inner).unwrap().count(), machine.disks.len() + 1, "a file was made");
    (directory, output)
}

fn script(machine: &Machine) -> String {
    dialect::proxmox::import::render(machine, proxmox(), &options(machine)).unwrap().text
}

#[test]
fn the_machine_is_created_and_its_disks_are_imported() {
    let machine = adapted();
    let text = script(&machine);
    insta::assert_snapshot!(text);
    let (directory, output) = run(&text, &machine, &["local"], "");
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let here = directory.path().join("a b").display().to_string();
    for expected in [
        "[create][123][--description][first\nsecond][--name][Web-Mail-prod]",
        "[--bios][ovmf]",
        &format!("[set][123][--scsi0][local:0,import-from={here}/disk1.qcow2]\n"),
        "[set][123][--efidisk0][local:1,efitype=4m,pre-enrolled-keys=1]\n",
        "[set][123][--tpmstate0][local:1,version=v2.0]\n",
        "[set][123][--boot][order=scsi0;scsi1;",
    ] {
        assert!(said.contains(expected), "{expected} is not in {said}");
    }
}

#[test]
fn what_is_missing_or_taken_is_said_before_anything_is_made() {
    let machine = adapted();
    let text = script(&machine);
    for (arguments, expected) in [
        (&[][..], "usage:"),
        (&["nowhere"][..], "there is no storage nowhere"),
        (&["local", "900"][..], "there is a machine or a container with the number 900 already"),
        (&["local", "1;reboot"][..], "is no number of a machine"),
    ] {
        let (_directory, output) = run(&text, &machine, arguments, "");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(expected), "{said}");
        assert!(!String::from_utf8_lossy(&output.stdout).contains("[create]"));
    }
    let text = text.replace("disk2.qcow2", "disk9.qcow2");
    let (_directory, output) = run(&text, &machine, &["local"], "");
    assert!(String::from_utf8_lossy(&output.stderr).contains("disk9.qcow2, or it cannot be read"));
}

#[test]
fn only_what_was_begun_is_removed() {
    let machine = adapted();
    let text = script(&machine);
    // The second disk cannot be imported.
    let failing = text.replace("qm set \"$vmid\" --scsi1 ", "qm set \"$vmid\" --scsi1 x #");
    let (_directory, output) = run(&failing, &machine, &["local"], "--scsi1x");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!output.status.success() && said.contains("[destroy][123]"), "{said}");
    // A machine that could not be created is not removed.
    let text = text.replace("qm create \"$vmid\"", "qm create \"$vmid\" x y");
    let (_directory, output) = run(&text, &machine, &["local"], "xy");
    assert!(!output.status.success());
    assert!(!String::from_utf8_lossy(&output.stdout).contains("[destroy]"));
}

#[test]
fn hostile_names_run_nothing() {
    for name in hostile_names() {
        let mut machine = Machine { name: name.clone(), firmware: Firmware::Bios, tpm: None, ..adapted() };
        machine.notes = Some(name.clone());
        machine.smbios.serial = Some(name.clone());
        for nic in &mut machine.nics {
            nic.network = Some(name.clone());
        }
        for disk in &mut machine.disks {
            disk.serial = Some(name.clone());
        }
        let (directory, output) = run(&script(&machine), &machine, &["local"], "");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{name:?}: {}", String::from_utf8_lossy(&output.stderr));
        if !name.contains('\0') && !name.is_empty() {
            assert!(said.contains(&format!("[--description][{name}]")), "{name:?}: {said}");
        }
        assert!(!directory.path().join("a b/PWNED").exists());
        // The configuration has one setting a line, none of which the name wrote.
        let rendered = dialect::proxmox::render(&machine, proxmox(), &options(&machine)).unwrap();
        let keys = |text: &str| -> Vec<String> {
            let lines = text.lines().filter(|line| !line.starts_with('#'));
            lines.map(|line| line.split(": ").next().unwrap().to_owned()).collect()
        };
        machine.name = "plain".to_owned();
        let plain = dialect::proxmox::render(&machine, proxmox(), &options(&machine)).unwrap();
        let (mut got, mut expected) = (keys(&rendered.text), keys(&plain.text));
        got.retain(|key| key != "name");
        expected.retain(|key| key != "name");
        assert_eq!(got, expected, "{name:?}");
    }
}
