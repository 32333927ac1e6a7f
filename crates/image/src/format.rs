//! The formats, in one table: [`FORMATS`]; and [`probe`], which tells them apart.

use crate::error::{Error, Result};
use crate::gate::Gate;
use crate::layer::{Layer, LayerInfo};
use crate::source::Source;
use crate::{qcow2, vmdk};
use block::BlockRead;

/// A virtual-disk format, or one that is known only to be refused by its name.
#[derive(Debug)]
pub struct Format {
    /// The name by which images and users call it.
    pub name: &'static str,
    /// What an image of it is called in a message, with its article.
    pub description: &'static str,
    /// Whether a file is one, from its ends. Raw has none: it is what nothing else is.
    probe: fn(&Ends) -> bool,
    /// How it is opened; `None` when it cannot be.
    pub(crate) open: Option<Open>,
}

/// How a format opens an image: through a gate, the image that it calls by a name.
pub(crate) type Open = fn(&dyn Gate, &str, Source) -> Result<Layer>;

/// What a file begins and ends with.
#[derive(Debug, Default)]
struct Ends {
    /// The first bytes, up to [`HEAD`].
    head: Vec<u8>,
    /// The last 512 bytes, empty when the file is shorter.
    tail: Vec<u8>,
}

impl Ends {
    /// Whether `magic` stands at byte `offset`.
    fn has(&self, magic: &[u8], offset: usize) -> bool {
        self.head.get(offset..).is_some_and(|rest| rest.starts_with(magic))
    }
}

/// How much of a file's beginning is looked at.
const HEAD: u64 = 4096;

/// Every format that is recognised. The first whose probe says so is taken; raw is last.
pub static FORMATS: &[Format] = &[
    Format {
        name: "vmdk",
        description: "a VMDK",
        probe: |ends| vmdk::probe(&ends.head),
        open: Some(vmdk::open),
    },
    Format {
        name: "qcow2",
        description: "a qcow2 image",
        probe: |ends| qcow2::probe(&ends.head),
        open: Some(qcow2::open),
    },
    known("sesparse", "an ESX space-efficient sparse extent (seSparse)", |ends| {
        ends.has(&[0xbe, 0xba, 0xfe, 0xca, 0, 0, 0, 0], 0)
    }),
    known("qcow", "a qcow image of version 1", |ends| ends.has(b"QFI\xfb\0\0\0\x01", 0)),
    known("vhdx", "a VHDX image", |ends| ends.has(b"vhdxfile", 0)),
    // A fixed VHD has its footer at the end alone.
    known("vhd", "a VHD image", |ends| ends.has(b"conectix", 0) || ends.tail.starts_with(b"conectix")),
    known("vdi", "a VirtualBox VDI image", |ends| ends.has(&0xbeda_107f_u32.to_le_bytes(), 0x40)),
    known("parallels", "a Parallels image", |ends| {
        ends.has(b"WithoutFreeSpace", 0) || ends.has(b"WithouFreSpacExt", 0)
    }),
    known("qed", "a QED image", |ends| ends.has(b"QED\0", 0)),
    known("bochs", "a Bochs image", |ends| ends.has(b"Bochs Virtual HD Image", 0)),
    known("dmg", "an Apple disk image (DMG)", |ends| ends.tail.starts_with(b"koly")),
    known("cloop", "a compressed loop image (cloop)", |ends| ends.has(b"#!/bin/sh\n#V2.0 Format", 0)),
    known("ewf", "an EnCase image (EWF)", |ends| ends.has(b"EVF\x09\x0d\x0a\xff\0", 0)),
    known("wim", "a Windows imaging file (WIM)", |ends| ends.has(b"MSWIM\0\0\0", 0)),
    known("xz", "an xz stream", |ends| ends.has(b"\xfd7zXZ\0", 0)),
    known("bzip2", "a bzip2 stream", |ends| ends.has(b"BZh", 0) && ends.has(b"1AY&SY", 4)),
    known("zstd", "a zstd stream", |ends| ends.has(&0xfd2f_b528_u32.to_le_bytes(), 0)),
    known("lz4", "an lz4 stream", |ends| ends.has(&0x184d_2204_u32.to_le_bytes(), 0)),
    known("zip", "a ZIP archive", |ends| ends.has(b"PK\x03\x04", 0)),
    known("7z", "a 7-Zip archive", |ends| ends.has(b"7z\xbc\xaf\x27\x1c", 0)),
    // An OVA is one; its disks are opened through its own gate.
    known("tar", "a tar archive", |ends| ends.has(b"ustar", 257)),
    Format { name: "raw", description: "a raw image", probe: |_| true, open: Some(open_raw) },
];

/// A format that is recognised so that it is never taken for raw.
const fn known(name: &'static str, description: &'static str, probe: fn(&Ends) -> bool) -> Format {
    Format { name, description, probe, open: None }
}

/// What [`probe`] found.
#[derive(Clone, Copy, Debug)]
pub struct Probe {
    /// The format, raw for whatever is nothing else.
    pub format: &'static Format,
    /// Whether the file is a gzip stream, in which case `format` says nothing about what is inside.
    pub gzip: bool,
}

/// Tells by its first and last bytes what format `disk`, the bytes of a file, is in.
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
    let format = FORMATS.iter().find(|format| (format.probe)(&ends)).unwrap_or(&RAW);
    Ok(Probe { format, gzip: ends.has(b"\x1f\x8b\x08", 0) })
}

/// The format called `name`.
pub(crate) fn by_name(name: &str) -> Option<&'static Format> {
    FORMATS.iter().find(|format| format.name == name)
}

impl Format {
    /// Opens the image in `source`, which `gate` calls `name`.
    pub(crate) fn open(&self, gate: &dyn Gate, name: &str, source: Source) -> Result<Layer> {
        match self.open {
            Some(open) => open(gate, name, source),
            None => Err(Error::Unsupported { path: source.path, format: self.description }),
        }
    }

    /// Whether images of it can be opened.
    pub fn is_readable(&self) -> bool {
        self.open.is_some()
    }
}

static RAW: Format =
    Format { name: "raw", description: "a raw image", probe: |_| true, open: Some(open_raw) };

fn open_raw(_gate: &dyn Gate, name: &str, source: Source) -> Result<Layer> {
    let info = LayerInfo {
        format: "raw",
        subformat: None,
        virtual_size: source.size(),
        files: vec![name.to_owned()],
        content_id: None,
    };
    Ok(Layer { disk: source.disk, info, parent: None })
}
