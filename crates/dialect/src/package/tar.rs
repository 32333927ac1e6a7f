//! The index of a tar archive, so that its members can be read in place.
//!
//! POSIX.1-2017, pax, "ustar Interchange Format", with pax extended headers, GNU long names and GNU base-256
//! sizes: what VMware, VirtualBox and tar(1) write for large disks. Unlike a tar program, nothing is unpacked, so a
//! member that only makes sense in a file system (a link, a device) or that would leave it (`../`) is a hostile one.

use block::BlockRead;
use std::collections::BTreeMap;
use std::ops::Range;

/// Size of headers, and what members are padded to.
const BLOCK: u64 = 512;
/// The most members that an archive may have: an OVA has a handful, a chunked one some thousands.
const MAX_MEMBERS: usize = 1 << 16;
/// The longest extended header, in bytes.
const MAX_EXTENDED: u64 = 1 << 20;

/// The regular files of a tar archive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Index {
    members: Vec<Member>,
    by_name: BTreeMap<String, usize>,
    /// Whether the archive ends as the format wants it.
    pub(super) terminated: bool,
}

/// A regular file in a tar archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name, without `./`.
    pub name: String,
    /// Which bytes of the archive it is.
    pub range: Range<u64>,
}

/// Why a tar archive is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TarError {
    /// It could not be read.
    #[error("its headers cannot be read")]
    Read(#[source] block::Error),
    /// A header is damaged.
    #[error("the header at byte {offset} is no tar header: {why}")]
    Header {
        /// Where, in bytes.
        offset: u64,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The archive ends inside a member.
    #[error("it is cut off: {missing} bytes of {member:?} are missing")]
    Truncated {
        /// The member.
        member: String,
        /// How many bytes are missing.
        missing: u64,
    },
    /// The archive ends inside a header.
    #[error("it is cut off inside the header at byte {offset}")]
    TruncatedHeader {
        /// Where, in bytes.
        offset: u64,
    },
    /// A name that leads out of the archive.
    #[error("the name {name:?} leads out of the archive")]
    Outside {
        /// The name.
        name: String,
    },
    /// An absolute name.
    #[error("the name {name:?} is absolute")]
    Absolute {
        /// The name.
        name: String,
    },
    /// A member without a name.
    #[error("the member at byte {offset} has no name")]
    NoName {
        /// Where, in bytes.
        offset: u64,
    },
    /// A link.
    #[error("{name:?} is a link to {target:?}")]
    Link {
        /// The link's name.
        name: String,
        /// What it points at.
        target: String,
    },
    /// A device or a pipe.
    #[error("{name:?} is {kind}")]
    Device {
        /// Its name.
        name: String,
        /// What it is, with its article.
        kind: &'static str,
    },
    /// A kind of member that is not known.
    #[error("{name:?} is of the kind {kind:?}, which is not supported")]
    Kind {
        /// Its name.
        name: String,
        /// The header's type flag.
        kind: char,
    },
    /// Two members of one name.
    #[error("there are two members called {name:?}, at bytes {first} and {second}")]
    Duplicate {
        /// The name.
        name: String,
        /// Where the first one's contents begin, in bytes.
        first: u64,
        /// Where the second one's contents begin, in bytes.
        second: u64,
    },
    /// More members than any package has.
    #[error("it has more than {limit} members")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// An extended header is too long.
    #[error("the extended header at byte {offset} has {size} bytes")]
    ExtendedTooLong {
        /// Where, in bytes.
        offset: u64,
        /// Its size in bytes.
        size: u64,
    },
}

type Result<T> = std::result::Result<T, TarError>;

impl TarError {
    /// What the administrator can do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Truncated { .. } | Self::TruncatedHeader { .. } => {
                "the download or the copy was cut off: fetch the archive again and compare its size"
            }
            Self::Read(_) => "check that the file can be read",
            Self::Header { .. } => "the archive is damaged: fetch it again",
            Self::Outside { .. } | Self::Absolute { .. } | Self::Link { .. } | Self::Device { .. } => {
                "no product exports such an archive: do not trust it, and export the machine again"
            }
            _ => "export the machine again",
        }
    }
}

/// What extended headers say of the member that follows.
#[derive(Default)]
struct Extended {
    name: Option<String>,
    link: Option<String>,
    size: Option<u64>,
}

