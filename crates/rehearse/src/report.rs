//! The report of a guest that is up: the script that writes it, and [`parse`], which reads it.
//!
//! The script runs in the guest and writes to a serial port, so what arrives may be cut short, interleaved with a
//! kernel's messages, or made up. A report counts only with its end line, and when its length and its checksum (of
//! POSIX's `cksum`) are those that the end line states.

use crate::facts::{Address, BlockDevice, Facts, NetworkCard, Root, RootDisk, Target};
use crate::text;

/// The script, for a POSIX shell.
pub(crate) const SCRIPT: &str = include_str!("report/report.sh");

/// The longest report that is read, in bytes.
const LONGEST: usize = 128 << 10;
/// The most lines of a report that are read.
const LINES: usize = 4096;
/// The longest field that is kept, in characters.
const FIELD: usize = 200;
/// The largest number that is kept: JSON's readers hold no larger integer exactly.
const MOST: u64 = (1 << 53) - 1;
/// The version of the report's form.
const FORMAT: &str = "1";

const BEGIN: &str = "anyvisor-report-begin\n";
const END: &str = "\nanyvisor-report-end ";

/// Why what arrived is no report.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// The end line is not of the right form.
    #[error("the guest's report ends with {line:?}, which states no length and checksum")]
    End {
        /// The end line's fields.
        line: String,
    },
    /// Bytes are missing or too many.
    #[error("the guest's report has {found} bytes of {stated}")]
    Length {
        /// How many bytes the end line states.
        stated: u64,
        /// How many arrived.
        found: u64,
    },
    /// Bytes have changed.
    #[error("the guest's report has the checksum {found}, and states {stated}")]
    Checksum {
        /// The checksum of the end line.
        stated: u32,
        /// That of what arrived.
        found: u32,
    },
    /// It is of a form that this version does not read.
    #[error("the guest's report is of the form {format:?}, not {FORMAT:?}")]
    Format {
        /// What its `format` line says.
        format: String,
    },
}

/// Reads the last whole report out of what a serial port received; `None` while there is none.
///
/// # Errors
/// [`ReportError`] when the last report with an end line is damaged.
pub(crate) fn parse(received: &str) -> Result<Option<Facts>, ReportError> {
    // A terminal that was not made raw has put a carriage return before each line feed.
    let received = received.replace('\r', "");
    let Some((head, tail)) = received.rsplit_once(END) else { return Ok(None) };
    let Some((end, _)) = tail.split_once('\n') else { return Ok(None) };
    // Without its beginning it is cut short, or too long to be kept: the length will not match.
    let body = head.rsplit_once(BEGIN).map_or(head, |(_, body)| body);
    check(body, end)?;
    facts(body).map(Some)
}

fn check(body: &str, end: &str) -> Result<(), ReportError> {
    let bad_end = || ReportError::End { line: text::field(end, FIELD) };
    let (length, sum) = end.split_once(' ').ok_or_else(bad_end)?;
    let stated: u64 = length.parse().map_err(|_| bad_end())?;
    let found = body.len() as u64;
    if stated != found || body.len() > LONGEST {
        return Err(ReportError::Length { stated, found });
    }
    // A guest without cksum(1) states no checksum; the length has to do.
    if sum == "-" {
        return Ok(());
    }
    let stated: u32 = sum.parse().map_err(|_| bad_end())?;
    let found = cksum(body.as_bytes());
    if stated == found { Ok(()) } else { Err(ReportError::Checksum { stated, found }) }
}

fn facts(body: &str) -> Result<Facts, ReportError> {
    let mut facts = Facts::default();
    let mut format = String::new();
    for line in body.lines().take(LINES) {
        let (name, value) = line.split_once(' ').unwrap_or((line, ""));
        if name == "format" {
            format = text::field(value, FIELD);
        } else {
            fact(&mut facts, name, value);
        }
    }
    if format == FORMAT { Ok(facts) } else { Err(ReportError::Format { format }) }
}

