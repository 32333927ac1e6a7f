//! The footer, at the end of every VHD and again at the start of those with a table ("Virtual Hard Disk Image Format
//! Specification", Hard Disk Footer Format).

use super::Reason;
use super::geometry::Geometry;
use crate::bytes::Bytes;
use crate::error::Result;
use std::time::{SystemTime, UNIX_EPOCH};
use uuid::Uuid;
use zerocopy::big_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The unit in which the format counts, in bytes.
pub(super) const SECTOR: u64 = 512;
/// What a footer begins with.
pub(super) const COOKIE: [u8; 8] = *b"conectix";
/// What offsets are that lead nowhere.
pub(super) const NOWHERE: u64 = u64::MAX;
/// Version 1.0 of whatever has one.
pub(super) const VERSION: u32 = 0x0001_0000;
/// The feature bit that is always set.
const RESERVED_FEATURE: u32 = 2;
/// Who we say has created an image. Every reader has to decide by the creator whether the disk is as large as the
/// current size says or as the geometry does, which is less; by this creator, Hyper-V, all decide for the exact size,
/// while QEMU before 10.0 takes a creator that it does not know for one that goes by geometry.
const CREATOR: [u8; 4] = *b"win ";
/// The creator's version, that of Windows 10.
const CREATOR_VERSION: u32 = 0x000a_0000;
/// The creator's host, Windows: the specification knows no other but the Macintosh.
const CREATOR_HOST: [u8; 4] = *b"Wi2k";
/// The first second of 2000, UTC, in seconds since 1970.
const EPOCH: u64 = 946_684_800;

/// A footer as it lies in the file.
#[derive(Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct RawFooter {
    cookie: [u8; 8],
    features: U32,
    format_version: U32,
    /// Where the dynamic disk header is, in bytes.
    data_offset: U64,
    /// When the image was created, in seconds since 2000.
    timestamp: U32,
    creator: [u8; 4],
    creator_version: U32,
    creator_host: [u8; 4],
    /// Bytes.
    original_size: U64,
    /// Bytes.
    current_size: U64,
    geometry: Geometry,
    kind: U32,
    checksum: U32,
    pub(super) unique_id: [u8; 16],
    saved_state: u8,
    reserved: [u8; 427],
}

const _: () = assert!(size_of::<RawFooter>() == SECTOR as usize);

/// Bytes of a footer.
pub(super) const FOOTER: u64 = size_of::<RawFooter>() as u64;

/// What kind of image it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The disk as it is, and a footer.
    Fixed,
    /// Blocks are added as they are written.
    Dynamic,
    /// Holds what differs from its parent.
    Differencing,
}

impl Kind {
    fn of(number: u32) -> Option<Self> {
        match number {
            2 => Some(Self::Fixed),
            3 => Some(Self::Dynamic),
            4 => Some(Self::Differencing),
            _ => None,
        }
    }

    fn number(self) -> u32 {
        match self {
            Self::Fixed => 2,
            Self::Dynamic => 3,
            Self::Differencing => 4,
        }
    }

    /// What people call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::Dynamic => "dynamic",
            Self::Differencing => "differencing",
        }
    }
}

/// The one's complement of the sum of a structure's bytes without those of its checksum.
pub(super) fn checksum(structure: &[u8], stored: U32) -> u32 {
    let sum = |bytes: &[u8]| bytes.iter().map(|byte| u32::from(*byte)).sum::<u32>();
    !sum(structure).wrapping_sub(sum(stored.as_bytes()))
}

/// `seconds` since 1970 as the format counts them, since 2000.
pub(super) fn timestamp(seconds: u64) -> u32 {
    u32::try_from(seconds.saturating_sub(EPOCH)).unwrap_or(u32::MAX)
}

