//! The file type identifier ([MS-VHDX] section 2.2.1).

use super::file::{File, structure};
use super::{Reason, text};
use crate::error::Result;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// What every VHDX begins with.
pub(super) const SIGNATURE: [u8; 8] = *b"vhdxfile";

/// The structure at the file's beginning. It is written once, when the file is made.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct FileTypeIdentifier {
    signature: [u8; 8],
    /// Who made the file, as UTF-16 padded with NUL; may be cut short without one.
    creator: [u8; 512],
}

const _: () = assert!(size_of::<FileTypeIdentifier>() == 520);

/// Who made the file, by its own words.
pub(super) fn creator(file: &dyn File) -> Result<String> {
    let bytes = file.part("file type identifier", 0, size_of::<FileTypeIdentifier>() as u64)?;
    let found = structure::<FileTypeIdentifier>(&bytes, 0).filter(|found| found.signature == SIGNATURE);
    let found = found.ok_or_else(|| file.damaged(0, Reason::NotVhdx))?;
    let text = text::lossy(&found.creator);
    Ok(text.split('\0').next().unwrap_or_default().trim().to_owned())
}

/// The identifier of a file made by `creator`, which is at most 255 characters long.
pub(super) fn identifier(creator: &str) -> Vec<u8> {
    let mut name = text::encode(creator);
    name.resize(512, 0);
    [&SIGNATURE[..], &name].concat()
}
