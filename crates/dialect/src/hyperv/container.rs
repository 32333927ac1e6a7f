//! The storage of keys and values that a `.vmcx` is ([`super::vmcx`] says how it is laid out): [`Storage`].

use super::error::Error;
use super::tree::{MAX_VALUES, Tree, Value};
use std::collections::{BTreeMap, BTreeSet};

/// What a header begins with.
pub(super) const SIGNATURE: u32 = 0x0128_2014;
/// The version that is read.
const VERSION: u32 = 0x400;
/// Where the two headers are.
const HEADERS: [usize; 2] = [0, 0x1000];
/// A header's size.
const HEADER: usize = 0x2e;
/// Where the first table of objects is.
const OBJECTS: u64 = 0x2000;
/// What a table of objects begins with.
const OBJECT_TABLE: u32 = 0x0111_0001;
/// The size of an entry in it.
const OBJECT: usize = 18;
/// What a log of changes begins with.
const REPLAY_LOG: u32 = 0x0111_0003;
/// What a table of keys begins with.
const KEY_TABLE: u16 = 2;
/// The size of its header.
const KEY_TABLE_HEADER: usize = 10;
/// The size of an entry's header, after which its name and its value follow.
const KEY: usize = 21;
/// Set in an entry's type when the value is in an object of its own.
const IN_FILE: u16 = 0x100;
/// The most objects of one file.
const MAX_OBJECTS: usize = 1 << 16;
/// How deep keys lie in each other: Hyper-V's own six levels.
const MAX_DEPTH: usize = 24;

/// Little-endian numbers one after the other.
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*first)
    }

    fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}

/// A stretch of the file.
fn slice(bytes: &[u8], offset: u64, size: u64) -> Option<&[u8]> {
    let start = usize::try_from(offset).ok()?;
    let end = usize::try_from(offset.checked_add(size)?).ok()?;
    bytes.get(start..end)
}

/// Whether the CRC-32 that stands at `at` is that of the structure without it.
fn has_checksum(structure: &[u8], at: usize) -> bool {
    let (Some(before), Some(after)) = (structure.get(..at), structure.get(at.saturating_add(4)..)) else {
        return false;
    };
    let said = structure.get(at..).and_then(|rest| Reader::new(rest).u32());
    let mut hasher = crc32fast::Hasher::new();
    for part in [before, &[0; 4], after] {
        hasher.update(part);
    }
    said == Some(hasher.finalize())
}

/// An entry of a table of keys.
struct Key<'a> {
    kind: u16,
    parent: (u16, u32),
    name: &'a [u8],
    data: &'a [u8],
}

/// The keys and values of a file.
pub(super) struct Storage<'a> {
    bytes: &'a [u8],
    /// The keys by the index of their table and their offset in it.
    keys: BTreeMap<(u16, u32), Key<'a>>,
}

