//! The formats, in one table: [`FORMATS`]; and [`probe`], which tells them apart.

mod refused;

use crate::check::Check;
use crate::copy::Layout;
use crate::create::NewImage;
use crate::error::{Error, Result};
use crate::layer::Layer;
use crate::open::Opening;
use crate::storage::Storage;
use crate::{parallels, qcow, qcow2, qed, raw, vdi, vhd, vhdx, vmdk};
use block::BlockRead;
use std::path::Path;

/// A virtual-disk format, or one that is known only to be refused by its name.
#[derive(Debug)]
pub struct Format {
    /// The name by which images and users call it.
    pub name: &'static str,
    /// What an image of it is called in a message, with its article.
    pub description: &'static str,
    /// How the names of its files end, without the dot; the usual one first.
    pub endings: &'static [&'static str],
    /// The variants in which it can be written, the default one first; empty when it has none.
    pub subformats: &'static [&'static str],
    /// Whether a file is one, from its ends. Raw has none: it is what nothing else is.
    pub(crate) probe: fn(&Ends) -> bool,
    /// How it is opened; `None` when it cannot be.
    pub(crate) open: Option<Open>,
    /// How a new one is laid out; `None` when it cannot be written.
    pub(crate) create: Option<Create>,
    /// How one is checked beyond what opening and reading it does.
    pub(crate) inspect: Option<Inspect>,
    /// How what is safe to repair is repaired.
    pub(crate) repair: Option<Repair>,
    /// How its disk is made larger or smaller.
    pub(crate) resize: Option<Resize>,
}

/// Opens one image, without its parent.
pub(crate) type Open = fn(Opening<'_>) -> Result<Layer>;
/// The layout of a new image of a disk of so many bytes, in a file of this name (without its directory).
pub(crate) type Create = fn(u64, &str, &NewImage) -> Result<Box<dyn Layout>>;
/// Looks for everything that is wrong with an image's structure and adds it to the check.
pub(crate) type Inspect = fn(&Opening<'_>, &mut Check) -> Result<()>;
/// Repairs an image in place; what was found and repaired is added to the check. The path is for messages.
pub(crate) type Repair = fn(&dyn Storage, &Path, &mut Check) -> Result<()>;
/// Gives an image's disk a new size in bytes, in place. The path is for messages.
pub(crate) type Resize = fn(&dyn Storage, &Path, u64) -> Result<()>;

/// What a file begins and ends with.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    /// The first bytes, up to [`HEAD`].
    pub(crate) head: Vec<u8>,
    /// The last 512 bytes, empty when the file is shorter.
    pub(crate) tail: Vec<u8>,
}

impl Ends {
    /// Whether `magic` stands at byte `offset`.
    pub(crate) fn has(&self, magic: &[u8], offset: usize) -> bool {
        self.head.get(offset..).is_some_and(|rest| rest.starts_with(magic))
    }
}

/// How much of a file's beginning is looked at.
const HEAD: u64 = 4096;

/// Every format that is read or written. The first whose probe says so is taken; raw is last.
pub static FORMATS: &[&Format] = &[
    &vmdk::FORMAT,
    &qcow2::FORMAT,
    &vhdx::FORMAT,
    &vdi::FORMAT,
    &parallels::FORMAT,
    &qed::FORMAT,
    &qcow::FORMAT,
    &vhd::FORMAT,
    &raw::FORMAT,
];

/// What [`probe`] found.
#[derive(Clone, Copy, Debug)]
pub struct Probe {
    /// The format, raw for whatever is nothing else.
    pub format: &'static Format,
    /// Whether the file is a gzip stream, in which case `format` says nothing about what is inside.
    pub gzip: bool,
}

/// Tells by its first and last bytes what format `disk`, the bytes of a file, is in. It may be one that is only known
/// to be refused.
///
/// # Errors
/// Those of reading `disk`.
pub fn probe(disk: &dyn BlockRead) -> block::Result<Probe> {
    let size = disk.size();
    let mut ends = Ends { head: vec![0; size.min(HEAD) as usize], tail: Vec::new() };
    disk.read_at(&mut ends.head, 0)?;
    if size >= 512 {
        ends.tail = vec![0; 512];
        disk.read_at(&mut ends.tail, size - 512)?;
    }
    // What is refused comes before raw, which is anything.
    let known = FORMATS.iter().copied().filter(|format| format.name != raw::FORMAT.name);
    let format = known
        .chain(refused::REFUSED.iter().copied())
        .find(|format| (format.probe)(&ends))
        .unwrap_or(&raw::FORMAT);
    Ok(Probe { format, gzip: ends.has(b"\x1f\x8b\x08", 0) })
}

/// The format that is called `name` here or by QEMU (`vpc` is VHD), or whose files end so.
pub fn by_name(name: &str) -> Option<&'static Format> {
    let name = name.to_ascii_lowercase();
    let name = if name == "vpc" { "vhd" } else { &name };
    let named = FORMATS.iter().find(|format| format.name == name);
    named.or_else(|| FORMATS.iter().find(|format| format.endings.contains(&name))).copied()
}

impl Format {
    /// A format of which nothing can be done yet, to be filled in with `..`.
    pub(crate) const fn unknown(
        name: &'static str,
        description: &'static str,
        probe: fn(&Ends) -> bool,
    ) -> Self {
        Self {
            name,
            description,
            endings: &[],
            subformats: &[],
            probe,
            open: None,
            create: None,
            inspect: None,
            repair: None,
            resize: None,
        }
    }

    /// Opens an image of it, without its parent.
    pub(crate) fn open(&self, opening: Opening<'_>) -> Result<Layer> {
        match self.open {
            Some(open) => open(opening),
            None => Err(Error::Unsupported { path: opening.source.path, format: self.description }),
        }
    }

    /// Whether images of it can be opened.
    pub fn is_readable(&self) -> bool {
        self.open.is_some()
    }

    /// Whether new images of it can be made.
    pub fn is_writable(&self) -> bool {
        self.create.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_found_by_name_and_by_ending() {
        assert_eq!(by_name("VHDX").map(|format| format.name), Some("vhdx"));
        assert_eq!(by_name("vpc").map(|format| format.name), Some("vhd"));
        assert_eq!(by_name("img").map(|format| format.name), Some("raw"));
        assert!(by_name("docx").is_none());
    }

    #[test]
    fn raw_is_last_and_names_are_unique() {
        assert_eq!(FORMATS.last().map(|format| format.name), Some("raw"));
        let mut names: Vec<_> = FORMATS.iter().chain(refused::REFUSED).map(|format| format.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), FORMATS.len() + refused::REFUSED.len());
    }
}