impl Index {
    /// Reads all headers of an archive.
    ///
    /// # Errors
    /// When the archive is damaged, cut off, or holds something that a package must not hold.
    pub fn read(disk: &dyn BlockRead) -> Result<Self> {
        let mut index = Self::default();
        let mut extended = Extended::default();
        let mut offset = 0;
        while offset < disk.size() {
            let Some(header) = Header::read(disk, offset)? else {
                index.terminated = true;
                break;
            };
            let start = offset + BLOCK;
            let size = match extended.size {
                Some(size) if matches!(header.kind, b'0' | b'\0' | b'7') => size,
                _ => header.size(offset)?,
            };
            match header.kind {
                b'L' | b'K' | b'x' | b'g' => {
                    let body = read_extended(disk, offset, size)?;
                    extended.take_from(header.kind, &body, offset)?;
                }
                _ => index.add(&header, std::mem::take(&mut extended), start, size, disk.size())?,
            }
            let padded = size.checked_next_multiple_of(BLOCK).and_then(|padded| start.checked_add(padded));
            offset = padded.ok_or(TarError::Header { offset, why: "its size is absurd" })?;
        }
        Ok(index)
    }

    fn add(&mut self, header: &Header, extended: Extended, start: u64, size: u64, end: u64) -> Result<()> {
        let name = extended.name.unwrap_or_else(|| header.name());
        match header.kind {
            b'0' | b'\0' | b'7' => {}
            b'5' => return safe_name(&name, start).map(drop),
            b'1' | b'2' => {
                let target = extended.link.unwrap_or_else(|| text(header.field(157..257)));
                return Err(TarError::Link { name, target });
            }
            b'3' => return Err(TarError::Device { name, kind: "a character device" }),
            b'4' => return Err(TarError::Device { name, kind: "a block device" }),
            b'6' => return Err(TarError::Device { name, kind: "a pipe" }),
            kind => return Err(TarError::Kind { name, kind: char::from(kind) }),
        }
        let name = safe_name(&name, start)?;
        let available = end.saturating_sub(start);
        if size > available {
            return Err(TarError::Truncated { member: name, missing: size - available });
        }
        if self.members.len() == MAX_MEMBERS {
            return Err(TarError::TooMany { limit: MAX_MEMBERS });
        }
        if let Some(first) = self.by_name.insert(name.clone(), self.members.len()) {
            let first = self.members.get(first).map_or(0, |member| member.range.start);
            return Err(TarError::Duplicate { name, first, second: start });
        }
        self.members.push(Member { name, range: start..start + size });
        Ok(())
    }

    /// The members in the order of the archive.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The member of that name.
    pub fn find(&self, name: &str) -> Option<&Member> {
        self.members.get(*self.by_name.get(name)?)
    }
}

/// One header block.
pub(super) struct Header {
    block: [u8; 512],
    kind: u8,
}

impl Header {
    /// Reads the header at `offset`; none when the archive ends there.
    pub(super) fn read(disk: &dyn BlockRead, offset: u64) -> Result<Option<Self>> {
        if disk.size() - offset < BLOCK {
            return Err(TarError::TruncatedHeader { offset });
        }
        let mut block = [0; 512];
        disk.read_at(&mut block, offset).map_err(TarError::Read)?;
        if block.iter().all(|&byte| byte == 0) {
            return Ok(None);
        }
        let header = Self { kind: block[156], block };
        if !header.is_valid() {
            return Err(TarError::Header { offset, why: "its checksum is wrong" });
        }
        Ok(Some(header))
    }

    /// Whether the checksum is right: the sum of all bytes, with its own taken as spaces. Some old programs summed
    /// signed bytes.
    fn is_valid(&self) -> bool {
        let Some(stored) = octal(self.field(148..156)) else { return false };
        let outside = |index: &usize| !(148..156).contains(index);
        let bytes = self.block.iter().enumerate().filter(|(index, _)| outside(index)).map(|(_, byte)| *byte);
        let unsigned: u64 = bytes.clone().map(u64::from).sum::<u64>() + 8 * 32;
        let signed: i64 = bytes.map(|byte| i64::from(byte.cast_signed())).sum::<i64>() + 8 * 32;
        stored == unsigned || i64::try_from(stored) == Ok(signed)
    }

    fn field(&self, range: Range<usize>) -> &[u8] {
        self.block.get(range).unwrap_or_default()
    }

