//! [`Facts`] as JSON: what the script of the dialect `hyperv-powershell` does, as data for other programs.

use super::error::Error;
use super::facts::{FORMAT, Facts, VERSION};
use super::plan;
use crate::dialects::{Dialect, Head};
use crate::{Parsed, RenderError, RenderOptions, Rendered};
use machine::Machine;
use profile::Profile;

/// The longest file that is read, in bytes.
pub const MAX_SIZE: usize = 16 << 20;

/// The dialect.
pub static DIALECT: Dialect = Dialect {
    name: "hyperv-json",
    description: "a Hyper-V machine as JSON",
    ending: "json",
    executable: false,
    recognise,
    parse: Some(|bytes| Ok(parse(bytes)?)),
    render: Some(render),
};

fn recognise(head: &Head<'_>) -> bool {
    let start: String = head.text.chars().filter(|c| !c.is_whitespace()).take(64).collect();
    start.trim_start_matches('\u{feff}').starts_with(&format!("{{\"Format\":\"{FORMAT}\""))
}

/// Reads what [`render`] writes. Nothing is lost: the schema says nothing that a machine cannot hold.
///
/// # Errors
/// When the text is not JSON of the schema, in the version that is known.
pub fn parse(bytes: &[u8]) -> Result<Parsed, Error> {
    if bytes.len() > MAX_SIZE {
        return Err(Error::TooLarge { size: bytes.len(), limit: MAX_SIZE });
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let facts: Facts = serde_json::from_slice(bytes).map_err(|source| Error::Json {
        line: source.line(),
        column: source.column(),
        source,
    })?;
    if facts.version != VERSION {
        return Err(Error::Version { version: facts.version, known: VERSION });
    }
    facts.check()?;
    Ok(Parsed { machine: facts.machine(), losses: Vec::new() })
}

/// Writes the facts.
///
/// # Errors
/// When a disk has no file, a path cannot be written, or the machine is not on the profile's hardware.
pub fn render(
    machine: &Machine,
    profile: &Profile,
    options: &RenderOptions,
) -> Result<Rendered, RenderError> {
    let (facts, losses) = plan::facts(machine, profile, options)?;
    // Plain data always has a form in JSON.
    let mut text = serde_json::to_string_pretty(&facts).unwrap_or_default();
    text.push('\n');
    Ok(Rendered { text, losses })
}
