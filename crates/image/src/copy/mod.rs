//! The copy engine: any disk to a new image file, in one parallel pass ([`copy()`]), or only its digest ([`digest`]).
//!
//! Workers take chunks of the source in the order of the disk. Each reads its chunk, looks for zeroes, waits for
//! its turn to be given places in the target (so the target is the same whatever the number of threads), writes
//! and hashes. What the source says is zero is never read, and zeroes are never stored.

mod chunk;
mod clone;
mod compare;
mod engine;
mod flush;
mod layout;
mod packing;
mod partial;
mod sequence;
mod survey;
mod target;
#[cfg(test)]
mod tests;
mod tree;
mod turn;

use crate::create::NewImage;
use crate::error::{Error, Result};
use crate::open::ImageLayer;
use block::BlockRead;
use clone::Cloner;
pub use compare::compare;
use engine::Engine;
pub(crate) use layout::{Files, Layout, Packer, Packers, Place};
use partial::PartialImage;
pub use sequence::digest_sha256;
use serde::{Serialize, Serializer};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use survey::Content;
use target::Target;

/// The unit of work: what a worker reads, hashes and writes at once, in bytes. A power of two, as BLAKE3's tree
/// wants it, and many times the grain or cluster of any format.
pub(crate) const CHUNK: u64 = 1 << 20;
/// The most threads that are of use.
const MAX_THREADS: usize = 64;
/// What [`CopyOptions`] allows without being told, in bytes.
const MEMORY: u64 = 48 << 20;

/// How a copy is to be made.
#[derive(Clone, Debug)]
pub struct CopyOptions {
    /// How many threads, 1 to 64; as many as the machine has processors by default.
    pub threads: usize,
    /// How many bytes the buffers may take together; at least one thread runs. 48 MiB by default.
    pub memory_limit: u64,
    /// Whether the BLAKE3 digest of the content is computed on the way. By default it is; a disk of many TiB that
    /// is nearly empty is copied in seconds without, since every one of its zeroes has to be hashed.
    pub digest: bool,
    /// Whether an existing target is replaced. By default it is not.
    pub overwrite: bool,
    /// Whether to fail at once when the target's filesystem has less room than the source has data. By default so.
    /// The source may say data where there are zeroes, so that less would be needed.
    pub check_space: bool,
    /// Whether the target is durable when the copy has ended: what a crash of the host cannot take back. By default it
    /// is. Without, the copy ends when the system has taken all data into its memory, which is what `cp` and `qemu-img`
    /// do.
    pub sync: bool,
    /// Whether the target shares with the source's files what lies in them as it is, where the filesystem can do that.
    /// By default it does; not where room is reserved ([`NewImage::preallocate`]).
    pub reflink: bool,
}

impl Default for CopyOptions {
    fn default() -> Self {
        Self {
            threads: std::thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS),
            memory_limit: MEMORY,
            digest: true,
            overwrite: false,
            check_space: true,
            sync: true,
            reflink: true,
        }
    }
}

impl CopyOptions {
    /// How many threads run with these options.
    fn workers(&self) -> usize {
        let affordable = usize::try_from(self.memory_limit / CHUNK).unwrap_or(MAX_THREADS);
        self.threads.clamp(1, MAX_THREADS).min(affordable.max(1))
    }
}

/// Who is told how far a copy has come. Called from several threads at once.
pub trait Progress: Send + Sync {
    /// The work begins: `total` bytes, the disk's size.
    fn start(&self, total: u64);
    /// So many more bytes are done.
    fn advance(&self, bytes: u64);
}

/// Nobody is told.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn start(&self, _total: u64) {}
    fn advance(&self, _bytes: u64) {}
}

/// What a copy has done.
#[derive(Clone, Debug, Serialize)]
pub struct CopyReport {
    /// The disk's size in bytes.
    pub virtual_size: u64,
    /// How many of its bytes are stored in the target.
    pub data_bytes: u64,
    /// How many of these were not copied, because the target shares them with the source's files.
    pub shared_bytes: u64,
    /// How many are not stored: zeroes, and in a layer what is not its own.
    pub zero_bytes: u64,
    /// How many bytes the target takes on its filesystem.
    pub file_bytes: u64,
    /// The BLAKE3 digest of the disk's content, as of a raw image of it; as hexadecimal digits where serialised.
    #[serde(serialize_with = "hexadecimal")]
    pub blake3: Option<blake3::Hash>,
    /// How long it took, in seconds where serialised.
    #[serde(serialize_with = "seconds")]
    pub duration: Duration,
}

