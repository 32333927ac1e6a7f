//! Scripts, checked by the shell and by QEMU.

use crate::{VMX, adapted, kvm, options};
use machine::{Firmware, Machine, Uefi};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A directory with a script, and stand-ins for its disks.
pub fn laid_out(directory: &Path, machine: &Machine) -> PathBuf {
    std::fs::create_dir_all(directory).unwrap();
    let rendered = dialect::qemu_script::render(machine, kvm(), &options(machine, Path::new(""))).unwrap();
    for disk in &machine.disks {
        let image = directory.join(format!("{}.qcow2", disk.id));
        let status = Command::new("qemu-img")
            .args(["create", "-q", "-f", "qcow2"])
            .arg(image)
            .arg("1M")
            .status()
            .expect("qemu-img is needed (Debian: qemu-utils)");
        assert!(status.success());
    }
    let path = directory.join("run.sh");
    std::fs::write(&path, rendered.text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// That the shell can read it.
pub fn check_syntax(script: &Path) {
    let output = Command::new("sh").arg("-n").arg(script).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Runs the script with `program` for QEMU and more arguments, told on its standard input to quit.
pub fn run(script: &Path, program: &str, arguments: &[&str]) -> Output {
    let mut child = Command::new(script)
        .args(arguments)
        .env("QEMU", program)
        .env("ACCEL", "tcg")
        .env_remove("DISPLAY")
        .env_remove("WAYLAND_DISPLAY")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let _ =
        child.stdin.take().unwrap().write_all(b"{\"execute\":\"qmp_capabilities\"}{\"execute\":\"quit\"}");
    child.wait_with_output().unwrap()
}

/// A stand-in for QEMU that writes every argument on a line of its own, in brackets.
pub fn echo(directory: &Path) -> String {
    let path = directory.join("echo.sh");
    std::fs::write(&path, "#!/bin/sh\nfor argument; do printf '[%s]\\n' \"$argument\"; done\n").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path.to_str().unwrap().to_owned()
}

/// The machine without a TPM, whose emulator need not be installed.
fn without_tpm() -> Machine {
    Machine { tpm: None, ..adapted() }
}

/// Arguments with which QEMU starts no guest, and listens to standard input for the command to quit.
const IDLE: [&str; 5] = ["-S", "-chardev", "stdio,id=qmp", "-mon", "chardev=qmp,mode=control"];

/// QEMU has one standard input, and the script's serial port has it.
fn with_null_console(script: &Path) {
    let text = std::fs::read_to_string(script).unwrap();
    let changed = text.replace("stdio,id=console,mux=on,signal=off", "null,id=console,mux=on");
    assert_ne!(text, changed);
    std::fs::write(script, changed).unwrap();
}

#[test]
fn a_script_reads_well() {
    let directory = tempfile::tempdir().unwrap();
    let script = laid_out(directory.path(), &adapted());
    check_syntax(&script);
    insta::assert_snapshot!(std::fs::read_to_string(script).unwrap());
}

#[test]
fn qemu_takes_the_machine() {
    let uefi = |secure_boot| Firmware::Uefi(Uefi { secure_boot, nvram: None });
    for firmware in [Firmware::Bios, uefi(false), uefi(true)] {
        let directory = tempfile::tempdir().unwrap();
        let is_uefi = firmware != Firmware::Bios;
        // A comma in the directory's name must not end a value of QEMU's.
        let script = laid_out(&directory.path().join("it's, here"), &Machine { firmware, ..without_tpm() });
        check_syntax(&script);
        with_null_console(&script);
        let output = run(&script, "qemu-system-x86_64", &IDLE);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{error}\n{}", std::fs::read_to_string(&script).unwrap());
        assert!(String::from_utf8_lossy(&output.stdout).contains("\"return\": {}"), "{error}");
        let variables = script.parent().unwrap().join("Web-Mail-prod-vars.fd");
        assert_eq!(variables.exists(), is_uefi);
    }
}

#[test]
fn further_arguments_go_to_qemu() {
    let directory = tempfile::tempdir().unwrap();
    let machine = Machine { firmware: Firmware::Bios, ..without_tpm() };
    let script = laid_out(directory.path(), &machine);
    let output = run(&script, &echo(directory.path()), &["-snapshot", "two words"]);
    let lines = String::from_utf8(output.stdout).unwrap();
    for expected in [
        "[-snapshot]\n[two words]\n",
        "[-accel]\n[tcg]\n",
        "[-uuid]\n[276c4d56-ea96-0712-6f0b-b11d81469b0b]\n",
    ] {
        assert!(lines.contains(expected), "{expected} is not in {lines}");
    }
    let here = directory.path().to_str().unwrap();
    assert!(lines.contains(&format!("file.filename={here}/disk1.qcow2]")), "{lines}");
}

#[test]
fn losses_name_what_a_script_cannot_do() {
    let source = dialect::vmx::parse(VMX.as_bytes()).unwrap().machine;
    let machine = dialect::adapt(&source, kvm()).machine;
    let rendered = dialect::qemu_script::render(&machine, kvm(), &options(&machine, Path::new(""))).unwrap();
    let said: Vec<_> = rendered.losses.iter().map(ToString::to_string).collect();
    assert!(said.iter().any(|said| said.contains("nic1.network → QEMU's user network")), "{said:?}");
    assert!(said.iter().any(|said| said.contains("debian.iso")), "{said:?}");
}
