//! VMware's VMDK, read: "Virtual Disk Format 5.0" (VMware, 2011).
//!
//! A disk is a descriptor and one or more extents; both may be in one file. A snapshot is a disk whose descriptor
//! names a parent. Read are the hosted types (`monolithicSparse`, `monolithicFlat`, `twoGbMaxExtentSparse`,
//! `twoGbMaxExtentFlat`, `streamOptimized`), those of ESX (`vmfs`, `vmfsSparse`) and any mixture of their
//! extents (`custom`). One file here is one region on the disk.

mod descriptor;
mod directory;
mod grain;
mod header;
mod marker;
mod reason;
mod sparse;

pub use reason::Reason;

use crate::error::{Error, Result};
use crate::format::Format;
use crate::gate::{Gate, foreign_base_name, sibling};
use crate::layer::{Layer, LayerInfo, Parent};
use crate::open::Opening;
use crate::source::Source;
use block::{BlockRead, Concat, Window, ZeroDisk};
use descriptor::{Descriptor, ExtentLine};
use header::{Geometry, SECTOR};
use sparse::SparseExtent;
use std::sync::Arc;

/// The most extents of a disk: the largest one in pieces of 2 GB has half as many.
const MAX_EXTENTS: usize = 1 << 16;

/// The format.
pub(crate) static FORMAT: Format = Format {
    endings: &["vmdk"],
    open: Some(open),
    ..Format::unknown("vmdk", "a VMDK", |ends| {
        ends.has(&header::SPARSE_MAGIC, 0)
            || ends.has(&header::COWD_MAGIC, 0)
            || descriptor::is_descriptor(&ends.head)
    })
};

fn open(Opening { gate, name, source, .. }: Opening<'_>) -> Result<Layer> {
    match source.structure::<[u8; 4]>(0)? {
        Some(header::SPARSE_MAGIC) => open_monolithic(name, source),
        Some(header::COWD_MAGIC) => open_cowd(name, source),
        _ => open_described(gate, name, source),
    }
}

/// One file that is its descriptor's only extent.
fn open_monolithic(name: &str, source: Source) -> Result<Layer> {
    let geometry = Geometry::hosted(&source, 0)?;
    let Some((offset, length)) = geometry.descriptor else {
        return Err(error(&source, None, Reason::BareExtent));
    };
    // In an extent of a split disk, room for a descriptor is left and not filled.
    if source.structure::<[u8; 1]>(offset)? == Some([0]) {
        return Err(error(&source, None, Reason::BareExtent));
    }
    let descriptor = read_descriptor(&source, offset, length)?;
    let extent = SparseExtent::hosted(source.clone(), geometry)?;
    layer(name, &source, &descriptor, vec![name.to_owned()], Arc::new(extent))
}

/// An ESX sparse extent that was named without its descriptor: what it lacks is its parent's name.
fn open_cowd(_name: &str, source: Source) -> Result<Layer> {
    Err(error(&source, None, Reason::BareExtent))
}

/// A descriptor in a file of its own.
fn open_described(gate: &dyn Gate, name: &str, source: Source) -> Result<Layer> {
    let descriptor = read_descriptor(&source, 0, source.size())?;
    if descriptor.extents.len() > MAX_EXTENTS {
        return Err(error(&source, None, Reason::DescriptorSize { bytes: source.size() }));
    }
    let mut files = vec![name.to_owned()];
    let mut disks = Vec::with_capacity(descriptor.extents.len());
    let mut sectors = 0_u64;
    for line in &descriptor.extents {
        sectors = sectors.saturating_add(line.sectors);
        if sectors > crate::MAX_VIRTUAL_SIZE / SECTOR {
            return Err(error(&source, None, Reason::Capacity { sectors }));
        }
        disks.push(open_extent(gate, name, &source, line)?);
        files.extend(line.file.as_ref().map(|file| sibling(name, file)));
    }
    let fail = |error| Error::Read { path: source.path.clone(), source: error };
    let disk: Arc<dyn BlockRead> = match <[_; 1]>::try_from(disks) {
        Ok([only]) => only,
        Err(disks) => Arc::new(Concat::new(disks).map_err(fail)?),
    };
    layer(name, &source, &descriptor, files, disk)
}

