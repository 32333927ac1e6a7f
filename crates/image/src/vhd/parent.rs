//! The names by which a differencing disk finds its parent ("Virtual Hard Disk Image Format Specification", Parent
//! Locator Entry): read in [`names`], written by [`Locators`].

use super::header::{Header, RawHeader, RawLocator};
use crate::bytes::Bytes;
use crate::gate::{foreign_base_name, sibling};
use std::path::Path;

/// The longest name that is read, in bytes; Windows knows none of more than 32,767 letters.
const MAX_NAME: u32 = 64 << 10;
/// The platform codes in the order in which their names are tried: those that say where the parent is relative to the
/// child come first. `Wi2r` and `Wi2k` are the deprecated ones, of Windows' 8-bit letters.
const CODES: [&[u8; 4]; 6] = [b"W2ru", b"Wi2r", b"MacX", b"W2ku", b"Wi2k", b"Mac "];

/// The names from the gate's root that the parent of the image called `name` may have, the likeliest first. The parent
/// is often recorded by where it was on another machine: the same file names beside the child come last.
pub(super) fn names(file: &impl Bytes, name: &str, header: &Header) -> Vec<String> {
    let recorded = recorded(file, header);
    let there = recorded.iter().filter_map(|parent| {
        // What has a drive or a share is on another machine.
        let is_foreign = parent.get(1..2) == Some(":") || parent.starts_with("//");
        (!is_foreign).then(|| sibling(name, parent))
    });
    let beside = recorded.iter().map(|parent| sibling(name, foreign_base_name(parent).unwrap_or(parent)));
    let mut names: Vec<String> = Vec::new();
    for found in there.chain(beside) {
        if !names.contains(&found) {
            names.push(found);
        }
    }
    names
}

/// What the locators say, and then the header itself, with `/` between the components.
fn recorded(file: &impl Bytes, header: &Header) -> Vec<String> {
    let locators = CODES
        .iter()
        .flat_map(|code| header.raw.locators.iter().filter(move |locator| locator.code == **code));
    let located = locators.filter_map(|locator| decode(&locator.code, &content(file, locator)?));
    let (units, _) = header.raw.parent_name.as_chunks::<2>();
    let own = text(units.iter().map(|unit| u16::from_be_bytes(*unit)));
    located.chain(own).map(|parent| plain(&parent)).filter(|parent| !parent.is_empty()).collect()
}

/// The bytes that a locator leads to; `None` when they are too many, or not in the file.
fn content(file: &impl Bytes, locator: &RawLocator) -> Option<Vec<u8>> {
    let (offset, length) = (locator.offset.get(), locator.length.get());
    if length > MAX_NAME || !file.holds(offset, length.into()) {
        return None;
    }
    let mut bytes = vec![0; length as usize];
    file.read(&mut bytes, offset).ok()?;
    Some(bytes)
}

fn decode(code: &[u8; 4], bytes: &[u8]) -> Option<String> {
    match code {
        b"MacX" => from_url(std::str::from_utf8(until_nul(bytes)).ok()?),
        b"Mac " => from_alias(bytes),
        b"W2ru" | b"W2ku" => from_utf16(bytes),
        // Some have written the new names' letters under the old codes.
        _ if bytes.get(1) == Some(&0) => from_utf16(bytes),
        _ => Some(latin(until_nul(bytes))),
    }
}

fn from_utf16(bytes: &[u8]) -> Option<String> {
    text(bytes.as_chunks::<2>().0.iter().map(|unit| u16::from_le_bytes(*unit)))
}

/// The text up to the first NUL; `None` when it is none, or empty.
fn text(units: impl Iterator<Item = u16>) -> Option<String> {
    let units = units.take_while(|unit| *unit != 0);
    char::decode_utf16(units).collect::<Result<String, _>>().ok().filter(|text| !text.is_empty())
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// 8-bit letters: UTF-8 where they are that, and otherwise ISO 8859-1, of which Windows' code page is nearly a superset.
fn latin(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
    }
}

