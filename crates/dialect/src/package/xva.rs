//! An XVA, XenServer's and XCP-ng's tar archive of a machine, read where it is.
//!
//! `ova.xml` comes first; then the disks in the order of their references, each cut into blocks of 1 MiB
//! (`Ref:4/00000000`, `Ref:4/00000001`, …), each followed by its checksum (`.checksum`: SHA-1, `.xxhash`: XXH64). A block of
//! zeroes is left out. There is no specification; this is what xapi's import does: a block's place on the disk follows from
//! the lengths of those before it and from how many numbers are left out, and a block of no length is but a sign of life.

use super::recognise::{Named, Source};
use super::tar::{self, Header, TarError};
use super::xva_sums::{BlockSums, KINDS};
use super::{Digests, Error, Facts, Package, PackagedFile, Result};
use crate::xva;
use block::{BlockRead, Extent, check_range, check_span};
use image::{Gate, GateError, GateReason};
use machine::{Loss, Severity};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

/// What every exporter writes at once, in bytes.
pub(super) const BLOCK: u64 = 1 << 20;
/// What members of a tar archive are padded to, in bytes.
const RECORD: u64 = 512;
/// The first member.
pub(super) const DESCRIPTION: &str = "ova.xml";

/// The kind of package.
pub(super) static SOURCE: Source = Source {
    name: "xva",
    description: "a XenServer or XCP-ng archive (.xva)",
    open: |named| is_xva(&named.head).then(|| open(named)),
};

fn is_xva(head: &[u8]) -> bool {
    let name = head.get(..100).and_then(|field| field.split(|&byte| byte == 0).next());
    tar::is_tar(head)
        && name.is_some_and(|name| name.strip_prefix(b"./").unwrap_or(name) == DESCRIPTION.as_bytes())
}

/// Why the disks of an XVA are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum XvaError {
    /// The numbers of a disk's blocks do not go up.
    #[error("the block {name:?} comes after one with a higher number")]
    Order {
        /// The block.
        name: String,
    },
    /// A block lies past the end of its disk.
    #[error("the block {name:?} ends at byte {end} of a disk of {size} bytes")]
    Past {
        /// The block.
        name: String,
        /// Where it ends, in bytes.
        end: u64,
        /// The disk's size in bytes.
        size: u64,
    },
    /// A block is not what was exported.
    #[error("the checksum of the block {name:?} is {actual}, and the archive says {expected}")]
    Checksum {
        /// The block: the reference of its disk, and its number.
        name: String,
        /// What the archive says, in hexadecimal digits.
        expected: String,
        /// What the block gives.
        actual: String,
    },
    /// The last block of a disk is missing: it is always there, even of zeroes.
    #[error("the disk {reference:?} has blocks up to byte {end} of {size}: the archive was cut off")]
    Cut {
        /// The disk.
        reference: String,
        /// Where its last block ends, in bytes.
        end: u64,
        /// The disk's size in bytes.
        size: u64,
    },
}

fn open(named: &Named) -> Result<Package> {
    let refused = |source| Error::Tar { path: named.path.clone(), source };
    let archive = Arc::clone(&named.disk);
    let (name, body) = next(archive.as_ref(), 0)
        .map_err(refused)?
        .ok_or(Error::Unrecognised { path: named.path.clone() })?;
    let window = block::Window::new(Arc::clone(&archive), body.clone())
        .map_err(|source| Error::Read { file: name, source })?;
    let bytes = named.bytes(&window, xva::MAX_SIZE)?;
    let parsed = xva::parse(&bytes).map_err(|error| Error::Description {
        path: named.path.clone(),
        what: xva::DIALECT.description,
        source: error.into(),
    })?;
    let (machine, mut losses) = (parsed.machine, parsed.losses);
    let sizes = machine.disks.iter().filter_map(|disk| Some((disk.source.clone()?, disk.capacity?)));
    let sums = BlockSums::new(named.path.clone(), Arc::clone(&archive));
    let mut index = Index::new(sizes.collect(), sums);
    index.read(named, archive.as_ref(), padded(body.end))?;
    if index.others > 0 {
        let why = format!("{} members of the archive belong to no disk of the machine", index.others);
        losses.push(Loss::dropped(Severity::Note, &named.name, why));
    }
    let bare = index.blocks.saturating_sub(index.sums.len());
    if bare > 0 {
        let why = format!(
            "{bare} of its blocks have no checksum: nothing shows that they are as they were exported"
        );
        losses.push(Loss::dropped(Severity::Note, &named.name, why));
    }
    let files = index.stored().collect();
    let Index { layouts, sums, .. } = index;
    let gate: Arc<dyn Gate> = Arc::new(XvaGate { path: named.path.clone(), disks: disks(layouts, &archive) });
    let digests: Option<Box<dyn Digests>> = Some(Box::new(sums));
    let facts = Facts { path: named.path.clone(), files, ..Facts::default() };
    let stored = Arc::clone(&gate);
    let mut package = Package { kind: SOURCE.name, machine, losses, facts, stored, meant: gate, digests };
    package.name_after(&named.path);
    Ok(package)
}

