//! Where a serial port leads: QEMU's character devices, as `serial` names them.

use crate::text::excerpt;
use machine::{Loss, SerialTarget};

/// The other end of a port; none for `none`.
pub(super) fn target(text: &str, what: &str, losses: &mut Vec<Loss>) -> Option<SerialTarget> {
    let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
    Some(match kind {
        "none" => return None,
        "pty" => SerialTarget::Console,
        "file" => SerialTarget::File(rest.to_owned()),
        "pipe" => SerialTarget::Pipe(rest.to_owned()),
        "unix" => SerialTarget::Pipe(rest.split(',').next().unwrap_or(rest).to_owned()),
        "tcp" | "telnet" | "udp" => {
            let address = rest.split(',').next().unwrap_or(rest);
            SerialTarget::Network(format!("{kind}://{address}"))
        }
        path if path.starts_with("/dev/") => SerialTarget::Device(text.to_owned()),
        _ => {
            let why = format!("{:?} is nothing that a serial port leads to elsewhere", excerpt(text, 40));
            losses.push(Loss::changed(what, "a console", why));
            SerialTarget::Console
        }
    })
}
