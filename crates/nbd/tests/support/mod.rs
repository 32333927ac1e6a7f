//! What the tests share: a running server in a directory of its own, and foreign programs.

#![allow(dead_code, reason = "each test program uses a part")]

use nbd::{Running, Server};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// Serves on a socket in a new directory, which goes last.
pub(crate) fn serve(server: Server) -> (TempDir, Running) {
    let directory = tempfile::tempdir().unwrap();
    let running = server.listen(directory.path().join("nbd.sock")).unwrap();
    (directory, running)
}

/// How the foreign programs name an export.
pub(crate) fn uri(running: &Running, export: &str) -> String {
    format!("nbd+unix:///{export}?socket={}", running.path().display())
}

/// Runs a foreign program to its end and returns what it printed.
pub(crate) fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{program} cannot be run; `./dev test` installs it: {error}"));
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A foreign program in the background, which ends with the test.
pub(crate) struct Background(Child);

impl Background {
    /// Starts a server, and waits until it listens on `socket`.
    pub(crate) fn listening(program: &str, arguments: &[&str], socket: &Path) -> Self {
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{program} cannot be run; `./dev test` installs it: {error}"));
        let mut background = Self(child);
        while std::os::unix::net::UnixStream::connect(socket).is_err() {
            if let Some(status) = background.0.try_wait().unwrap() {
                panic!("{program} {arguments:?} ended before it listened: {status}");
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        background
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}