impl RawFooter {
    /// The footer of a new image of a disk of `size` bytes.
    pub(super) fn new(kind: Kind, size: u64) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let mut footer = Self {
            cookie: COOKIE,
            features: RESERVED_FEATURE.into(),
            format_version: VERSION.into(),
            data_offset: if kind == Kind::Fixed { NOWHERE } else { FOOTER }.into(),
            timestamp: timestamp(now).into(),
            creator: CREATOR,
            creator_version: CREATOR_VERSION.into(),
            creator_host: CREATOR_HOST,
            original_size: size.into(),
            current_size: size.into(),
            geometry: Geometry::of(size),
            kind: kind.number().into(),
            checksum: 0.into(),
            unique_id: Uuid::new_v4().into_bytes(),
            saved_state: 0,
            reserved: [0; 427],
        };
        footer.seal();
        footer
    }

    /// The same image's footer when its disk has another size. The creator becomes ours: that of others may say that
    /// the size goes by the geometry. The original size is for information, and libvhdi goes by it.
    pub(super) fn resized(mut self, size: u64) -> Self {
        self.original_size = size.into();
        self.current_size = size.into();
        self.geometry = Geometry::of(size);
        self.creator = CREATOR;
        self.creator_version = CREATOR_VERSION.into();
        self.seal();
        self
    }

    fn seal(&mut self) {
        self.checksum = checksum(self.as_bytes(), self.checksum).into();
    }

    /// Whether it is whole and unharmed.
    pub(super) fn is_sound(&self) -> bool {
        self.cookie == COOKIE && self.checksum.get() == checksum(self.as_bytes(), self.checksum)
    }

    fn is_fixed(&self) -> bool {
        self.kind.get() == Kind::Fixed.number()
    }

    /// Whether `other` is a footer of the same image, though perhaps of another time.
    pub(super) fn is_of_same_image(&self, other: &Self) -> bool {
        let identity = |footer: &Self| (footer.unique_id, footer.kind, footer.data_offset);
        identity(self) == identity(other)
    }
}

/// A footer in a file, which may be damaged.
#[derive(Clone, Copy)]
pub(super) struct Found {
    /// Where, in bytes.
    pub(super) offset: u64,
    pub(super) footer: RawFooter,
}

/// The footer in the last sector of a file, and how many bytes into the sector. Those of Virtual PC before its
/// version 2004 have 511 bytes.
fn in_tail(tail: &[u8]) -> Option<(u64, RawFooter)> {
    let tail = <&[u8; FOOTER as usize]>::try_from(tail).ok()?;
    let mut short = [0; FOOTER as usize];
    short.iter_mut().zip(tail.iter().skip(1)).for_each(|(to, from)| *to = *from);
    [(0, tail), (1, &short)]
        .into_iter()
        .filter_map(|(at, bytes)| Some((at, RawFooter::read_from_bytes(bytes).ok()?)))
        .find(|(_, footer)| footer.cookie == COOKIE)
}

/// Whether a file's last sector is a footer, and not what a guest has written there.
pub(super) fn ends_with_footer(tail: &[u8]) -> bool {
    in_tail(tail).is_some_and(|(_, footer)| footer.is_sound())
}

/// The footers of a file: what has a footer's cookie, sound or not.
pub(super) struct Footers {
    /// The copy at the start, which only images with a table have.
    pub(super) first: Option<Found>,
    /// The one that counts.
    pub(super) last: Option<Found>,
}

impl Footers {
    pub(super) fn read(file: &impl Bytes) -> Result<Self> {
        let start = file.size().saturating_sub(FOOTER);
        let tail: Option<[u8; FOOTER as usize]> = file.structure(start)?;
        let last = tail.and_then(|tail| in_tail(&tail));
        let last = last.map(|(at, footer)| Found { offset: start + at, footer });
        let first: Option<RawFooter> = if start > 0 { file.structure(0)? } else { None };
        let first = first.filter(|footer| footer.cookie == COOKIE);
        Ok(Self { first: first.map(|footer| Found { offset: 0, footer }), last })
    }

    /// The footer to go by: the last, or the copy at the start where that is damaged.
    fn sound(&self, file: &impl Bytes) -> Result<Found> {
        let sound = |found: &&Found| found.footer.is_sound();
        let last = self.last.as_ref().filter(sound);
        let first = self.first.as_ref().filter(sound).filter(|found| !found.footer.is_fixed());
        last.or(first).copied().ok_or_else(|| match self.last.or(self.first) {
            None => file.error(None, Reason::NoFooter),
            Some(found) => file.error(Some(found.offset), Reason::Checksum { what: "footer" }),
        })
    }
}

