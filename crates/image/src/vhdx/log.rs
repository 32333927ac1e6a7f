//! The log: its entries, the sequence of them that has to be replayed ([`active`]), and an entry of our own
//! ([MS-VHDX] section 2.3).

use super::Reason;
use super::file::{File, MIB, SECTOR, checksum, structure};
use super::header::{Header, LogPlace};
use super::region;
use crate::error::Result;
use std::collections::BTreeMap;
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

const ENTRY: [u8; 4] = *b"loge";
const ZERO: [u8; 4] = *b"zero";
const DATA: [u8; 4] = *b"desc";
const SECTOR_DATA: [u8; 4] = *b"data";

/// The longest file that a log is believed to belong to, in bytes: the largest disk, and as much for tables.
const MAX_FILE: u64 = 128 << 40;

/// What an entry begins with (section 2.3.1.1).
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct EntryHeader {
    signature: [u8; 4],
    checksum: U32,
    /// Bytes of the entry, which may wrap around the log's end.
    entry_length: U32,
    /// Where in the log the oldest entry begins whose updates may not be in their places, in bytes.
    tail: U32,
    sequence_number: U64,
    descriptor_count: U32,
    reserved: U32,
    log_guid: [u8; 16],
    /// How long the file is known to be, in bytes.
    flushed_file_offset: U64,
    /// How long the file has to be, in bytes.
    last_file_offset: U64,
}

/// A zero descriptor or a data descriptor (sections 2.3.1.2 and 2.3.1.3).
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Descriptor {
    signature: [u8; 4],
    /// Of data: the last four bytes of the sector.
    trailing_bytes: [u8; 4],
    /// Of data: the first eight bytes of the sector. Of zeroes: how many.
    leading_bytes: [u8; 8],
    file_offset: U64,
    sequence_number: U64,
}

/// What stands of a sector in the log (section 2.3.1.4).
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct DataSector {
    signature: [u8; 4],
    sequence_high: U32,
    /// The sector's bytes from 8 to 4,092.
    data: [u8; 4084],
    sequence_low: U32,
}

const HEADER: u64 = size_of::<EntryHeader>() as u64;
const DESCRIPTOR: u64 = size_of::<Descriptor>() as u64;

const _: () = assert!(HEADER == 64 && DESCRIPTOR == 32 && size_of::<DataSector>() == SECTOR as usize);

/// A change to the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Update {
    /// A sector gets these 4,096 bytes.
    Sector { offset: u64, data: Vec<u8> },
    /// Bytes become zeroes.
    Zero { offset: u64, length: u64 },
}

/// The sequence of entries that has to be replayed, the oldest first.
pub(super) struct Sequence {
    log: LogPlace,
    entries: Vec<Valid>,
    /// How long the file has to be afterwards, in bytes.
    pub(super) file_length: u64,
}

/// An entry that is whole, of sectors of 4,096 bytes.
#[derive(Clone, Copy)]
struct Valid {
    /// Where in the log it begins, and how many there are of it.
    first: u64,
    sectors: u64,
    header: EntryHeader,
}

/// The newest complete sequence of the log of `header`, which is dirty (section 2.3.3).
///
/// Every sector is looked at once or twice, whatever the log says: an entry ends where another begins.
pub(super) fn active(file: &dyn File, header: &Header) -> Result<Sequence> {
    let log = header.log(file)?;
    let entries = valid_entries(file, log, header)?;
    let newest = sequences(&entries, log)
        .max_by_key(|sequence| sequence.last().map_or(0, |entry| entry.header.sequence_number.get()));
    let Some((entries, head)) =
        newest.and_then(|entries| entries.last().copied().map(|head| (entries, head)))
    else {
        return Err(file.damaged(log.offset, Reason::LogEmpty));
    };
    let at = log.offset + head.first * SECTOR;
    let flushed = head.header.flushed_file_offset.get();
    if file.size() < flushed {
        return Err(file.damaged(at, Reason::LogFile { flushed }));
    }
    let file_length = head.header.last_file_offset.get().max(file.size());
    if file_length > MAX_FILE.max(file.size()) {
        return Err(file.damaged(at, Reason::LogTarget { offset: file_length, length: 0 }));
    }
    Ok(Sequence { log, entries, file_length })
}

/// Every valid entry by the sector of the log at which it begins.
fn valid_entries(file: &dyn File, log: LogPlace, header: &Header) -> Result<BTreeMap<u64, Valid>> {
    let mut entries = BTreeMap::new();
    for first in 0..log.length / SECTOR {
        if let Some(entry) = validate(file, log, header, first)? {
            entries.insert(first, entry);
        }
    }
    Ok(entries)
}

