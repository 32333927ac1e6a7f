//! Opening an image with everything it stands on: [`open`], [`Image`].

use crate::error::{Error, Result};
use crate::format::{self, Format};
use crate::gate::{Gate, GateError, GateReason, normalised};
use crate::gzip::GzipDisk;
use crate::layer::{Layer, LayerInfo, Parent};
use crate::source::Source;
use block::{BlockRead, Extent, Extents, Layered};
use serde::Serialize;
use std::ops::Range;
use std::sync::Arc;

/// The most images that stand on each other. VMware allows 32, and QEMU users have been seen with more.
pub const MAX_CHAIN: usize = 64;

/// An image with its whole backing chain, as the disk that a guest would see.
pub struct Image {
    disk: Arc<dyn BlockRead>,
    /// One for each of the layers of `info`.
    layers: Vec<ImageLayer>,
    info: ImageInfo,
}

/// One image of a chain as a disk.
#[derive(Clone)]
pub struct ImageLayer {
    /// What it holds itself; all else is absent.
    pub own: Arc<dyn BlockRead>,
    /// What a guest would see that used this image: its own data over that of all images below it.
    pub whole: Arc<dyn BlockRead>,
}

/// How an image is opened.
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    /// The format of the image that is named; it is probed when `None`.
    pub format: Option<&'static Format>,
    /// The internal snapshot to read instead of the present state, by its identifier or its name.
    pub snapshot: Option<String>,
    /// What unlocks encrypted images of the chain.
    pub passphrase: Option<Passphrase>,
}

/// A secret that is not printed.
#[derive(Clone)]
pub struct Passphrase(String);

impl Passphrase {
    /// Takes a secret.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl std::fmt::Debug for Passphrase {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Passphrase(…)")
    }
}

/// One image that a format is to open.
#[derive(Clone)]
pub(crate) struct Opening<'a> {
    /// What opens the other files that belong to the image.
    pub(crate) gate: &'a dyn Gate,
    /// What the gate calls the image.
    pub(crate) name: &'a str,
    /// The file of that name.
    pub(crate) source: Source,
    /// What of it is wanted, and what unlocks it.
    pub(crate) options: &'a OpenOptions,
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

    /// The chain as disks: the uppermost image first, its root last, as in [`ImageInfo::layers`].
    pub fn layers(&self) -> &[ImageLayer] {
        &self.layers
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
    open_with(gate, name, &OpenOptions::default())
}

/// [`open`], with options.
///
/// # Errors
/// As for [`open`].
pub fn open_with(gate: &Arc<dyn Gate>, name: &str, options: &OpenOptions) -> Result<Image> {
    walk(gate.as_ref(), name, options, &mut |_, _| Ok(())).map(join)
}

/// Looks at an image of a chain before it is opened.
pub(crate) type Look<'a> = &'a mut dyn FnMut(&Format, &Opening<'_>) -> Result<()>;

/// Opens every image of a chain, the uppermost first, after `look` has seen it.
pub(crate) fn walk(gate: &dyn Gate, name: &str, options: &OpenOptions, look: Look<'_>) -> Result<Vec<Layer>> {
    let mut layers: Vec<Layer> = Vec::new();
    let mut seen: Vec<String> = Vec::new();
    let mut options = options.clone();
    let mut next = Some(Parent { names: vec![name.to_owned()], format: options.format, ..Parent::default() });
    let mut child: Option<Source> = None;
    while let Some(wanted) = next {
        let (source, name) = find(gate, &wanted)?;
        if layers.len() == MAX_CHAIN {
            return Err(Error::ChainTooDeep { path: source.path, limit: MAX_CHAIN });
        }
        let key = normalised(&name).unwrap_or_else(|| name.clone());
        if seen.contains(&key) {
            return Err(Error::ChainLoop { path: source.path });
        }
        seen.push(key);
        let opening = Opening { gate, name: &name, source: source.clone(), options: &options };
        let (format, opening) = recognise(opening, wanted.format)?;
        look(format, &opening)?;
        let mut layer = format.open(opening)?;
        if let Some(child) = &child {
            check_content_id(child, &layer.info, &name, &wanted.content_ids)?;
        }
        next = layer.parent.take();
        child = Some(source);
        layers.push(layer);
        // These are about the uppermost image alone.
        options.format = None;
        options.snapshot = None;
    }
    Ok(layers)
}

/// The file that `wanted` names, and the name by which it was found.
fn find(gate: &dyn Gate, wanted: &Parent) -> Result<(Source, String)> {
    let mut first = None;
    for name in &wanted.names {
        match gate.open(name) {
            Ok(disk) => return Ok((Source { disk, path: gate.describe(name) }, name.clone())),
            Err(error) => first = first.or(Some(error)),
        }
    }
    let nameless = || GateError::new("", GateReason::NotAName);
    Err(first.unwrap_or_else(nameless).into())
}

/// The format of an image, and the image, out of the gzip stream that it may be in.
fn recognise<'a>(
    mut opening: Opening<'a>,
    format: Option<&'static Format>,
) -> Result<(&'static Format, Opening<'a>)> {
    if let Some(format) = format {
        return Ok((format, opening));
    }
    let mut probed = probe(&opening.source)?;
    if probed.gzip {
        let Source { disk, path } = opening.source;
        opening.source = Source { disk: Arc::new(GzipDisk::open_at(disk, &path)?), path };
        probed = probe(&opening.source)?;
    }
    if probed.gzip {
        let path = opening.source.path;
        return Err(Error::Unsupported { path, format: "a gzip stream inside a gzip stream" });
    }
    Ok((probed.format, opening))
}

fn probe(source: &Source) -> Result<format::Probe> {
    format::probe(source.disk.as_ref())
        .map_err(|error| Error::Read { path: source.path.clone(), source: error })
}

fn check_content_id(child: &Source, parent: &LayerInfo, name: &str, expected: &[String]) -> Result<()> {
    let found = parent.content_id.as_ref();
    let Some(first) = expected.first() else { return Ok(()) };
    if found.is_some_and(|found| expected.contains(found)) {
        return Ok(());
    }
    Err(Error::ParentChanged {
        path: child.path.clone(),
        parent: name.to_owned(),
        found: found.cloned().unwrap_or_else(|| "missing".to_owned()),
        expected: first.clone(),
    })
}

/// Puts a chain, the uppermost image first, together from its root upwards.
fn join(chain: Vec<Layer>) -> Image {
    let mut infos = Vec::with_capacity(chain.len());
    let mut layers: Vec<ImageLayer> = Vec::with_capacity(chain.len());
    for layer in chain.into_iter().rev() {
        let whole: Arc<dyn BlockRead> = match layers.last() {
            Some(below) => Arc::new(Layered::new(Arc::clone(&layer.disk), Some(Arc::clone(&below.whole)))),
            None => Arc::new(Root(Arc::clone(&layer.disk))),
        };
        layers.push(ImageLayer { own: layer.disk, whole });
        infos.push(layer.info);
    }
    infos.reverse();
    layers.reverse();
    let empty = || Arc::new(block::ZeroDisk::new(0)) as Arc<dyn BlockRead>;
    let disk = layers.first().map_or_else(empty, |top| Arc::clone(&top.whole));
    let (format, subformat) =
        infos.first().map(|info| (info.format, info.subformat.clone())).unwrap_or(("raw", None));
    Image { info: ImageInfo { format, subformat, virtual_size: disk.size(), layers: infos }, layers, disk }
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
