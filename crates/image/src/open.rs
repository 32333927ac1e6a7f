//! Opening an image with everything it stands on: [`open`], [`Image`].

use crate::error::{Error, Result};
use crate::format::{self, Format};
use crate::gate::{Gate, normalised};
use crate::gzip::GzipDisk;
use crate::layer::{Layer, LayerInfo, Parent};
use crate::source::Source;
use crate::vmdk;
use block::{BlockRead, Extent, Extents, Layered};
use serde::Serialize;
use std::ops::Range;
use std::sync::Arc;

/// The most images that stand on each other. VMware allows 32, and QEMU users have been seen with more.
pub const MAX_CHAIN: usize = 64;

/// An image with its whole backing chain, as the disk that a guest would see.
pub struct Image {
    disk: Arc<dyn BlockRead>,
    info: ImageInfo,
}

/// What is known of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ImageInfo {
    /// The format of the uppermost layer: `vmdk`, `qcow2`, `raw`.
    pub format: &'static str,
    /// Its variant, as the image itself calls it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subformat: Option<String>,
    /// The disk's size in bytes.
    pub virtual_size: u64,
    /// The chain: the uppermost image first, its root last.
    pub layers: Vec<LayerInfo>,
}

impl Image {
    /// What is known of it.
    pub fn info(&self) -> &ImageInfo {
        &self.info
    }
}

impl std::fmt::Debug for Image {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Image").field("info", &self.info).finish_non_exhaustive()
    }
}

/// Opens the image that `gate` calls `name`, in whichever format it is, with its backing chain.
///
/// A gzip stream is seen through, once: packages compress their disks that way.
///
/// # Errors
/// [`Error`], with the file that is to blame: whatever of the chain is missing, refused, damaged or not supported.
pub fn open(gate: &Arc<dyn Gate>, name: &str) -> Result<Image> {
    let mut layers: Vec<Layer> = Vec::new();
    let mut seen: Vec<String> = Vec::new();
    let mut next = Some(Parent { name: name.to_owned(), beside: None, format: None, content_id: None });
    let mut child: Option<Source> = None;
    while let Some(wanted) = next {
        let (source, name) = find(gate.as_ref(), &wanted)?;
        if layers.len() == MAX_CHAIN {
            return Err(Error::ChainTooDeep { path: source.path, limit: MAX_CHAIN });
        }
        let key = normalised(&name).unwrap_or_else(|| name.clone());
        if seen.contains(&key) {
            return Err(Error::ChainLoop { path: source.path });
        }
        seen.push(key);
        let mut layer = open_layer(gate.as_ref(), &name, source.clone(), wanted.format)?;
        if let (Some(child), Some(expected)) = (&child, wanted.content_id) {
            check_content_id(child, &layer.info, &name, expected)?;
        }
        next = layer.parent.take();
        child = Some(source);
        layers.push(layer);
    }
    Ok(join(layers))
}

/// The file that `wanted` names, and the name by which it was found.
fn find(gate: &dyn Gate, wanted: &Parent) -> Result<(Source, String)> {
    let open = |name: &str| gate.open(name).map(|disk| Source { disk, path: gate.describe(name) });
    match (open(&wanted.name), &wanted.beside) {
        (Ok(source), _) => Ok((source, wanted.name.clone())),
        (Err(error), None) => Err(error.into()),
        (Err(error), Some(beside)) => match open(beside) {
            Ok(source) => Ok((source, beside.clone())),
            Err(_) => Err(error.into()),
        },
    }
}

fn open_layer(gate: &dyn Gate, name: &str, source: Source, format: Option<&'static Format>) -> Result<Layer> {
    if let Some(format) = format {
        return format.open(gate, name, source);
    }
    let probed = probe(&source)?;
    if !probed.gzip {
        return probed.format.open(gate, name, source);
    }
    let inside = Source { disk: Arc::new(GzipDisk::open_at(source.disk, &source.path)?), path: source.path };
    let probed = probe(&inside)?;
    if probed.gzip {
        return Err(Error::Unsupported { path: inside.path, format: "a gzip stream inside a gzip stream" });
    }
    probed.format.open(gate, name, inside)
}

fn probe(source: &Source) -> Result<format::Probe> {
    format::probe(source.disk.as_ref())
        .map_err(|error| Error::Read { path: source.path.clone(), source: error })
}

fn check_content_id(child: &Source, parent: &LayerInfo, name: &str, expected: u32) -> Result<()> {
    if parent.content_id.as_deref() == Some(format!("{expected:08x}").as_str()) {
        return Ok(());
    }
    Err(vmdk::parent_changed(child, name.to_owned(), parent.content_id.clone(), expected))
}

/// Puts a chain, the uppermost image first, together from its root upwards.
fn join(layers: Vec<Layer>) -> Image {
    let mut infos = Vec::with_capacity(layers.len());
    let mut below: Option<Arc<dyn BlockRead>> = None;
    for layer in layers.into_iter().rev() {
        below = Some(match below {
            Some(parent) => Arc::new(Layered::new(layer.disk, Some(parent))),
            None => Arc::new(Root(layer.disk)),
        });
        infos.push(layer.info);
    }
    infos.reverse();
    let disk = below.unwrap_or_else(|| Arc::new(block::ZeroDisk::new(0)));
    let (format, subformat) =
        infos.first().map(|info| (info.format, info.subformat.clone())).unwrap_or(("raw", None));
    Image { info: ImageInfo { format, subformat, virtual_size: disk.size(), layers: infos }, disk }
}

/// A layer without a parent: what it does not hold reads as zeroes, which formats do by themselves.
struct Root(Arc<dyn BlockRead>);

impl BlockRead for Root {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> block::Result<()> {
        self.0.read_at(buf, offset)
    }

    fn extents(&self, range: Range<u64>) -> block::Result<Vec<Extent>> {
        let mut extents = Extents::new();
        extents.extend(self.0.extents(range)?.into_iter().map(Extent::without_parent));
        Ok(extents.into_vec())
    }
}

impl BlockRead for Image {
    fn size(&self) -> u64 {
        self.disk.size()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> block::Result<()> {
        self.disk.read_at(buf, offset)
    }

    fn extents(&self, range: Range<u64>) -> block::Result<Vec<Extent>> {
        self.disk.extents(range)
    }
}
