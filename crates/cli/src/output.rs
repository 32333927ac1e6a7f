//! What goes to standard output: data for people, or one JSON document.

use anyhow::{Context as _, Result};
use machine::{Loss, Severity};
use serde::Serialize;
use std::io::Write as _;

/// Writes text to standard output. A reader that went away (`| head`) is no failure.
pub(crate) fn print(text: &str) -> Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write to standard output"),
    }
}

/// Writes one JSON document to standard output.
pub(crate) fn print_json(document: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_string_pretty(document).context("cannot make JSON of the result")?;
    text.push('\n');
    print(&text)
}

/// A size in bytes, for people.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = bytes as f64 / 1024.0;
    let mut unit = UNITS[0];
    for next in &UNITS[1..] {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    match bytes {
        0..1024 => format!("{bytes} bytes"),
        _ => format!("{value:.1} {unit}").replace(".0 ", " "),
    }
}

/// So many of something whose plural has an s.
pub(crate) fn count(number: usize, noun: &str) -> String {
    count_of(number, noun, &format!("{noun}s"))
}

/// So many of something.
pub(crate) fn count_of(number: usize, one: &str, several: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { several })
}

/// Text of a source's for a terminal: control characters, which could drive it, become `·`.
pub(crate) fn clean(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { '·' } else { character }).collect()
}

/// The losses as lines, the gravest first.
pub(crate) fn losses(losses: &[Loss]) -> String {
    let mut sorted: Vec<_> = losses.iter().collect();
    sorted.sort_by_key(|loss| std::cmp::Reverse(loss.severity));
    sorted.iter().map(|loss| format!("  {} {}\n", mark(loss.severity), clean(&loss.to_string()))).collect()
}

fn mark(severity: Severity) -> &'static str {
    match severity {
        Severity::Warning => "!",
        Severity::Change => "~",
        Severity::Note => "·",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_well() {
        assert_eq!(size(512), "512 bytes");
        assert_eq!(size(3 << 30), "3 GiB");
        assert_eq!(size(1536 << 20), "1.5 GiB");
    }

    #[test]
    fn a_name_cannot_drive_the_terminal() {
        assert_eq!(clean("a\x1b[2Jb\n"), "a·[2Jb·");
    }
}