/// The sequences of entries, each from its oldest entry that its newest one still needs.
fn sequences(entries: &BTreeMap<u64, Valid>, log: LogPlace) -> impl Iterator<Item = Vec<Valid>> {
    let sectors = log.length / SECTOR;
    let follows = move |entry: &Valid| {
        let next = entries.get(&((entry.first + entry.sectors) % sectors))?;
        let number = entry.header.sequence_number.get().checked_add(1)?;
        (next.header.sequence_number.get() == number).then_some(*next)
    };
    // A chain that begins within a longer one has the same newest entry, and nothing that the longer one lacks.
    let continued: Vec<u64> = entries.values().filter_map(follows).map(|next| next.first).collect();
    let continued: std::collections::BTreeSet<u64> = continued.into_iter().collect();
    entries.values().filter(move |entry| !continued.contains(&entry.first)).filter_map(move |first| {
        let chain: Vec<Valid> = std::iter::successors(Some(*first), follows).collect();
        let tail = u64::from(chain.last()?.header.tail.get());
        let oldest = chain.iter().position(|entry| entry.first * SECTOR == tail)?;
        chain.get(oldest..).map(<[Valid]>::to_vec)
    })
}

/// The entry that begins at the sector `first` of the log, if there is one and it is whole.
fn validate(file: &dyn File, log: LogPlace, current: &Header, first: u64) -> Result<Option<Valid>> {
    let bytes = sector(file, log, first)?;
    let Some(header) = structure::<EntryHeader>(&bytes, 0).filter(|header| header.signature == ENTRY) else {
        return Ok(None);
    };
    let (length, sequence) = (u64::from(header.entry_length.get()), header.sequence_number.get());
    let descriptors = descriptor_sectors(&header);
    let sectors = length / SECTOR;
    let possible = header.log_guid == current.log_guid
        && sequence > 0
        && length.is_multiple_of(SECTOR)
        && (1..=log.length / SECTOR).contains(&sectors)
        && descriptors <= sectors
        && u64::from(header.tail.get()) < log.length;
    if !possible {
        return Ok(None);
    }
    let mut crc = crc32c::crc32c_append(crc32c::crc32c(&ENTRY), &[0; 4]);
    crc = crc32c::crc32c_append(crc, bytes.get(8..).unwrap_or_default());
    let mut data = count_data(&header, 0, &bytes);
    for number in 1..sectors {
        let bytes = sector(file, log, first + number)?;
        let sound = if number < descriptors {
            !bytes.starts_with(&ENTRY)
        } else {
            structure::<DataSector>(&bytes, 0).is_some_and(|sector| {
                let number =
                    u64::from(sector.sequence_high.get()) << 32 | u64::from(sector.sequence_low.get());
                sector.signature == SECTOR_DATA && number == sequence
            })
        };
        if !sound {
            return Ok(None);
        }
        if number < descriptors {
            data = data.zip(count_data(&header, number, &bytes)).map(|(before, here)| before + here);
        }
        crc = crc32c::crc32c_append(crc, &bytes);
    }
    let complete = data == Some(sectors - descriptors) && crc == header.checksum.get();
    Ok(complete.then_some(Valid { first, sectors, header }))
}

/// How many of an entry's sectors hold its header and descriptors.
fn descriptor_sectors(header: &EntryHeader) -> u64 {
    (HEADER + u64::from(header.descriptor_count.get()) * DESCRIPTOR).div_ceil(SECTOR)
}

/// The descriptors in the sector `number` of an entry.
fn descriptors(header: &EntryHeader, number: u64, bytes: &[u8]) -> Vec<Descriptor> {
    // The header takes the room of two descriptors.
    let reserved = HEADER / DESCRIPTOR;
    let (first, end) = (number * SECTOR / DESCRIPTOR, (number + 1) * SECTOR / DESCRIPTOR);
    let end = end.min(reserved + u64::from(header.descriptor_count.get()));
    let places = (first.max(reserved)..end).map(|place| ((place - first) * DESCRIPTOR) as usize);
    places.filter_map(|place| structure(bytes, place)).collect()
}

/// How many data descriptors there are in the sector `number` of an entry; `None` when one of its descriptors is not
/// sound.
fn count_data(header: &EntryHeader, number: u64, bytes: &[u8]) -> Option<u64> {
    let mut data = 0;
    for descriptor in descriptors(header, number, bytes) {
        let aligned = descriptor.file_offset.get().is_multiple_of(SECTOR);
        let sound = match descriptor.signature {
            DATA => {
                data += 1;
                true
            }
            ZERO => u64::from_le_bytes(descriptor.leading_bytes).is_multiple_of(SECTOR),
            _ => false,
        };
        if !sound || !aligned || descriptor.sequence_number.get() != header.sequence_number.get() {
            return None;
        }
    }
    Some(data)
}

