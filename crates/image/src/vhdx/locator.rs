//! The parent locator of a differencing disk ([MS-VHDX] section 2.6.2.6): [`ParentLocator`].

use super::file::structure;
use super::{Reason, text};
use crate::gate::{foreign_base_name, sibling};
use uuid::{Uuid, uuid};
use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The parent is a VHDX: the only type that the specification defines (section 2.6.2.6.3).
const VHDX: Uuid = uuid!("b04aefb7-d19e-4a81-b789-25b8e9445913");

const LINKAGE: &str = "parent_linkage";
const LINKAGE2: &str = "parent_linkage2";
const RELATIVE: &str = "relative_path";
/// Where the parent was on the machine that made the child: only its file's name is of use here.
const ELSEWHERE: [&str; 2] = ["volume_path", "absolute_win32_path"];

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct LocatorHeader {
    locator_type: [u8; 16],
    reserved: U16,
    key_value_count: U16,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct LocatorEntry {
    /// From the beginning of the item, as the other, in bytes.
    key_offset: U32,
    value_offset: U32,
    key_length: U16,
    value_length: U16,
}

const _: () = assert!(size_of::<LocatorHeader>() == 20 && size_of::<LocatorEntry>() == 12);

/// Which image is the parent, and where it may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ParentLocator {
    /// Keys and values as the image has them.
    pairs: Vec<(String, String)>,
}

impl ParentLocator {
    /// The locator of the parent `name`, a path with slashes relative to the child's directory, whose data write GUID
    /// is `content_id`.
    ///
    /// Where the parent is on this host is not recorded: the format's absolute paths are those of Windows.
    pub(super) fn new(name: &str, content_id: Uuid) -> Self {
        let path = name.replace('/', "\\");
        let path = if path.starts_with('.') { path } else { format!(".\\{path}") };
        let pair = |key: &str, value: String| (key.to_owned(), value);
        Self { pairs: vec![pair(LINKAGE, content_id.braced().to_string()), pair(RELATIVE, path)] }
    }