impl<'a> Storage<'a> {
    /// Reads all tables.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Error> {
        check_log(bytes, log_offset(bytes)?)?;
        let mut storage = Self { bytes, keys: BTreeMap::new() };
        for table in current_tables(bytes)? {
            storage.read_keys(table)?;
        }
        Ok(storage)
    }

    fn read_keys(&mut self, table: KeyTable<'a>) -> Result<(), Error> {
        let mut at = KEY_TABLE_HEADER;
        while let Some(rest) = table.bytes.get(at..).filter(|rest| rest.len() >= KEY) {
            let damaged = || Error::Damaged {
                what: "the entry of a key",
                offset: table.offset.saturating_add(at as u64),
            };
            let (size, key) = read_key(rest).ok_or_else(damaged)?;
            if size == 0 {
                break;
            }
            if self.keys.len() >= MAX_VALUES {
                return Err(Error::TooMany { limit: MAX_VALUES });
            }
            let offset = u32::try_from(at).map_err(|_| damaged())?;
            self.keys.insert((table.index, offset), key);
            at = at.checked_add(size).ok_or_else(damaged)?;
        }
        Ok(())
    }

    /// The values by their ways from the root `configuration`.
    pub(super) fn tree(&self) -> Result<Tree, Error> {
        let mut tree = Tree::default();
        // Values may share an object; together they are still no larger than the file.
        let mut left = self.bytes.len();
        for key in self.keys.values() {
            let Some(value) = self.value(key, &mut left)? else { continue };
            let path = self.path(key)?;
            if let Some(path) = path.strip_prefix("configuration/") {
                tree.insert(path.to_owned(), value)?;
            }
        }
        Ok(tree)
    }

    fn path(&self, key: &Key) -> Result<String, Error> {
        let mut names = vec![name(key)];
        let mut parent = key.parent;
        while parent.0 != 0 {
            let node = self.keys.get(&parent).filter(|_| names.len() < MAX_DEPTH);
            let node = node.ok_or_else(|| Error::TooDeep { path: crate::text::excerpt(&name(key), 60) })?;
            names.push(name(node));
            parent = node.parent;
        }
        names.reverse();
        Ok(names.join("/"))
    }

    /// The value of a key; none for one that is free or holds further keys.
    fn value(&self, key: &Key, left: &mut usize) -> Result<Option<Value>, Error> {
        let wrong = |what: &'static str| Error::Key { name: name(key), what };
        let mut data = Reader::new(key.data);
        let value = match key.kind & 0xff {
            1 | 9 => None,
            3 => data.array().map(i64::from_le_bytes).map(Value::Int),
            4 => data.u64().map(Value::UInt),
            5 => data.array().map(f64::from_le_bytes).map(Value::Double),
            8 => data.u32().map(|value| Value::Bool(value != 0)),
            kind @ (6 | 7) => {
                let bytes = self.long(key).ok_or_else(|| wrong("lies outside of the file"))?;
                *left = left.checked_sub(bytes.len()).ok_or_else(|| wrong("is longer than the file"))?;
                let text = || encoding_rs::UTF_16LE.decode_without_bom_handling(bytes).0.into_owned();
                Some(if kind == 6 { Value::Text(text()) } else { Value::Bytes(bytes.to_vec()) })
            }
            _ => return Err(wrong("is of an unknown type")),
        };
        match key.kind & 0xff {
            1 | 9 => Ok(None),
            _ => value.map(Some).ok_or_else(|| wrong("is cut off")),
        }
    }

    /// The bytes of a value of any length: in the entry after their number, or in an object that the entry names.
    fn long(&self, key: &Key<'a>) -> Option<&'a [u8]> {
        let mut data = Reader::new(key.data);
        let size = data.u32()?;
        if key.kind & IN_FILE == 0 {
            return data.0.get(..usize::try_from(size).ok()?);
        }
        slice(self.bytes, data.u64()?, u64::from(size))
    }
}

/// Names are ASCII in all files that were seen.
fn name(key: &Key) -> String {
    String::from_utf8_lossy(key.name).into_owned()
}

/// An entry and its size; the size is 0 where the entries end.
fn read_key(rest: &[u8]) -> Option<(usize, Key<'_>)> {
    let mut reader = Reader::new(rest);
    let kind = reader.u16()?;
    let size = usize::try_from(reader.u32()?).ok()?;
    let parent = (reader.u16()?, reader.u32()?);
    let (_checksum, _insertion) = (reader.u32()?, reader.u32()?);
    let value = usize::from(reader.u8()?);
    if size == 0 {
        return Some((0, Key { kind, parent, name: &[], data: &[] }));
    }
    let body = rest.get(KEY..size)?;
    // What is free has no name; all other names end with NUL.
    let (name, data) = if kind & 0xff == 1 { (&body[..0], body) } else { body.split_at_checked(value)? };
    Some((size, Key { kind, parent, name: name.strip_suffix(&[0]).unwrap_or(name), data }))
}

/// Where the log is, by the header that counts.
fn log_offset(bytes: &[u8]) -> Result<u64, Error> {
    let header = |offset: &usize| {
        let header = bytes.get(*offset..)?.get(..HEADER)?;
        let mut reader = Reader::new(header);
        let is_header = reader.u32()? == SIGNATURE && has_checksum(header, 4);
        let (_checksum, sequence, version) = (reader.u32()?, reader.u16()?, reader.u32()?);
        let (_unknown, _alignment, log) = (reader.u64()?, reader.u32()?, reader.u64()?);
        is_header.then_some((sequence, version, log))
    };
    let newest = HEADERS.iter().filter_map(header).max_by_key(|(sequence, ..)| *sequence);
    match newest {
        None => Err(Error::Header),
        Some((_, VERSION, log)) => Ok(log),
        Some((_, version, _)) => Err(Error::StorageVersion { version, known: VERSION }),
    }
}