/// The sector `number` of the log, which is a ring.
fn sector(file: &dyn File, log: LogPlace, number: u64) -> Result<Vec<u8>> {
    file.part("log", log.offset + number % (log.length / SECTOR) * SECTOR, SECTOR)
}

impl Sequence {
    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Hands on the updates of every entry in their order.
    pub(super) fn updates(&self, file: &dyn File, see: &mut dyn FnMut(Update) -> Result<()>) -> Result<()> {
        for entry in &self.entries {
            let mut data = descriptor_sectors(&entry.header);
            for number in 0..descriptor_sectors(&entry.header) {
                let bytes = sector(file, self.log, entry.first + number)?;
                for descriptor in descriptors(&entry.header, number, &bytes) {
                    let offset = descriptor.file_offset.get();
                    let update = if descriptor.signature == ZERO {
                        Update::Zero { offset, length: u64::from_le_bytes(descriptor.leading_bytes) }
                    } else {
                        data += 1;
                        let bytes = sector(file, self.log, entry.first + data - 1)?;
                        Update::Sector { offset, data: restored(&descriptor, bytes) }
                    };
                    self.check(file, &update)?;
                    see(update)?;
                }
            }
        }
        Ok(())
    }

    /// Fails when an update is where no metadata can be: in the headers, in the log, or far behind the file's end.
    fn check(&self, file: &dyn File, update: &Update) -> Result<()> {
        let (offset, length) = update.place();
        let end = offset.checked_add(length).filter(|end| *end <= MAX_FILE.max(self.file_length));
        let in_log = |end| offset < self.log.offset + self.log.length && end > self.log.offset;
        match end {
            Some(end) if offset >= region::OFFSETS[0] && !in_log(end) => Ok(()),
            _ => Err(file.damaged(self.log.offset, Reason::LogTarget { offset, length })),
        }
    }
}

impl Update {
    /// Where the update is in the file, and how long, in bytes.
    pub(super) fn place(&self) -> (u64, u64) {
        match self {
            Self::Sector { offset, data } => (*offset, data.len() as u64),
            Self::Zero { offset, length } => (*offset, *length),
        }
    }
}

/// A sector as it was before it came into the log.
fn restored(descriptor: &Descriptor, mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.len().saturating_sub(4);
    if let Some((head, tail)) = bytes.split_at_mut_checked(end) {
        tail.copy_from_slice(&descriptor.trailing_bytes);
        if let Some(head) = head.get_mut(..8) {
            head.copy_from_slice(&descriptor.leading_bytes);
        }
    }
    bytes
}

/// The first entry of a log whose entries carry `log_guid`: sectors of 4,096 bytes and where in the file they go. The
/// file is `length` bytes long, a multiple of 1 MiB. There may be 126 sectors.
pub(super) fn entry(log_guid: [u8; 16], length: u64, sectors: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let sequence: u64 = 1;
    let header = EntryHeader {
        signature: ENTRY,
        checksum: 0.into(),
        entry_length: ((1 + sectors.len() as u32) * SECTOR as u32).into(),
        tail: 0.into(),
        sequence_number: sequence.into(),
        descriptor_count: (sectors.len() as u32).into(),
        reserved: 0.into(),
        log_guid,
        flushed_file_offset: (length / MIB * MIB).into(),
        last_file_offset: (length / MIB * MIB).into(),
    };
    let (mut entry, mut data) = (header.as_bytes().to_vec(), Vec::new());
    for (offset, bytes) in sectors {
        let Some((leading, middle, trailing)) = parts(bytes) else { continue };
        let descriptor = Descriptor {
            signature: DATA,
            trailing_bytes: trailing,
            leading_bytes: leading,
            file_offset: (*offset).into(),
            sequence_number: sequence.into(),
        };
        entry.extend_from_slice(descriptor.as_bytes());
        let sector = DataSector {
            signature: SECTOR_DATA,
            sequence_high: ((sequence >> 32) as u32).into(),
            data: middle,
            sequence_low: (sequence as u32).into(),
        };
        data.extend_from_slice(sector.as_bytes());
    }
    entry.resize(SECTOR as usize, 0);
    entry.extend(data);
    let crc = checksum(&entry).to_le_bytes();
    if let Some(slot) = entry.get_mut(4..8) {
        slot.copy_from_slice(&crc);
    }
    entry
}

/// A sector cut into what stands in its descriptor and in its data sector; `None` when it is none.
fn parts(sector: &[u8]) -> Option<([u8; 8], [u8; 4084], [u8; 4])> {
    let (leading, rest) = sector.split_first_chunk()?;
    let (middle, trailing) = rest.split_first_chunk()?;
    Some((*leading, *middle, trailing.try_into().ok()?))
}