    pub(super) fn name(&self) -> String {
        let name = text(self.field(0..100));
        // GNU's magic ends in a space, and its prefix field holds other things.
        let prefix =
            if self.field(257..263) == b"ustar\0" { text(self.field(345..500)) } else { String::new() };
        if prefix.is_empty() { name } else { format!("{prefix}/{name}") }
    }

    pub(super) fn size(&self, offset: u64) -> Result<u64> {
        let field = self.field(124..136);
        let size = match field.first() {
            Some(first) if first & 0x80 != 0 => base_256(field),
            _ => octal(field),
        };
        size.ok_or(TarError::Header { offset, why: "its size is no number" })
    }
}

/// Whether the first block of a file is a tar header.
pub(super) fn is_tar(head: &[u8]) -> bool {
    let Some(block) = head.first_chunk::<512>() else { return false };
    let header = Header { kind: block[156], block: *block };
    block.iter().any(|&byte| byte != 0) && header.is_valid()
}

/// A number in octal digits, between spaces and NULs; nothing at all is 0.
fn octal(field: &[u8]) -> Option<u64> {
    let digits = field.split(|&byte| byte == 0).next().unwrap_or_default().trim_ascii();
    digits.iter().try_fold(0_u64, |value, &digit| {
        let digit = digit.checked_sub(b'0').filter(|&digit| digit < 8)?;
        value.checked_mul(8)?.checked_add(u64::from(digit))
    })
}

/// GNU's way to write a size of 8 GiB and more: big-endian, the highest bit set.
fn base_256(field: &[u8]) -> Option<u64> {
    let mut bytes = field.iter().copied();
    let first = u64::from(bytes.next()? & 0x7f);
    bytes.try_fold(first, |value, byte| value.checked_mul(256)?.checked_add(u64::from(byte)))
}

/// Text up to the first NUL.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.split(|&byte| byte == 0).next().unwrap_or_default()).into_owned()
}

fn read_extended(disk: &dyn BlockRead, offset: u64, size: u64) -> Result<Vec<u8>> {
    if size > MAX_EXTENDED {
        return Err(TarError::ExtendedTooLong { offset, size });
    }
    let start = offset + BLOCK;
    if size > disk.size().saturating_sub(start) {
        return Err(TarError::TruncatedHeader { offset });
    }
    let mut body = vec![0; usize::try_from(size).unwrap_or(0)];
    disk.read_at(&mut body, start).map_err(TarError::Read)?;
    Ok(body)
}

impl Extended {
    fn take_from(&mut self, kind: u8, body: &[u8], offset: u64) -> Result<()> {
        match kind {
            b'L' => self.name = Some(text(body)),
            b'K' => self.link = Some(text(body)),
            b'x' => self
                .take_records(body)
                .ok_or(TarError::Header { offset, why: "its extended records are damaged" })?,
            // A global header says nothing about a single member that matters here.
            _ => {}
        }
        Ok(())
    }

    /// Records of the form `27 path=some/long/name\n`, the number counting the whole record.
    fn take_records(&mut self, mut body: &[u8]) -> Option<()> {
        while !body.is_empty() && body.first() != Some(&0) {
            let space = body.iter().position(|&byte| byte == b' ')?;
            let length: usize = std::str::from_utf8(body.get(..space)?).ok()?.parse().ok()?;
            let record = body.get(space + 1..length)?.strip_suffix(b"\n")?;
            let equals = record.iter().position(|&byte| byte == b'=')?;
            let (key, value) = (record.get(..equals)?, record.get(equals + 1..)?);
            match key {
                b"path" => self.name = Some(text(value)),
                b"linkpath" => self.link = Some(text(value)),
                b"size" => self.size = Some(std::str::from_utf8(value).ok()?.parse().ok()?),
                // GNU's sparse members are no plain run of bytes.
                key if key.starts_with(b"GNU.sparse") => return None,
                _ => {}
            }
            body = body.get(length..)?;
        }
        Some(())
    }
}

/// A name in its shortest form, refused when it is absolute or leads out.
fn safe_name(name: &str, start: u64) -> Result<String> {
    if name.starts_with('/') {
        return Err(TarError::Absolute { name: name.to_owned() });
    }
    let mut parts = Vec::new();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => return Err(TarError::Outside { name: name.to_owned() }),
            part => parts.push(part),
        }
    }
    // The archive's own directory may be among the members.
    if parts.is_empty() && !name.contains('.') {
        return Err(TarError::NoName { offset: start.saturating_sub(BLOCK) });
    }
    Ok(parts.join("/"))
}