/// What a sound footer says, checked.
#[derive(Clone)]
pub(super) struct Footer {
    pub(super) kind: Kind,
    /// The disk's size in bytes.
    pub(super) size: u64,
    /// Where the dynamic disk header is, in bytes.
    pub(super) header_offset: u64,
    pub(super) raw: RawFooter,
    /// Whether it is the copy at the start, as the last footer is damaged.
    pub(super) is_copy: bool,
}

impl Footer {
    /// The footer of the image in `file`.
    pub(super) fn read(file: &impl Bytes) -> Result<Self> {
        let footers = Footers::read(file)?;
        let found = footers.sound(file)?;
        Self::parse(&found, footers.last).map_err(|(at, reason)| file.error(Some(found.offset + at), reason))
    }

    fn parse(found: &Found, last: Option<Found>) -> Result<Self, (u64, Reason)> {
        let raw = found.footer;
        check_version("footer", raw.format_version.get()).map_err(|reason| (12, reason))?;
        let kind = raw.kind.get();
        let kind = Kind::of(kind).ok_or((60, Reason::DiskType { kind }))?;
        let current = raw.current_size.get() / SECTOR * SECTOR;
        // Virtual PC shows a guest what the geometry says, and so did QEMU. All others go by the current size.
        let by_geometry = matches!(&raw.creator, b"vpc " | b"qemu").then(|| raw.geometry.size()).flatten();
        let mut size = by_geometry.unwrap_or(current);
        if size > crate::MAX_VIRTUAL_SIZE {
            return Err((48, Reason::Size { bytes: size }));
        }
        if kind == Kind::Fixed {
            let available = last.map_or(0, |last| last.offset);
            if by_geometry.is_some() {
                size = size.min(available);
            }
            if size > available {
                return Err((48, Reason::DataShort { size, available }));
            }
        }
        let is_copy = last.is_none_or(|last| last.offset != found.offset);
        Ok(Self { kind, size, header_offset: raw.data_offset.get(), raw, is_copy })
    }

    /// The unique ID, as digits in the order of the file.
    pub(super) fn unique_id(&self) -> String {
        identifier(self.raw.unique_id)
    }

    /// Who made the image, with the version: `win 10.0`.
    pub(super) fn creator(&self) -> String {
        let version = self.raw.creator_version.get();
        let name =
            self.raw.creator.iter().map(|byte| char::from(*byte)).filter(|letter| letter.is_ascii_graphic());
        format!("{} {}.{}", name.collect::<String>(), version >> 16, version & 0xffff)
    }

    /// Whether the disk is as large as the current size says.
    pub(super) fn is_of_exact_size(&self) -> bool {
        self.raw.current_size.get() / SECTOR * SECTOR == self.size
    }

    /// Whether a machine is suspended that uses the disk.
    pub(super) fn is_in_saved_state(&self) -> bool {
        self.raw.saved_state != 0
    }
}

/// An image's identifier as it is shown and compared: lower-case digits in the order of the file.
pub(super) fn identifier(bytes: [u8; 16]) -> String {
    Uuid::from_bytes(bytes).simple().to_string()
}

/// Fails unless `version` is some 1.x.
pub(super) fn check_version(what: &'static str, version: u32) -> Result<(), Reason> {
    let (major, minor) = (version >> 16, version & 0xffff);
    if major == VERSION >> 16 { Ok(()) } else { Err(Reason::Version { what, major, minor }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_footer_is_found_sealed_and_not_when_a_byte_changes() {
        let mut bytes = RawFooter::new(Kind::Fixed, 1 << 20).as_bytes().to_vec();
        assert!(ends_with_footer(&bytes));
        bytes[511] = 1;
        assert!(!ends_with_footer(&bytes));
        assert!(!ends_with_footer(&[0; 512]) && !ends_with_footer(&[]));
    }

    #[test]
    fn a_footer_of_511_bytes_is_found() {
        let footer = RawFooter::new(Kind::Fixed, 1 << 20);
        let short = [&[7], &footer.as_bytes()[..511]].concat();
        assert!(ends_with_footer(&short));
        assert!(in_tail(&short).is_some_and(|(at, found)| at == 1 && found == footer));
    }

    #[test]
    fn seconds_count_from_2000() {
        assert_eq!((timestamp(EPOCH + 7), timestamp(0), timestamp(u64::MAX)), (7, 0, u32::MAX));
    }
}
