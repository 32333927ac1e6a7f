//! cpio archives in the "newc" format, which is what a kernel unpacks (Linux,
//! `Documentation/driver-api/early-userspace/buffer-format.rst`; `init/initramfs.c`).

use std::io::{self, Read};

const HEADER: usize = 110;
/// `PATH_MAX` of Linux, which refuses longer names.
const MAX_NAME: u64 = 4096;
const TRAILER: &str = "TRAILER!!!";
/// Archives are padded to this many bytes at their end, as cpio does.
const BLOCK: usize = 512;

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link and its target.
    Symlink(String),
    /// A device, socket or pipe.
    Special,
}

/// The header of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its path, as it is written.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// The bytes of a file.
    pub size: u64,
}

/// An entry to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its path, relative, without `.` and `..`.
    pub path: String,
    /// The contents of a file; `None` makes a directory.
    pub contents: Option<Vec<u8>>,
    /// Whether a file is a program.
    pub executable: bool,
}

impl Entry {
    /// A file.
    pub fn file(path: impl Into<String>, contents: impl Into<Vec<u8>>) -> Self {
        Self { path: path.into(), contents: Some(contents.into()), executable: false }
    }

    /// A file that is a program.
    pub fn program(path: impl Into<String>, contents: impl Into<Vec<u8>>) -> Self {
        Self { executable: true, ..Self::file(path, contents) }
    }

    /// A directory.
    pub fn directory(path: impl Into<String>) -> Self {
        Self { path: path.into(), contents: None, executable: false }
    }
}

/// Reads archive after archive until `stream` ends, and shows every entry to `visit` with a reader of its contents.
///
/// # Errors
/// When the stream fails, is no archive, or ends inside one; and what `visit` answers.
pub fn read(
    stream: &mut dyn Read,
    mut visit: impl FnMut(&Header, &mut dyn Read) -> io::Result<()>,
) -> io::Result<()> {
    let mut stream = Counting { stream, position: 0 };
    while let Some(raw) = next_header(&mut stream)? {
        let field = |index: usize| hexadecimal(&raw, index);
        let (mode, size, name_size) = (field(1)?, field(6)?, field(11)?);
        if name_size == 0 || name_size > MAX_NAME {
            return Err(invalid("a name of an impossible length"));
        }
        let mut name = vec![0; name_size as usize];
        stream.read_exact(&mut name)?;
        stream.align()?;
        let name = text(&name);
        if name == TRAILER {
            // Hard links are known by inode within one archive only; nothing else ends here.
            continue;
        }
        let mut data = (&mut stream as &mut dyn Read).take(size);
        let kind = match mode & 0o170_000 {
            0o100_000 => Kind::File,
            0o040_000 => Kind::Directory,
            0o120_000 => {
                let mut target = Vec::new();
                data.by_ref().take(MAX_NAME).read_to_end(&mut target)?;
                Kind::Symlink(text(&target))
            }
            _ => Kind::Special,
        };
        visit(&Header { name, kind, size }, &mut data)?;
        let left = data.limit();
        skip(&mut stream, left)?;
        stream.align()?;
    }
    Ok(())
}

/// How long the archive at the start of `bytes` is, up to the end of its trailer; what lies behind is not looked at.
///
/// # Errors
/// When there is no archive, or it has no end.
pub(super) fn length(bytes: &[u8]) -> io::Result<usize> {
    let mut at = 0usize;
    loop {
        let raw: [u8; HEADER] = bytes
            .get(at..)
            .and_then(|rest| rest.first_chunk())
            .copied()
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        if !raw.starts_with(b"07070") {
            return Err(invalid("an entry without its signature"));
        }
        let field = |index: usize| Ok::<_, io::Error>(hexadecimal(&raw, index)? as usize);
        let name_end = (at + HEADER + field(11)?).next_multiple_of(4);
        let name = bytes.get(at + HEADER..name_end).ok_or(io::ErrorKind::UnexpectedEof)?;
        let is_trailer = text(name) == TRAILER;
        at = (name_end + field(6)?).next_multiple_of(4).min(bytes.len());
        if is_trailer {
            return Ok(at);
        }
    }
}

/// The next header, after any zeroes; `None` at the end of the stream.
fn next_header(stream: &mut Counting<'_>) -> io::Result<Option<[u8; HEADER]>> {
    let mut raw = [0; HEADER];
    loop {
        let mut first = [0; 4];
        let mut filled = 0;
        while filled < first.len() {
            match stream.read(first.get_mut(filled..).unwrap_or_default())? {
                // Padding at the end need not be a multiple of four.
                0 if first.iter().all(|&byte| byte == 0) => return Ok(None),
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => filled += count,
            }
        }
        if first == [0; 4] {
            continue;
        }
        let (start, rest) = raw.split_at_mut(4);
        start.copy_from_slice(&first);
        stream.read_exact(rest)?;
        if !raw.starts_with(b"070701") && !raw.starts_with(b"070702") {
            return Err(invalid("an entry without its signature"));
        }
        return Ok(Some(raw));
    }
}

