//! Opening a VMDK: its descriptor and every extent, through the gate ("Virtual Disk Format 5.0", The Descriptor File).

use super::descriptor::{self, Descriptor, ExtentLine};
use super::header::{self, Geometry, SECTOR};
use super::parent;
use super::reason::Reason;
use super::sesparse::{self, SeSparseExtent};
use super::sparse::SparseExtent;
use crate::bytes::Bytes;
use crate::error::{Error, Result};
use crate::gate::{Gate, sibling};
use crate::layer::{Layer, LayerInfo};
use crate::open::Opening;
use crate::source::Source;
use block::{BlockRead, Concat, Window, ZeroDisk};
use std::sync::Arc;

/// The most extents of a disk: the largest one in pieces of 2 GB has half as many.
const MAX_EXTENTS: usize = 1 << 16;

/// Opens the disk that `source` is or describes, without its parent.
pub(super) fn open(Opening { gate, name, source, .. }: Opening<'_>) -> Result<Layer> {
    match source.structure::<[u8; 4]>(0)? {
        Some(header::SPARSE_MAGIC) => open_monolithic(gate, name, source),
        Some(header::COWD_MAGIC) => open_cowd(name, source),
        _ if source.structure(0)? == Some(sesparse::MAGIC) => open_cowd(name, source),
        _ => open_described(gate, name, source),
    }
}

/// One file that is its descriptor's only extent.
fn open_monolithic(gate: &dyn Gate, name: &str, source: Source) -> Result<Layer> {
    let geometry = Geometry::hosted(&source, 0)?;
    let Some((offset, length)) = geometry.descriptor else {
        return Err(source.error(None, Reason::BareExtent));
    };
    // In an extent of a split disk, room for a descriptor is left and not filled.
    if source.structure::<[u8; 1]>(offset)? == Some([0]) {
        return Err(source.error(None, Reason::BareExtent));
    }
    let descriptor = read_descriptor(&source, offset, length)?;
    // An empty disk is one; that a header which was overwritten with zeroes hides one is not.
    if geometry.capacity == 0 && descriptor.extents.iter().any(|line| line.sectors != 0) {
        return Err(source.error(None, Reason::Capacity { sectors: 0 }));
    }
    let extent = open_hosted(source.clone(), geometry)?;
    layer(gate, name, &source, &descriptor, vec![name.to_owned()], extent)
}

/// An ESX sparse extent that was named without its descriptor: what it lacks is its parent's name.
fn open_cowd(_name: &str, source: Source) -> Result<Layer> {
    Err(source.error(None, Reason::BareExtent))
}

/// A descriptor in a file of its own.
fn open_described(gate: &dyn Gate, name: &str, source: Source) -> Result<Layer> {
    let descriptor = read_descriptor(&source, 0, source.size())?;
    if descriptor.extents.len() > MAX_EXTENTS {
        return Err(source.error(None, Reason::DescriptorSize { bytes: source.size() }));
    }
    let mut files = vec![name.to_owned()];
    let mut extents = Vec::with_capacity(descriptor.extents.len());
    let mut sectors = 0_u64;
    for line in &descriptor.extents {
        sectors = sectors.saturating_add(line.sectors);
        if sectors > crate::MAX_VIRTUAL_SIZE / SECTOR {
            return Err(source.error(None, Reason::Capacity { sectors }));
        }
        extents.push(open_extent(gate, name, &source, line)?);
        files.extend(line.file.as_ref().map(|file| sibling(name, file)));
    }
    let grain = extents.iter().find_map(|extent| extent.grain);
    let compressed = extents.iter().any(|extent| extent.compressed);
    let unclean = extents.iter().any(|extent| extent.unclean);
    let fail = |error| Error::Read { path: source.path.clone(), source: error };
    let disks: Vec<_> = extents.into_iter().map(|extent| extent.disk).collect();
    let disk: Arc<dyn BlockRead> = match <[_; 1]>::try_from(disks) {
        Ok([only]) => only,
        Err(disks) => Arc::new(Concat::new(disks).map_err(fail)?),
    };
    layer(gate, name, &source, &descriptor, files, OpenExtent { disk, grain, compressed, unclean })
}

/// The descriptor of `length` bytes at byte `offset`.
pub(super) fn read_descriptor(source: &Source, offset: u64, length: u64) -> Result<Descriptor> {
    if length > descriptor::MAX_BYTES || !source.holds(offset, length) {
        return Err(source.error(Some(offset), Reason::DescriptorSize { bytes: length }));
    }
    let descriptor =
        Descriptor::parse(&source.bytes(offset, length)?).map_err(|reason| source.error(None, reason))?;
    if descriptor.encrypted {
        return Err(source.error(None, Reason::Encrypted));
    }
    if descriptor.extents.is_empty() {
        return Err(source.error(None, Reason::DescriptorLacks { what: "extents" }));
    }
    Ok(descriptor)
}

