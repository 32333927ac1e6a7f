//! `disk serve`, by libnbd's tools and QEMU's.

use super::support::{run, text};
use super::{argument, fails, sample};
use serde_json::Value;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use tempfile::TempDir;

/// A server in the background, which ends with the test.
struct Server {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Server {
    fn start(image: &Path, arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_anyvisor"))
            .args(["disk", "serve", argument(image)])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, output }
    }

    /// The next line that it prints, without its end.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Ends it by a signal; answers with its exit code.
    fn end(mut self, signal: &str) -> Option<i32> {
        run("kill", &["-s", signal, &self.child.id().to_string()]);
        self.child.wait().unwrap().code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has ended where the test went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_port_of_the_loopback_address_for_reading() {
    let directory = TempDir::new().unwrap();
    let source = sample(directory.path());
    let image = directory.path().join("disk.vmdk");
    super::done(&["convert", argument(&source), argument(&image), "--subformat", "streamOptimized"]);
    let mut server = Server::start(&image, &["--port", "0", "--export", "web disk"]);
    let uri = server.line();
    assert!(uri.starts_with("nbd://127.0.0.1:") && uri.ends_with("/web%20disk"), "{uri}");
    let copy = directory.path().join("copy.img");
    run("nbdcopy", &[&uri, text(&copy)]);
    assert!(fs::read(&copy).unwrap() == fs::read(&source).unwrap());
    let info: Value = serde_json::from_slice(&run("nbdinfo", &["--json", &uri]).stdout).unwrap();
    assert_eq!(info["exports"][0]["is_read_only"], true);
    assert_eq!(server.end("TERM"), Some(0));
}

#[test]
fn a_socket_with_an_overlay_that_is_thrown_away() {
    let directory = TempDir::new().unwrap();
    let image = sample(directory.path());
    let before = fs::read(&image).unwrap();
    let socket = directory.path().join("disk.sock");
    let mut server = Server::start(&image, &["--socket", argument(&socket), "--overlay", "--json"]);
    let lines: Vec<String> = std::iter::from_fn(|| Some(server.line())).take(6).collect();
    let document: Value = serde_json::from_str(&lines.concat()).unwrap();
    assert_eq!((&document["writable"], &document["virtual_size"]), (&true.into(), &(9 << 20).into()));
    let uri = document["uri"].as_str().unwrap();
    let output = run("qemu-io", &["-f", "raw", "-c", "write -P 5 1M 1M", "-c", "read -P 5 1M 1M", uri]);
    assert!(!String::from_utf8_lossy(&output.stdout).contains("failed"));
    fails(&["serve", argument(&image), "--socket", argument(&socket)], 1, &["disk.sock"]);
    assert_eq!(server.end("INT"), Some(0));
    assert!(!socket.exists());
    assert!(fs::read(&image).unwrap() == before);
}

#[test]
fn a_place_to_serve_on_has_to_be_named() {
    let directory = TempDir::new().unwrap();
    let image = sample(directory.path());
    fails(&["serve", argument(&image)], 2, &["--socket", "--port"]);
    fails(&["serve", argument(&image), "--socket", "x", "--port", "0"], 2, &["--port"]);
}