/// That no change waits in the log: how one is replayed is not known.
fn check_log(bytes: &[u8], offset: u64) -> Result<(), Error> {
    let damaged = || Error::Damaged { what: "the log of changes", offset };
    let mut reader = Reader::new(slice(bytes, offset, 12).ok_or_else(damaged)?);
    let (signature, _checksum, entries) = (reader.u32(), reader.u32(), reader.u32());
    match (signature, entries) {
        (Some(REPLAY_LOG), Some(0)) => Ok(()),
        (Some(REPLAY_LOG), Some(entries)) => Err(Error::Dirty { entries }),
        _ => Err(damaged()),
    }
}

/// A table of keys.
struct KeyTable<'a> {
    index: u16,
    sequence: u16,
    offset: u64,
    bytes: &'a [u8],
}

/// The tables of keys; of those with the same index, the one with the higher sequence number.
fn current_tables(bytes: &[u8]) -> Result<Vec<KeyTable<'_>>, Error> {
    let mut tables: BTreeMap<u16, KeyTable<'_>> = BTreeMap::new();
    let (mut waiting, mut seen) = (vec![OBJECTS], BTreeSet::new());
    let mut left = MAX_OBJECTS;
    while let Some(offset) = waiting.pop() {
        if !seen.insert(offset) {
            continue;
        }
        for (kind, at, size) in object_table(bytes, offset, &mut left)? {
            match kind {
                1 => waiting.push(at),
                2 => {
                    let table = key_table(bytes, at, size)?;
                    if tables.get(&table.index).is_none_or(|other| other.sequence < table.sequence) {
                        tables.insert(table.index, table);
                    }
                }
                _ => {}
            }
        }
    }
    Ok(tables.into_values().collect())
}

/// The objects of a table that are in use: kind, offset and size. No more than `left` are looked at in all tables.
fn object_table(bytes: &[u8], offset: u64, left: &mut usize) -> Result<Vec<(u8, u64, u64)>, Error> {
    let damaged = || Error::Damaged { what: "the table of objects", offset };
    let mut reader = Reader::new(slice(bytes, offset, 8).ok_or_else(damaged)?);
    let (signature, count) = (reader.u32(), reader.u32().ok_or_else(damaged)?);
    let size = u64::from(count).saturating_mul(OBJECT as u64);
    let entries = slice(bytes, offset.saturating_add(8), size).ok_or_else(damaged)?;
    if signature != Some(OBJECT_TABLE) {
        return Err(damaged());
    }
    *left = left.checked_sub(entries.len() / OBJECT).ok_or(Error::TooMany { limit: MAX_OBJECTS })?;
    let mut objects = Vec::new();
    for entry in entries.chunks_exact(OBJECT) {
        let mut reader = Reader::new(entry);
        let (kind, _checksum) = (reader.u8(), reader.u32());
        if let (Some(kind), Some(at), Some(size), Some(1..)) = (kind, reader.u64(), reader.u32(), reader.u8())
        {
            if !has_checksum(entry, 1) {
                return Err(damaged());
            }
            objects.push((kind, at, u64::from(size)));
        }
    }
    Ok(objects)
}

fn key_table(bytes: &[u8], offset: u64, size: u64) -> Result<KeyTable<'_>, Error> {
    let damaged = || Error::Damaged { what: "a table of keys", offset };
    let table = slice(bytes, offset, size).ok_or_else(damaged)?;
    let mut reader = Reader::new(table);
    match (reader.u16(), reader.u16(), reader.u16()) {
        (Some(KEY_TABLE), Some(index), Some(sequence)) => {
            Ok(KeyTable { index, sequence, offset, bytes: table })
        }
        _ => Err(damaged()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_none_is_refused() {
        assert!(matches!(Storage::read(b"").err(), Some(Error::Header)));
        assert!(matches!(Storage::read(&[0; 0x3000]).err(), Some(Error::Header)));
    }

    #[test]
    fn entries_that_reach_too_far_are_refused() {
        let mut entry = vec![0; KEY + 12];
        entry[0] = 4;
        entry[2..6].copy_from_slice(&200_u32.to_le_bytes());
        assert!(read_key(&entry).is_none());
        entry[2] = 33;
        entry[20] = 4;
        entry[21..25].copy_from_slice(b"abc\0");
        let (size, key) = read_key(&entry).unwrap();
        assert_eq!((size, key.name, key.data.len()), (33, &b"abc"[..], 8));
        entry[20] = 13;
        assert!(read_key(&entry).is_none());
    }
}