/// The field of eight hexadecimal digits at `index`.
fn hexadecimal(raw: &[u8; HEADER], index: usize) -> io::Result<u64> {
    let start = 6 + index * 8;
    raw.get(start..start + 8)
        .filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))
        .and_then(|digits| u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok())
        .ok_or_else(|| invalid("a header with something else than digits"))
}

fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn skip(stream: &mut Counting<'_>, count: u64) -> io::Result<()> {
    match io::copy(&mut (stream as &mut dyn Read).take(count), &mut io::sink())? {
        copied if copied == count => Ok(()),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// A reader that knows its position, for names and contents are padded to multiples of four.
struct Counting<'a> {
    stream: &'a mut dyn Read,
    position: u64,
}

impl Counting<'_> {
    fn align(&mut self) -> io::Result<()> {
        let padding = (4 - self.position % 4) % 4;
        skip(self, padding)
    }
}

impl Read for Counting<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(buf)?;
        self.position += count as u64;
        Ok(count)
    }
}

/// Writes an archive: directories and programs with mode 0755, files with mode 0644, all root's, with no time of their own so that
/// the same entries make the same bytes.
pub fn write(entries: &[Entry]) -> Vec<u8> {
    let mut out = Vec::new();
    // Inode numbers tell hard links, of which there are none: each entry has its own.
    for (inode, entry) in (1u32..).zip(entries) {
        let (mode, links, contents) = match &entry.contents {
            Some(contents) if entry.executable => (0o100_755, 1, contents.as_slice()),
            Some(contents) => (0o100_644, 1, contents.as_slice()),
            None => (0o040_755, 2, &[][..]),
        };
        write_entry(&mut out, inode, mode, links, &entry.path, contents);
    }
    write_entry(&mut out, 0, 0, 1, TRAILER, &[]);
    pad(&mut out, BLOCK);
    out
}

fn write_entry(out: &mut Vec<u8>, inode: u32, mode: u32, links: u32, name: &str, contents: &[u8]) {
    let (size, name_size) = (contents.len(), name.len() + 1);
    out.extend(
        format!("070701{inode:08x}{mode:08x}{:08x}{:08x}{links:08x}{:08x}{size:08x}", 0, 0, 0).bytes(),
    );
    out.extend(format!("{:08x}{:08x}{:08x}{:08x}{name_size:08x}{:08x}", 0, 0, 0, 0, 0).bytes());
    out.extend(name.bytes());
    out.push(0);
    pad(out, 4);
    out.extend(contents);
    pad(out, 4);
}

/// Zeroes up to the next multiple of `to`.
pub(super) fn pad(out: &mut Vec<u8>, to: usize) {
    out.resize(out.len().next_multiple_of(to), 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read_all(mut bytes: &[u8]) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        read(&mut bytes, |header, data| {
            let mut contents = Vec::new();
            data.read_to_end(&mut contents)?;
            let contents = (header.kind == Kind::File).then_some(contents);
            entries.push(Entry { path: header.name.clone(), contents, executable: false });
            Ok(())
        })?;
        Ok(entries)
    }

    fn entries() -> impl Strategy<Value = Vec<Entry>> {
        let contents = proptest::option::of(proptest::collection::vec(any::<u8>(), 0..300));
        proptest::collection::vec(("[a-z./]{1,40}", contents), 0..12).prop_map(|entries| {
            entries.into_iter().map(|(path, contents)| Entry { path, contents, executable: false }).collect()
        })
    }

    proptest! {
        #[test]
        fn reads_what_it_writes(first in entries(), second in entries()) {
            let archive = [write(&first), write(&second)].concat();
            prop_assert_eq!(read_all(&archive).unwrap(), [first, second].concat());
        }

        #[test]
        fn never_panics(mut bytes in proptest::collection::vec(any::<u8>(), 0..400), headed in any::<bool>()) {
            if headed {
                bytes.splice(0..0, *b"070701");
            }
            let _ = read_all(&bytes);
        }

        #[test]
        fn a_cut_archive_is_an_error_or_ends_at_an_entry(all in entries(), cut in any::<proptest::sample::Index>()) {
            let archive = write(&all);
            let cut = cut.index(archive.len());
            if let Ok(found) = read_all(archive.get(..cut).unwrap_or_default()) {
                prop_assert!(all.starts_with(&found));
            }
        }
    }
}