/// Takes one line. Names that are not known are of a newer script and mean nothing here.
fn fact(facts: &mut Facts, name: &str, value: &str) {
    let words: Vec<&str> = value.split_whitespace().collect();
    let word = |index: usize| words.get(index).map(|word| text::field(word, FIELD)).unwrap_or_default();
    let whole = || Some(text::field(value, FIELD)).filter(|text| !text.is_empty());
    match name {
        "os-id" => facts.os_id = whole(),
        "os-version" => facts.os_version = whole(),
        "os-name" => facts.os_name = whole(),
        "kernel" => facts.kernel = whole(),
        "architecture" => facts.architecture = whole(),
        "init" => facts.init = whole(),
        "state" => facts.state = whole(),
        "secure-boot" => facts.secure_boot = word(0).parse().ok().map(|state: u8| state == 1),
        "login" => facts.login = whole(),
        "root" => {
            let root = facts.root.get_or_insert_default();
            (root.source, root.filesystem) = (word(0), word(1));
        }
        "root-disk" => {
            let disk = RootDisk { name: word(0), drivers: drivers(&word(1)) };
            let disks = &mut facts.root.get_or_insert_with(Root::default).disks;
            if !disks.contains(&disk) {
                disks.push(disk);
            }
        }
        "disk" => facts.disks.push(BlockDevice {
            name: word(0),
            bytes: word(1).parse().unwrap_or(0).min(MOST),
            drivers: drivers(&word(2)),
        }),
        "nic" => facts.nics.push(NetworkCard {
            name: word(0),
            mac: word(1),
            state: word(2),
            drivers: drivers(&word(3)),
        }),
        "address" => facts
            .addresses
            .push(Address { interface: Some(word(0)).filter(|name| name != "-"), address: word(1) }),
        "target" => {
            facts.targets.push(Target { unit: word(0), state: word(1), reached_ms: microseconds(&word(2)) });
        }
        "failed" => facts.failed_units.push(word(0)),
        "uptime" => facts.uptime_ms = seconds(&word(0)),
        "stamp" => stamp(facts, &word(0), microseconds(&word(1))),
        _ => {}
    }
}

/// Takes one of systemd's monotonic timestamps, by the name of its property.
fn stamp(facts: &mut Facts, property: &str, ms: Option<u64>) {
    match property {
        "InitRDTimestampMonotonic" => facts.initrd_ms = ms,
        "UserspaceTimestampMonotonic" => facts.init_ms = ms,
        "FinishTimestampMonotonic" => facts.finished_ms = ms,
        _ => {}
    }
}

fn drivers(word: &str) -> Vec<String> {
    word.split(',').filter(|driver| !driver.is_empty() && *driver != "-").map(str::to_string).collect()
}

/// Microseconds, as milliseconds. systemd writes 0 for what has not happened.
fn microseconds(word: &str) -> Option<u64> {
    let microseconds: u64 = word.parse().ok().filter(|microseconds| *microseconds > 0)?;
    Some((microseconds / 1000).min(MOST))
}

/// Seconds with a fraction, as milliseconds.
fn seconds(word: &str) -> Option<u64> {
    let seconds = word.parse().ok().filter(|seconds: &f64| seconds.is_finite() && *seconds >= 0.0)?;
    Some(((seconds * 1000.0).round() as u64).min(MOST))
}

/// The checksum of POSIX's `cksum` (IEEE Std 1003.1, "cksum"): a CRC with the polynomial 0x04C11DB7, most
/// significant bit first, over the bytes and then the bytes of their number, least significant first.
fn cksum(bytes: &[u8]) -> u32 {
    let mut crc = 0;
    for byte in bytes {
        crc = crc_step(crc, *byte);
    }
    let mut length = bytes.len() as u64;
    while length > 0 {
        crc = crc_step(crc, (length & 0xff) as u8);
        length >>= 8;
    }
    !crc
}

fn crc_step(crc: u32, byte: u8) -> u32 {
    (0..8).fold(crc ^ (u32::from(byte) << 24), |crc, _| {
        if crc & 0x8000_0000 == 0 { crc << 1 } else { (crc << 1) ^ 0x04c1_1db7 }
    })
}

#[cfg(test)]
mod tests;
