//! QEMU ends with the process that started it, however that ends.

use qemu::{Accelerator, Binary, Process, Vm};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const CHILD: &str = "QEMU_TEST_CHILD";

/// Not a test: what the test below runs in a process of its own, and kills.
#[test]
fn child() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let binary = Binary::find().expect("apt install qemu-system-x86");
    let mut vm = Vm::new("pc", Accelerator::Tcg);
    vm.memory_mib = 32;
    let process = Process::start(&binary, &vm).expect("QEMU starts");
    println!("\nqemu {}", process.id());
    std::thread::sleep(Duration::from_secs(60));
}

#[test]
fn no_qemu_is_left_when_its_owner_is_killed() {
    let mut owner = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(CHILD, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(owner.stdout.take().unwrap()).lines();
    let id = lines.map_while(Result::ok).find_map(|line| Some(line.strip_prefix("qemu ")?.to_string()));
    let process = format!("/proc/{}", id.expect("the child tells QEMU's process id"));
    assert!(Path::new(&process).exists());
    owner.kill().unwrap();
    owner.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while is_running(&process) {
        assert!(Instant::now() < deadline, "QEMU outlives its owner");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// An orphan that nobody has reaped yet is not running.
fn is_running(process: &str) -> bool {
    let status = std::fs::read_to_string(format!("{process}/status")).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:") && !line.contains('Z'))
}
