//! `anyvisor disk serve`.

use super::args::Serve;
use super::source::Opened;
use crate::exit::Exit;
use crate::output::{print, print_json, size};
use crate::progress::say;
use anyhow::{Context as _, Result};
use block::{Overlay, OverlayOptions};
use nbd::{Export, Running, Server};
use serde::Serialize;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::path::Path;
use std::sync::Arc;

/// What is served where.
#[derive(Serialize)]
struct Serving<'a> {
    /// What a client connects to.
    uri: String,
    export: &'a str,
    /// The disk's size in bytes.
    virtual_size: u64,
    /// Whether clients can write.
    writable: bool,
}

/// Runs the command.
pub(super) fn run(args: &Serve) -> Result<Exit> {
    // From here on a signal is an orderly end, however early it comes.
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).context("cannot wait for signals")?;
    let opened = Opened::open(&args.image, &args.options)?;
    let virtual_size = opened.image.info().virtual_size;
    let disk = Arc::new(opened.image);
    let overlay =
        args.overlay.then(|| Arc::new(Overlay::new(disk.clone(), OverlayOptions::new(std::env::temp_dir()))));
    let export = match &overlay {
        Some(overlay) => Export::Writable(overlay.clone()),
        None => Export::ReadOnly(disk),
    };
    let running = listen(Server::new().export(&args.export, export), args)?;
    let serving = Serving {
        uri: uri(&running, &args.export),
        export: &args.export,
        virtual_size,
        writable: args.overlay,
    };
    match args.json {
        true => print_json(&serving)?,
        false => print(&format!("{}\n", serving.uri))?,
    }
    say("serving until Ctrl-C or SIGTERM");
    signals.forever().next();
    let failed = running.first_error(&args.export);
    drop(running);
    if let Some(error) = failed {
        say(&format!("the disk could not be read at least once: {error}"));
    }
    if let Some(overlay) = overlay {
        say(&format!("{} of changes are thrown away", size(overlay.changed_bytes())));
    }
    Ok(Exit::Done)
}

fn listen(server: Server, args: &Serve) -> Result<Running> {
    Ok(match (&args.socket, args.port) {
        (Some(socket), _) => server.listen(std::path::absolute(socket)?)?,
        (None, port) => server.listen_on_loopback(port.unwrap_or(0))?,
    })
}

/// The NBD URI of an export (NBD project, `doc/uri.md`).
fn uri(running: &Running, export: &str) -> String {
    match running.address() {
        Some(address) => format!("nbd://{address}/{}", escaped(export.as_bytes())),
        None => format!("nbd+unix:///{}?socket={}", escaped(export.as_bytes()), path(running.path())),
    }
}

fn path(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt as _;
    escaped(path.as_os_str().as_bytes())
}

/// Bytes with everything escaped that means something in a URI (RFC 3986, section 2).
fn escaped(bytes: &[u8]) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    let character =
        |byte: &u8| if plain(*byte) { char::from(*byte).to_string() } else { format!("%{byte:02X}") };
    bytes.iter().map(character).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_something_in_a_uri_is_escaped() {
        assert_eq!(escaped(b"/run/a b&c=d"), "/run/a%20b%26c%3Dd");
        assert_eq!(escaped("é".as_bytes()), "%C3%A9");
    }
}