    /// Reads the metadata item.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Reason> {
        let senseless = Reason::Item { what: "parent locator" };
        let header: LocatorHeader = structure(bytes, 0).ok_or_else(|| senseless.clone())?;
        let id = Uuid::from_bytes_le(header.locator_type);
        if id != VHDX {
            return Err(Reason::LocatorType { id });
        }
        let mut pairs = Vec::new();
        for number in 0..usize::from(header.key_value_count.get()) {
            let place = size_of::<LocatorHeader>() + number * size_of::<LocatorEntry>();
            let entry: LocatorEntry = structure(bytes, place).ok_or_else(|| senseless.clone())?;
            let string = |offset: U32, length: U16| {
                let start = offset.get() as usize;
                bytes.get(start..start + usize::from(length.get())).and_then(text::strict)
            };
            let key = string(entry.key_offset, entry.key_length).ok_or_else(|| senseless.clone())?;
            let value = string(entry.value_offset, entry.value_length).ok_or_else(|| senseless.clone())?;
            pairs.push((key, value));
        }
        let locator = Self { pairs };
        if locator.content_ids().is_empty() {
            return Err(Reason::LocatorKey { key: LINKAGE });
        }
        if locator.paths().next().is_none() {
            return Err(Reason::LocatorKey { key: RELATIVE });
        }
        Ok(locator)
    }

    /// The metadata item.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let header = LocatorHeader {
            locator_type: VHDX.to_bytes_le(),
            reserved: 0.into(),
            key_value_count: (self.pairs.len() as u16).into(),
        };
        let mut entries = header.as_bytes().to_vec();
        let first = size_of::<LocatorHeader>() + self.pairs.len() * size_of::<LocatorEntry>();
        let mut strings = Vec::new();
        for (key, value) in &self.pairs {
            let (key, value) = (text::encode(key), text::encode(value));
            let key_offset = first + strings.len();
            let entry = LocatorEntry {
                key_offset: (key_offset as u32).into(),
                value_offset: ((key_offset + key.len()) as u32).into(),
                key_length: (key.len() as u16).into(),
                value_length: (value.len() as u16).into(),
            };
            entries.extend_from_slice(entry.as_bytes());
            strings.extend(key);
            strings.extend(value);
        }
        entries.extend(strings);
        entries
    }

    /// The data write GUIDs of which the parent has one. There may be two while a child is being merged
    /// (section 2.6.2.6.3).
    pub(super) fn content_ids(&self) -> Vec<String> {
        let of = |key| self.value(key).and_then(|value| Uuid::try_parse(value.trim()).ok());
        let ids = [LINKAGE, LINKAGE2].into_iter().filter_map(of).filter(|id| !id.is_nil());
        ids.map(|id| id.to_string()).collect()
    }

    /// What the parent may be called by the gate to which the child is `name`, the likeliest first: the relative path,
    /// and then files beside the child that are called as the parent was elsewhere.
    pub(super) fn names(&self, name: &str) -> Vec<String> {
        let relative = self.value(RELATIVE).map(|path| path.replace('\\', "/"));
        let relative = relative.as_deref().map(|path| path.strip_prefix("./").unwrap_or(path));
        let mut names: Vec<String> = relative.iter().map(|path| sibling(name, path)).collect();
        for path in self.paths() {
            let base = sibling(name, foreign_base_name(path).unwrap_or(path));
            if !names.contains(&base) {
                names.push(base);
            }
        }
        names
    }

    /// The paths that the image has, in the order in which they are to be tried.
    fn paths(&self) -> impl Iterator<Item = &str> {
        let keys = std::iter::once(RELATIVE).chain(ELSEWHERE);
        keys.filter_map(|key| self.value(key)).filter(|path| !path.is_empty())
    }

    fn value(&self, key: &str) -> Option<&str> {
        let found = self.pairs.iter().find(|pair| pair.0.eq_ignore_ascii_case(key));
        found.map(|pair| pair.1.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let id = Uuid::from_u128(0x1234_5678_9abc_def0_1234_5678_9abc_def0);
        let locator = ParentLocator::new("vm/base disk.vhdx", id);
        let read = ParentLocator::parse(&locator.to_bytes()).unwrap();
        assert_eq!(read, locator);
        assert_eq!(read.content_ids(), [id.to_string()]);
        assert_eq!(read.names("a/child.vhdx"), ["a/vm/base disk.vhdx", "a/base disk.vhdx"]);
        assert_eq!(read.value(LINKAGE), Some("{12345678-9abc-def0-1234-56789abcdef0}"));
        assert_eq!(read.value(RELATIVE), Some(".\\vm\\base disk.vhdx"));
    }

    #[test]
    fn names_come_from_every_path_and_ids_from_both_linkages() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let locator = ParentLocator {
            pairs: vec![
                pair("absolute_win32_path", "\\\\?\\D:\\vm\\c.vhdx"),
                pair("parent_linkage2", "{00000000-0000-0000-0000-000000000002}"),
                pair("parent_linkage", "{00000000-0000-0000-0000-000000000001}"),
                pair("relative_path", "..\\b\\b.vhdx"),
            ],
        };
        assert_eq!(locator.names("x.vhdx"), ["../b/b.vhdx", "b.vhdx", "c.vhdx"]);
        let ids = locator.content_ids();
        assert!(ids[0].ends_with('1') && ids[1].ends_with('2') && ids.len() == 2);
    }

    #[test]
    fn locators_that_lie_are_refused() {
        let good = ParentLocator::new("b.vhdx", Uuid::from_u128(7)).to_bytes();
        for length in 0..good.len() {
            assert!(ParentLocator::parse(&good[..length]).is_err(), "{length}");
        }
        let mut other = good.clone();
        other[0] ^= 1;
        assert!(matches!(ParentLocator::parse(&other), Err(Reason::LocatorType { .. })));
        let mut far = good;
        far[20..24].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(matches!(ParentLocator::parse(&far), Err(Reason::Item { .. })));
    }
}