fn padded(offset: u64) -> u64 {
    offset.checked_next_multiple_of(RECORD).unwrap_or(u64::MAX)
}

/// The name and the bytes of the member whose header is at `offset`; none at the end.
fn next(archive: &dyn BlockRead, offset: u64) -> std::result::Result<Option<(String, Range<u64>)>, TarError> {
    if offset >= archive.size() {
        return Ok(None);
    }
    let Some(header) = Header::read(archive, offset)? else { return Ok(None) };
    let (name, size) = (header.name(), header.size(offset)?);
    let start = offset + RECORD;
    let available = archive.size().saturating_sub(start);
    if size > available {
        return Err(TarError::Truncated { member: name, missing: size - available });
    }
    let name = name.strip_prefix("./").map_or(name.clone(), str::to_owned);
    Ok(Some((name, start..start + size)))
}

/// A run of a disk's bytes in the archive.
#[derive(Clone, Copy, Debug)]
struct Piece {
    /// Where it is on the disk.
    at: u64,
    /// Where it is in the archive.
    offset: u64,
    length: u64,
}

/// Where the blocks of a disk are: 24 bytes for each that is not of zeroes, of which the archive has 2 KiB at least.
#[derive(Debug, Default)]
struct Layout {
    size: u64,
    pieces: Vec<Piece>,
    /// The number of the last block, and where it ended.
    last: Option<u64>,
    end: u64,
    /// What a block has that is left out.
    block: Option<u64>,
}

/// Where the blocks of all disks are.
struct Index {
    layouts: BTreeMap<String, Layout>,
    /// The checksums of blocks.
    sums: BlockSums,
    /// How many blocks there are.
    blocks: usize,
    /// Members that are of no disk.
    others: u64,
}

impl Index {
    fn new(sizes: Vec<(String, u64)>, sums: BlockSums) -> Self {
        let layout = |size| Layout { size, ..Layout::default() };
        let layouts = sizes.into_iter().map(|(name, size)| (name, layout(size))).collect();
        Self { layouts, sums, blocks: 0, others: 0 }
    }

    /// Looks at every header from `offset` on.
    fn read(&mut self, named: &Named, archive: &dyn BlockRead, mut offset: u64) -> Result<()> {
        let refused = |source| Error::Tar { path: named.path.clone(), source };
        let mut before: Option<(String, Range<u64>)> = None;
        while let Some((name, body)) = next(archive, offset).map_err(refused)? {
            offset = padded(body.end);
            let sum = KINDS.iter().find_map(|(ending, kind)| Some((name.strip_suffix(ending)?, *kind)));
            if let Some((block, kind)) = sum {
                // It follows its block.
                if let Some((name, range)) = before.take().filter(|(name, _)| name == block) {
                    self.sums.add(name, kind, range, body);
                }
                continue;
            }
            let (directory, number) = name.split_once('/').unwrap_or((&name, ""));
            match (self.layouts.get_mut(directory), number.parse::<u64>()) {
                (Some(layout), Ok(number)) => {
                    let added = layout.add(&name, number, body.clone());
                    added.map_err(|source| Error::Xva { path: named.path.clone(), source })?;
                    self.blocks += 1;
                    before = Some((name, body));
                }
                _ => self.others = self.others.saturating_add(1),
            }
        }
        for (reference, layout) in &self.layouts {
            if layout.end != layout.size {
                let (reference, end, size) = (reference.clone(), layout.end, layout.size);
                let source = XvaError::Cut { reference, end, size };
                return Err(Error::Xva { path: named.path.clone(), source });
            }
        }
        Ok(())
    }

