//! The developer's script `./dev`: it parses, and its help names every command that it has.

#![expect(clippy::unwrap_used, reason = "a test ends where something is missing")]

use std::path::{Path, PathBuf};
use std::process::Command;

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().join("dev")
}

#[test]
fn it_is_correct_bash() {
    let status = Command::new("bash").arg("-n").arg(script()).status().unwrap();
    assert!(status.success());
}

#[test]
fn help_names_every_command() {
    let output = Command::new(script()).arg("help").output().unwrap();
    assert!(output.status.success());
    let help = String::from_utf8(output.stdout).unwrap();
    for name in ["quickstart", "build", "test", "lint", "bench", "certify", "fuzz", "help"] {
        assert!(help.contains(&format!("./dev {name}")), "{name} is missing in:\n{help}");
    }
}

#[test]
fn an_unknown_command_is_a_usage_error() {
    let output = Command::new(script()).arg("frobnicate").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("frobnicate"));
}