fn hexadecimal<S: Serializer>(hash: &Option<blake3::Hash>, serializer: S) -> Result<S::Ok, S::Error> {
    hash.map(|hash| hash.to_hex().to_string()).serialize(serializer)
}

fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

/// Copies `source` to a new image at `target`.
///
/// The image is made under temporary names in the target's directory, made durable ([`CopyOptions::sync`]), and only
/// then given its name: no file that was not finished ever stands at `target`. Temporary files that killed copies to the same
/// target have left behind are removed first.
///
/// # Errors
/// [`Error::Exists`], [`Error::NoSpace`], [`Error::TooLarge`], [`Error::Option`]; [`Error::Source`] when the source
/// cannot be read; [`Error::Host`]. The temporary files are gone in every case.
pub fn copy(
    source: Arc<dyn BlockRead>,
    target: &Path,
    new: &NewImage,
    options: &CopyOptions,
    progress: &dyn Progress,
) -> Result<CopyReport> {
    run(Content::Flat(source.as_ref()), target, new, options, progress)
}

/// [`copy()`], of one image of a chain: what it does not hold itself is left to the [parent](NewImage::parent) of the new
/// one. A unit of the new image of which the layer holds only a part is completed from the images below it.
///
/// There is no digest: a layer is not a disk.
///
/// # Errors
/// As for [`copy()`]; [`Error::Option`] when the format has no images with a parent.
pub fn copy_layer(
    layer: &ImageLayer,
    target: &Path,
    new: &NewImage,
    options: &CopyOptions,
    progress: &dyn Progress,
) -> Result<CopyReport> {
    let content = Content::Layer { own: layer.own.as_ref(), whole: layer.whole.as_ref() };
    let options = CopyOptions { digest: false, ..options.clone() };
    run(content, target, new, &options, progress)
}

fn run(
    content: Content<'_>,
    path: &Path,
    new: &NewImage,
    options: &CopyOptions,
    progress: &dyn Progress,
) -> Result<CopyReport> {
    let begun = Instant::now();
    let source = content.own();
    let size = source.size();
    let layout = layout(size, path, new)?;
    let partial = PartialImage::create(path, &layout.files(), options.overwrite)?;
    let needed = if options.check_space { partial.check_space(survey::data_bytes(source)?)? } else { size };
    let cloner = Cloner::new(&partial);
    let mut target = Target::new(&partial, layout, needed);
    target.sync = options.sync;
    let shares = options.reflink && target.packers.is_none() && !new.reserves_room();
    target.cloner = shares.then_some(&cloner);
    let engine = Engine::new(content, Some(target), options.digest, progress);
    let outcome = engine.run(options.workers())?;
    let file_bytes = partial.allocated()?;
    partial.finish(options.sync)?;
    Ok(CopyReport {
        virtual_size: size,
        data_bytes: outcome.data_bytes,
        shared_bytes: outcome.shared_bytes,
        zero_bytes: size - outcome.data_bytes,
        file_bytes,
        blake3: outcome.digest,
        duration: begun.elapsed(),
    })
}

fn layout(size: u64, target: &Path, new: &NewImage) -> Result<Box<dyn Layout>> {
    let name = target.file_name().and_then(|name| name.to_str()).ok_or_else(|| {
        let source = io::Error::new(io::ErrorKind::InvalidInput, "the target has no file name");
        Error::Host { operation: "name", path: target.to_path_buf(), source }
    })?;
    match new.format.create {
        Some(create) => create(size, name, new),
        None => Err(Error::Option { format: new.format.name, what: "writer here".to_owned() }),
    }
}

/// The BLAKE3 digest of a disk's content, computed by `threads` threads: what `b3sum` says of a raw image of it.
///
/// # Errors
/// [`Error::Source`] when the disk cannot be read.
pub fn digest(source: &dyn BlockRead, threads: usize) -> Result<blake3::Hash> {
    let outcome =
        Engine::new(Content::Flat(source), None, true, &NoProgress).run(threads.clamp(1, MAX_THREADS))?;
    Ok(outcome.digest.unwrap_or_else(|| blake3::hash(&[])))
}

/// What went wrong with the source, at byte `offset` of the disk.
fn source_error(offset: u64, source: block::Error) -> Error {
    Error::Source { offset, source }
}

/// Whether a new image of a disk of `size` bytes can be laid out so.
///
/// # Errors
/// As for [`copy()`].
pub(crate) fn check_layout(size: u64, target: &Path, new: &NewImage) -> Result<()> {
    layout(size, target, new).map(drop)
}