    fn stored(&self) -> impl Iterator<Item = PackagedFile> {
        self.layouts.iter().map(|(name, layout)| PackagedFile {
            name: name.clone(),
            size: Some(layout.pieces.iter().map(|piece| piece.length).sum()),
        })
    }
}

fn disks(
    layouts: BTreeMap<String, Layout>,
    archive: &Arc<dyn BlockRead>,
) -> BTreeMap<String, Arc<dyn BlockRead>> {
    let disk = |layout: Layout| -> Arc<dyn BlockRead> {
        Arc::new(XvaDisk { archive: Arc::clone(archive), size: layout.size, pieces: layout.pieces })
    };
    layouts.into_iter().map(|(name, layout)| (name, disk(layout))).collect()
}

impl Layout {
    fn add(&mut self, name: &str, number: u64, body: Range<u64>) -> std::result::Result<(), XvaError> {
        let order = || XvaError::Order { name: crate::text::excerpt(name, 60) };
        let skipped = match self.last {
            None => number,
            Some(last) => number.checked_sub(last).and_then(|by| by.checked_sub(1)).ok_or_else(order)?,
        };
        let length = body.end - body.start;
        let block = *self.block.get_or_insert(if length == 0 { BLOCK } else { length });
        let start = skipped.checked_mul(block).and_then(|skipped| self.end.checked_add(skipped));
        let end = start.and_then(|start| start.checked_add(length)).unwrap_or(u64::MAX);
        if end > self.size {
            return Err(XvaError::Past { name: crate::text::excerpt(name, 60), end, size: self.size });
        }
        if length > 0 {
            self.pieces.push(Piece { at: end - length, offset: body.start, length });
        }
        (self.last, self.end) = (Some(number), end);
        Ok(())
    }
}

/// A disk of an XVA.
struct XvaDisk {
    archive: Arc<dyn BlockRead>,
    size: u64,
    /// In ascending order, none overlapping another.
    pieces: Vec<Piece>,
}

impl XvaDisk {
    /// The pieces that have something of `range`, each cut to it.
    fn pieces(&self, range: Range<u64>) -> impl Iterator<Item = Piece> {
        let first = self.pieces.partition_point(|piece| piece.at + piece.length <= range.start);
        let pieces = self.pieces.get(first..).unwrap_or_default().iter();
        let end = range.end;
        pieces.take_while(move |piece| piece.at < end).map(move |piece| {
            let at = piece.at.max(range.start);
            let length = (piece.at + piece.length).min(range.end) - at;
            Piece { at, offset: piece.offset + (at - piece.at), length }
        })
    }
}

impl BlockRead for XvaDisk {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> block::Result<()> {
        let length = buf.len() as u64;
        check_range(offset, length, self.size)?;
        buf.fill(0);
        for piece in self.pieces(offset..offset + length) {
            let within = |place: u64| usize::try_from(place - offset).unwrap_or(usize::MAX);
            if let Some(part) = buf.get_mut(within(piece.at)..within(piece.at + piece.length)) {
                self.archive.read_at(part, piece.offset)?;
            }
        }
        Ok(())
    }

    fn extents(&self, range: Range<u64>) -> block::Result<Vec<Extent>> {
        check_span(&range, self.size)?;
        let mut extents: Vec<Extent> = Vec::new();
        let mut at = range.start;
        for piece in self.pieces(range.clone()) {
            if piece.at > at {
                extents.push(Extent::zero(at..piece.at));
            }
            let end = piece.at + piece.length;
            // Where the bytes lie in the archive's file, the archive knows.
            for extent in self.archive.extents(piece.offset..piece.offset + piece.length)? {
                let place = piece.at + (extent.range.start - piece.offset);
                extents.push(extent.moved_to(place));
            }
            at = end;
        }
        if at < range.end {
            extents.push(Extent::zero(at..range.end));
        }
        Ok(extents)
    }
}

/// Opens the disks of an XVA by their references.
struct XvaGate {
    path: PathBuf,
    disks: BTreeMap<String, Arc<dyn BlockRead>>,
}

impl Gate for XvaGate {
    fn open(&self, name: &str) -> std::result::Result<Arc<dyn BlockRead>, GateError> {
        self.disks
            .get(name)
            .cloned()
            .ok_or_else(|| GateError::new(name, GateReason::Missing { root: self.path.clone() }))
    }

    fn describe(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}