/// The path of a `file:` URL (RFC 2396). XenServer writes a relative path where the host's name would stand.
fn from_url(url: &str) -> Option<String> {
    let rest = url.strip_prefix("file://")?;
    let path = rest.strip_prefix("localhost").unwrap_or(rest);
    let mut bytes = Vec::with_capacity(path.len());
    let mut left = path.as_bytes();
    while let [first, tail @ ..] = left {
        let escaped = match (first, tail) {
            (b'%', [high, low, ..]) => hexadecimal(*high).zip(hexadecimal(*low)),
            _ => None,
        };
        bytes.push(escaped.map_or(*first, |(high, low)| high << 4 | low));
        left = if escaped.is_some() { tail.get(2..).unwrap_or_default() } else { tail };
    }
    String::from_utf8(bytes).ok()
}

fn hexadecimal(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// The file's name out of a Macintosh alias record of version 2; its place is known to that one machine alone.
fn from_alias(record: &[u8]) -> Option<String> {
    const VERSION: usize = 6;
    const NAME: usize = 50;
    if record.get(VERSION..VERSION + 2)? != [0, 2] {
        return None;
    }
    let length = usize::from(*record.get(NAME)?);
    Some(latin(record.get(NAME + 1..)?.get(..length.min(63))?))
}

/// A name with `/` between its components, and without `./` before it.
fn plain(name: &str) -> String {
    let name = name.replace('\\', "/");
    name.strip_prefix("./").map(|rest| rest.trim_start_matches('/').to_owned()).unwrap_or(name)
}

/// The names of a new image's parent, to be written.
pub(super) struct Locators {
    names: Vec<([u8; 4], Vec<u8>)>,
    file_name: String,
}

/// How much room each name gets at least, in bytes.
const ROOM: u64 = 512;

impl Locators {
    /// The parent at the path `relative` to the new image's directory, which is `absolute` on this machine. The codes are
    /// those that Hyper-V and XenServer read: Windows' two, and that of file URLs.
    pub(super) fn new(relative: &str, absolute: &str) -> Self {
        let windows = |path: &str| -> Vec<u8> {
            path.replace('/', "\\").encode_utf16().flat_map(u16::to_le_bytes).collect()
        };
        let here = plain(relative);
        let near = if here.starts_with('/') { windows(&here) } else { windows(&format!("./{here}")) };
        let url = format!("file://{}", escaped(absolute));
        let file_name =
            Path::new(relative).file_name().map_or(relative.into(), |name| name.to_string_lossy());
        Self {
            names: vec![(*b"W2ru", near), (*b"W2ku", windows(absolute)), (*b"MacX", url.into_bytes())],
            file_name: file_name.into_owned(),
        }
    }

    /// How many bytes the names take.
    pub(super) fn room(&self) -> u64 {
        self.names.iter().map(|(_, name)| room(name)).sum()
    }

    /// Notes in `header` that the names stand at byte `start`; answers with what is to stand there.
    pub(super) fn note(&self, header: &mut RawHeader, start: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (locator, (code, name)) in header.locators.iter_mut().zip(&self.names) {
            *locator = RawLocator {
                code: *code,
                space: (room(name) as u32).into(),
                length: (name.len() as u32).into(),
                reserved: 0.into(),
                offset: (start + bytes.len() as u64).into(),
            };
            bytes.extend_from_slice(name);
            bytes.resize(bytes.len().next_multiple_of(ROOM as usize), 0);
        }
        // At least one NUL stays behind the name.
        let (units, _) = header.parent_name.as_chunks_mut::<2>();
        let letters = self.file_name.encode_utf16().take(units.len() - 1);
        units.iter_mut().zip(letters).for_each(|(unit, letter)| *unit = letter.to_be_bytes());
        bytes
    }
}

fn room(name: &[u8]) -> u64 {
    (name.len() as u64).next_multiple_of(ROOM)
}

/// `path` as it stands in a URL.
fn escaped(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.~!*'()".contains(&byte);
    path.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Source;
    use block::MemoryDisk;
    use std::path::PathBuf;
    use std::sync::Arc;
    use zerocopy::FromZeros;

    /// The names of a header with these locators.
    fn named(locators: &[(&[u8; 4], Vec<u8>)], own: &str) -> Vec<String> {
        let mut raw = RawHeader::new(0, 0, 512);
        let (units, _) = raw.parent_name.as_chunks_mut::<2>();
        units.iter_mut().zip(own.encode_utf16()).for_each(|(unit, letter)| *unit = letter.to_be_bytes());
        let mut bytes = Vec::new();
        for (place, (code, name)) in raw.locators.iter_mut().zip(locators) {
            *place = RawLocator {
                code: **code,
                length: (name.len() as u32).into(),
                offset: (bytes.len() as u64).into(),
                ..RawLocator::new_zeroed()
            };
            bytes.extend_from_slice(name);
        }
        let header = Header { offset: 0, table_offset: 0, entries: 0, blocks: 0, block: 512, raw };
        let disk = Arc::new(MemoryDisk::from_bytes(bytes));
        names(&Source { disk, path: PathBuf::from("child") }, "vm/child.vhd", &header)
    }

    fn wide(name: &str) -> Vec<u8> {
        name.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    #[test]
    fn every_platform_code_gives_a_name() {
        assert_eq!(named(&[(b"W2ru", wide(".\\base\\p.vhd"))], ""), ["vm/base/p.vhd", "vm/p.vhd"]);
        assert_eq!(named(&[(b"W2ru", wide("..\\p.vhd\0x"))], ""), ["vm/../p.vhd", "vm/p.vhd"]);
        assert_eq!(named(&[(b"W2ku", wide("C:\\VMs\\p ü.vhd"))], ""), ["vm/p ü.vhd"]);
        assert_eq!(named(&[(b"W2ku", wide("\\\\host\\share\\p.vhd"))], ""), ["vm/p.vhd"]);
        assert_eq!(named(&[(b"Wi2r", b".\\p.vhd".to_vec())], ""), ["vm/p.vhd"]);
        assert_eq!(named(&[(b"Wi2k", b"C:\\VMs\\\xfc.vhd\0".to_vec())], ""), ["vm/ü.vhd"]);
        assert_eq!(named(&[(b"Wi2k", wide("C:\\p.vhd"))], ""), ["vm/p.vhd"]);
        assert_eq!(
            named(&[(b"MacX", b"file://localhost/VMs/a%20b%zz.vhd".to_vec())], ""),
            ["/VMs/a b%zz.vhd", "vm/a b%zz.vhd"]
        );
        assert_eq!(named(&[(b"MacX", b"file://./p.vhd".to_vec())], ""), ["vm/p.vhd"]);
        let mut alias = vec![0; 150];
        alias[7] = 2;
        alias[50..56].copy_from_slice(b"\x05p.vhd");
        assert_eq!(named(&[(b"Mac ", alias)], ""), ["vm/p.vhd"]);
    }

    #[test]
    fn relative_names_come_first_and_the_headers_own_last() {
        let locators = [(b"W2ku", wide("C:\\VMs\\absolute.vhd")), (b"W2ru", wide(".\\relative.vhd"))];
        assert_eq!(named(&locators, "C:\\own.vhd"), ["vm/relative.vhd", "vm/absolute.vhd", "vm/own.vhd"]);
    }

    #[test]
    fn names_that_are_none_are_left_out() {
        let odd = vec![0x00, 0xd8];
        assert_eq!(
            named(&[(b"W2ru", odd), (b"MacX", b"http://x/y".to_vec()), (b"Mac ", vec![0; 9])], ""),
            [""; 0]
        );
    }

    #[test]
    fn what_is_written_is_read() {
        let locators = Locators::new("../base/p ü.vhd", "/srv/base/p ü.vhd");
        let mut raw = RawHeader::new(0, 0, 512);
        let bytes = locators.note(&mut raw, 0);
        assert_eq!(bytes.len() as u64, locators.room());
        let header = Header { offset: 0, table_offset: 0, entries: 0, blocks: 0, block: 512, raw };
        let disk = Arc::new(MemoryDisk::from_bytes(bytes));
        let file = Source { disk, path: PathBuf::from("child") };
        assert_eq!(
            names(&file, "vm/child.vhd", &header),
            ["vm/../base/p ü.vhd", "/srv/base/p ü.vhd", "vm/p ü.vhd"]
        );
    }
}