fn read_descriptor(source: &Source, offset: u64, length: u64) -> Result<Descriptor> {
    if length > descriptor::MAX_BYTES || !source.holds(offset, length) {
        return Err(error(source, Some(offset), Reason::DescriptorSize { bytes: length }));
    }
    let descriptor =
        Descriptor::parse(&source.bytes(offset, length)?).map_err(|reason| error(source, None, reason))?;
    if descriptor.encrypted {
        return Err(error(source, None, Reason::Encrypted));
    }
    if descriptor.extents.is_empty() {
        return Err(error(source, None, Reason::DescriptorLacks { what: "extents" }));
    }
    Ok(descriptor)
}

/// The disk of one extent, exactly as long as its line says.
fn open_extent(
    gate: &dyn Gate,
    name: &str,
    source: &Source,
    line: &ExtentLine,
) -> Result<Arc<dyn BlockRead>> {
    let fail = |reason| error(source, None, reason);
    let length = line.sectors * SECTOR;
    if line.kind == "ZERO" {
        return Ok(Arc::new(ZeroDisk::new(length)));
    }
    let file =
        line.file.clone().ok_or_else(|| fail(Reason::DescriptorLacks { what: "file for an extent" }))?;
    if !line.accessible {
        return Err(fail(Reason::NoAccess { file }));
    }
    let flat = match line.kind.as_str() {
        "FLAT" | "VMFS" => true,
        "SPARSE" | "VMFSSPARSE" => false,
        other => {
            let description = unsupported(other);
            return Err(fail(Reason::ExtentType { kind: other.to_owned(), description }));
        }
    };
    let extent_name = sibling(name, &file);
    let extent = Source { disk: gate.open(&extent_name)?, path: gate.describe(&extent_name) };
    let start = if flat { line.offset.saturating_mul(SECTOR) } else { 0 };
    let disk = if flat { Arc::clone(&extent.disk) } else { open_sparse(extent)? };
    let size = disk.size();
    let too_short = |_| fail(Reason::ExtentTooShort { file, needed: start.saturating_add(length), size });
    if start == 0 && size == length {
        return Ok(disk);
    }
    Ok(Arc::new(Window::new(disk, start..start.saturating_add(length)).map_err(too_short)?))
}

/// The disk of a sparse extent, whichever of the two kinds it is.
fn open_sparse(extent: Source) -> Result<Arc<dyn BlockRead>> {
    if extent.structure::<[u8; 4]>(0)? == Some(header::COWD_MAGIC) {
        return Ok(Arc::new(SparseExtent::cowd(extent)?));
    }
    let geometry = Geometry::hosted(&extent, 0)?;
    Ok(Arc::new(SparseExtent::hosted(extent, geometry)?))
}

fn unsupported(kind: &str) -> &'static str {
    match kind {
        "SESPARSE" => "a space-efficient sparse delta",
        "VMFSRDM" | "VMFSRAW" => "a raw device mapping, whose data is on a physical disk",
        "PARTITIONEDDEVICE" | "FULLDEVICE" => "a physical disk",
        _ => "unknown",
    }
}

fn layer(
    name: &str,
    source: &Source,
    descriptor: &Descriptor,
    files: Vec<String>,
    disk: Arc<dyn BlockRead>,
) -> Result<Layer> {
    let parent = match descriptor.parent_cid {
        None => None,
        Some(expected) => {
            let hint = descriptor.parent_hint.as_ref();
            let hint = hint
                .ok_or_else(|| error(source, None, Reason::DescriptorLacks { what: "parentFileNameHint" }))?;
            // The hint is where the parent was when the delta was made, which is often another machine. The same
            // file name beside the delta is tried next; that it is the right one, the content ID shows.
            let beside = foreign_base_name(hint).map(|base| sibling(name, base));
            let names = std::iter::once(sibling(name, hint)).chain(beside).collect();
            Some(Parent { names, format: None, content_ids: vec![format!("{expected:08x}")] })
        }
    };
    let info = LayerInfo {
        subformat: descriptor.create_type.clone(),
        files,
        content_id: descriptor.cid.map(|cid| format!("{cid:08x}")),
        ..LayerInfo::new("vmdk", disk.size(), name)
    };
    Ok(Layer { disk, info, parent })
}

fn error(source: &Source, offset: Option<u64>, reason: Reason) -> Error {
    Error::Format { path: source.path.clone(), offset, reason: reason.into() }
}
