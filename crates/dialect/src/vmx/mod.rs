//! VMware's `.vmx`: a dictionary of `key = "value"` lines.
//!
//! There is no published specification. What is here follows the files of ESX 3 to ESXi 8, Workstation, Fusion and
//! GSX Server, and VMware's knowledge base where it says something. Keys are matched without regard to case, as
//! VMware does. A key that nothing here reads is kept as a [`Property`](machine::Property).

pub(crate) mod boot;
mod dictionary;
mod drives;
mod error;
mod lexer;
pub(crate) mod numbering;
mod ports;
mod render;
mod system;

pub use error::{Error, Result};
pub use lexer::{Document, Entry, Line};
pub use render::render;
pub(crate) use render::uuid_text;

use crate::Parsed;
use crate::dialects::{Dialect, Head, ParseError};
use dictionary::Dictionary;
use machine::{Loss, Machine, Severity};
pub(crate) use system::{guest_uuid, parse_uuid};

/// The longest file that is read, in bytes: VMware's own are a few kilobytes.
pub const MAX_SIZE: usize = 16 << 20;

/// The dialect.
pub static DIALECT: Dialect = Dialect {
    name: "vmx",
    description: "a VMware configuration (.vmx)",
    ending: "vmx",
    executable: false,
    recognise,
    parse: Some(|bytes| parse(bytes).map_err(ParseError::from)),
    render: Some(render),
};

impl From<Error> for ParseError {
    fn from(error: Error) -> Self {
        let remedy = error.remedy();
        Self::new(error, remedy)
    }
}

/// Whether a line sets what every `.vmx` says.
fn recognise(head: &Head<'_>) -> bool {
    head.text.lines().any(|line| {
        let key = line.split('=').next().unwrap_or_default().trim();
        ["config.version", "virtualHW.version", "guestOS"].iter().any(|known| key.eq_ignore_ascii_case(known))
    })
}

/// Reads a `.vmx` file.
///
/// # Errors
/// When the bytes are no such file, when the machine is encrypted, or when a value that the machine depends on
/// (processors, memory) is not what it should be.
pub fn parse(bytes: &[u8]) -> Result<Parsed> {
    let document = Document::parse(bytes)?;
    let mut losses = Vec::new();
    if document.is_damaged() {
        losses.push(Loss::changed(
            ".encoding",
            "U+FFFD",
            format!("some bytes are not of the encoding {}", document.encoding()),
        ));
    }
    let mut dictionary = Dictionary::new(&document, &mut losses);
    if dictionary.contains("encryption.keysafe") || dictionary.contains("encryption.data") {
        return Err(Error::Encrypted);
    }
    let mut machine = Machine::default();
    system::read(&mut dictionary, &mut machine, &mut losses)?;
    drives::read(&mut dictionary, &mut machine, &mut losses);
    ports::read(&mut dictionary, &mut machine, &mut losses);
    boot::read(&mut dictionary, &mut machine, &mut losses);
    report_unsupported(&mut dictionary, &mut losses);
    machine.properties = dictionary.into_properties(&mut losses);
    Ok(Parsed { machine, losses })
}

/// Devices that have no place in a [`Machine`], by the key that switches them on.
const UNSUPPORTED: [(&str, Severity, &str); 7] = [
    ("sound.present", Severity::Change, "sound cards are not carried over"),
    ("parallel0.present", Severity::Warning, "parallel ports are not carried over"),
    ("parallel1.present", Severity::Warning, "parallel ports are not carried over"),
    ("parallel2.present", Severity::Warning, "parallel ports are not carried over"),
    (
        "sharedfolder0.present",
        Severity::Warning,
        "shared folders are VMware's own: share them over the network",
    ),
    (
        "pcipassthru0.present",
        Severity::Warning,
        "a device of the source's host does not move with the machine",
    ),
    ("mks.enable3d", Severity::Change, "3D acceleration is not carried over"),
];

fn report_unsupported(dictionary: &mut Dictionary, losses: &mut Vec<Loss>) {
    for (key, severity, why) in UNSUPPORTED {
        if dictionary.flag(key) == Some(true) {
            let what = key.strip_suffix(".present").unwrap_or(key);
            losses.push(Loss::dropped(severity, what, why));
        }
    }
    let reservations =
        ["sched.cpu.min", "sched.cpu.max", "sched.cpu.affinity", "sched.mem.min", "sched.mem.max"];
    for key in reservations {
        let Some(value) = dictionary.peek(key) else { continue };
        if !matches!(value.to_ascii_lowercase().as_str(), "" | "0" | "all" | "unlimited" | "-1") {
            let why = "the share of the host's resources is set anew on the target";
            losses.push(Loss::dropped(Severity::Note, key, why));
        }
    }
}
