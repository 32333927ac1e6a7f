//! The binary `.vmcx` of Windows Server 2016 and later: Hyper-V's storage of keys and values.
//!
//! There is no published specification. The layout is that of files of version 0x400, as dissect.hypervisor documents it;
//! all numbers are little-endian and not aligned:
//!
//! * two headers, at 0 and 0x1000, each with a CRC-32 of its own: the one with the higher sequence number counts;
//! * at 0x2000 a table of objects: further such tables, tables of keys, and files, which hold long values;
//! * tables of keys, whose entries name the table and the offset of their parents.

use super::container::{Reader, Storage};
use super::error::Error;
use super::settings;
use super::tree::Tree;
use crate::Parsed;
use crate::dialects::{Dialect, Head};

/// The longest file that is read, in bytes: real ones have some hundred kilobytes.
pub const MAX_SIZE: usize = 16 << 20;

/// The dialect.
pub static DIALECT: Dialect = Dialect {
    name: "hyperv-vmcx",
    description: "a Hyper-V configuration (.vmcx)",
    ending: "vmcx",
    executable: false,
    recognise,
    parse: Some(|bytes| Ok(parse(bytes)?)),
    render: None,
};

/// Saved states (`.vmrs`) are such a storage too, with another root.
fn recognise(head: &Head<'_>) -> bool {
    let is_storage = Reader::new(head.bytes).u32() == Some(super::container::SIGNATURE);
    let root = b"configuration\0";
    is_storage && head.bytes.windows(root.len()).any(|bytes| bytes == root)
}

/// Reads the file.
///
/// # Errors
/// When it is no `.vmcx`, is damaged, or a value that the machine depends on is wrong.
pub fn parse(bytes: &[u8]) -> Result<Parsed, Error> {
    settings::machine(tree(bytes)?)
}

/// Reads the tree of properties alone.
///
/// # Errors
/// When it is no `.vmcx`, or is damaged.
pub fn tree(bytes: &[u8]) -> Result<Tree, Error> {
    if bytes.len() > MAX_SIZE {
        return Err(Error::TooLarge { size: bytes.len(), limit: MAX_SIZE });
    }
    Storage::read(bytes)?.tree()
}