/// The disk of one extent, exactly as long as its line says.
fn open_extent(gate: &dyn Gate, name: &str, source: &Source, line: &ExtentLine) -> Result<OpenExtent> {
    let fail = |reason| source.error(None, reason);
    let length = line.sectors * SECTOR;
    if line.kind == "ZERO" {
        return Ok(OpenExtent::flat(Arc::new(ZeroDisk::new(length))));
    }
    let file =
        line.file.clone().ok_or_else(|| fail(Reason::DescriptorLacks { what: "file for an extent" }))?;
    if !line.accessible {
        return Err(fail(Reason::NoAccess { file }));
    }
    let flat = match line.kind.as_str() {
        "FLAT" | "VMFS" => true,
        "SPARSE" | "VMFSSPARSE" | "SESPARSE" => false,
        other => {
            let description = unsupported(other);
            return Err(fail(Reason::ExtentType { kind: other.to_owned(), description }));
        }
    };
    let extent_name = sibling(name, &file);
    let extent = Source { disk: gate.open(&extent_name)?, path: gate.describe(&extent_name) };
    let start = if flat { line.offset.saturating_mul(SECTOR) } else { 0 };
    let extent = if flat { OpenExtent::flat(extent.disk) } else { open_sparse(extent)? };
    let size = extent.disk.size();
    let too_short = |_| fail(Reason::ExtentTooShort { file, needed: start.saturating_add(length), size });
    if start == 0 && size == length {
        return Ok(extent);
    }
    let window = Window::new(extent.disk, start..start.saturating_add(length)).map_err(too_short)?;
    Ok(OpenExtent { disk: Arc::new(window), ..extent })
}

/// A sparse extent, whichever of the three kinds it is.
fn open_sparse(source: Source) -> Result<OpenExtent> {
    if source.structure(0)? == Some(sesparse::MAGIC) {
        let disk = Arc::new(SeSparseExtent::open(source)?);
        return Ok(OpenExtent { disk, grain: Some(sesparse::GRAIN), compressed: false, unclean: false });
    }
    if source.structure::<[u8; 4]>(0)? == Some(header::COWD_MAGIC) {
        let geometry = Geometry::cowd(&source)?;
        let grain = Some(geometry.grain);
        let disk = Arc::new(SparseExtent::cowd(source, geometry)?);
        return Ok(OpenExtent { disk, grain, compressed: false, unclean: false });
    }
    let geometry = Geometry::hosted(&source, 0)?;
    open_hosted(source, geometry)
}

/// A hosted sparse extent.
fn open_hosted(source: Source, geometry: Geometry) -> Result<OpenExtent> {
    let Geometry { grain, compressed, unclean, .. } = geometry;
    let disk = Arc::new(SparseExtent::hosted(source, geometry)?);
    Ok(OpenExtent { disk, grain: Some(grain), compressed, unclean })
}

fn unsupported(kind: &str) -> &'static str {
    match kind {
        "VMFSRDM" | "VMFSRAW" => "a raw device mapping, whose data is on a physical disk",
        "PARTITIONEDDEVICE" | "FULLDEVICE" => "a physical disk",
        _ => "unknown",
    }
}

/// The disk of one extent, or of all of them, and what is to be told of it.
struct OpenExtent {
    disk: Arc<dyn BlockRead>,
    /// Bytes of a grain, where there are grains.
    grain: Option<u64>,
    compressed: bool,
    /// Whether an extent was not closed by whoever wrote it last.
    unclean: bool,
}

impl OpenExtent {
    fn flat(disk: Arc<dyn BlockRead>) -> Self {
        Self { disk, grain: None, compressed: false, unclean: false }
    }
}

fn layer(
    gate: &dyn Gate,
    name: &str,
    source: &Source,
    descriptor: &Descriptor,
    files: Vec<String>,
    OpenExtent { disk, grain, compressed, unclean }: OpenExtent,
) -> Result<Layer> {
    let parent = parent::find(gate, name, source, descriptor)?;
    let facts = [
        ("adapter", descriptor.adapter.clone()),
        ("hardware version", descriptor.hardware.clone()),
        ("compression", compressed.then(|| "zlib".to_owned())),
        ("dirty", unclean.then(|| "true".to_owned())),
    ];
    let info = LayerInfo {
        subformat: descriptor.create_type.clone(),
        files,
        content_id: descriptor.cid.map(|cid| format!("{cid:08x}")),
        cluster_size: grain,
        facts: facts.into_iter().filter_map(|(name, value)| Some((name, value?))).collect(),
        ..LayerInfo::new("vmdk", disk.size(), name)
    };
    Ok(Layer { disk, info, parent })
}
