//! Builds the appliance's init: the agent once more, but static, small, and for the appliance's machine.
//!
//! An artifact dependency would say the same in one line, but Cargo has those only unstably.

#![expect(clippy::unwrap_used, reason = "a build script ends where something is missing")]

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "x86_64-unknown-linux-gnu";
const NAME: &str = "anyvisor-agent";

/// What the outer build, clippy or a test runner tell their own compiler does not concern the inner one.
const FOREIGN: &[&str] = &[
    "CARGO_BUILD_",
    "CARGO_CFG_",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_FEATURE_",
    "CARGO_MAKEFLAGS",
    "CARGO_MANIFEST_",
    "CARGO_PKG_",
    "CARGO_PRIMARY_PACKAGE",
    "CARGO_PROFILE_",
    "CARGO_TARGET_",
    "CLIPPY_",
    "LD_",
    "MAKEFLAGS",
    "MFLAGS",
    "NEXTEST",
    "PROFILE",
    "RUSTC",
    "RUSTDOC",
    "RUSTFLAGS",
    "TARGET",
];

fn main() {
    let workspace =
        Path::new(&env::var_os("CARGO_MANIFEST_DIR").unwrap()).ancestors().nth(2).unwrap().to_owned();
    for path in
        ["crates/agent/Cargo.toml", "crates/agent/src", "crates/fitrim/Cargo.toml", "crates/fitrim/src"]
    {
        println!("cargo::rerun-if-changed={}", workspace.join(path).display());
    }
    println!("cargo::rerun-if-changed=build.rs");
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap());
    let built = build(&workspace, &out.join("agent"));
    std::fs::copy(built, out.join(NAME)).unwrap();
}

/// Runs Cargo inside Cargo, in a target directory of its own: the outer build holds the lock of the shared one.
fn build(workspace: &Path, target_directory: &Path) -> PathBuf {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap());
    cargo
        .current_dir(workspace)
        .args(["build", "--locked", "--package", "agent", "--bin", NAME, "--profile", "appliance"])
        .args(["--target", TARGET, "--target-dir"])
        .arg(target_directory);
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(|name| FOREIGN.iter().any(|foreign| name.starts_with(foreign))) {
            cargo.env_remove(&name);
        }
    }
    cargo.env("RUSTFLAGS", "-C target-feature=+crt-static");
    let status = cargo.status().unwrap_or_else(|error| panic!("cannot run cargo for the agent: {error}"));
    assert!(status.success(), "the agent cannot be built ({status}); what cargo says of it stands above");
    target_directory.join(TARGET).join("appliance").join(NAME)
}
