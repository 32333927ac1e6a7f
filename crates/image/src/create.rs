//! What a new image is to be: [`NewImage`]; and one without any data: [`create`].

use crate::copy::{CopyOptions, NoProgress, copy, copy_layer};
use crate::error::{Error, Result};
use crate::format::Format;
use crate::open::{ImageInfo, ImageLayer};
use crate::{qcow2, raw, vmdk};
use block::{BlockRead, Extent, check_range, check_span};
use std::io;
use std::ops::Range;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;
use uuid::Uuid;

/// Makes an image without data at `target`: a disk of `size` bytes that reads as zeroes, or as the parent that `new` names.
///
/// Like a copy's, the target has its name only when it is whole and durable.
///
/// # Errors
/// As for [`copy()`](crate::copy()).
pub fn create(target: &Path, size: u64, new: &NewImage) -> Result<()> {
    let options = CopyOptions { threads: 1, digest: false, check_space: false, ..CopyOptions::default() };
    let empty: Arc<dyn BlockRead> = Arc::new(Empty(size));
    match new.parent {
        None => copy(empty, target, new, &options, &NoProgress).map(drop),
        Some(_) => {
            let layer = ImageLayer { own: Arc::clone(&empty), whole: empty };
            copy_layer(&layer, target, new, &options, &NoProgress).map(drop)
        }
    }
}

/// A disk of so many bytes of which nothing is there.
struct Empty(u64);

impl BlockRead for Empty {
    fn size(&self) -> u64 {
        self.0
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> block::Result<()> {
        check_range(offset, buf.len() as u64, self.0)?;
        buf.fill(0);
        Ok(())
    }

    fn extents(&self, range: Range<u64>) -> block::Result<Vec<Extent>> {
        check_span(&range, self.0)?;
        Ok(if range.is_empty() { Vec::new() } else { vec![Extent::absent(range)] })
    }
}

/// What a new image is to be.
#[derive(Clone, Debug)]
pub struct NewImage {
    /// Its format.
    pub format: &'static Format,
    /// Its variant, one of the format's [`subformats`](Format::subformats); the first of them when `None`.
    pub subformat: Option<String>,
    /// How its data is compressed, where the format compresses at the writer's choice.
    pub compression: Option<Compression>,
    /// The unit in which it keeps data (cluster, block or grain) in bytes, where the format leaves the choice.
    pub cluster_size: Option<u64>,
    /// Whether room is reserved for all of the disk.
    pub preallocate: bool,
    /// Whether the guest's data goes to a file of its own, as it is (qcow2's external data file).
    pub data_file: bool,
    /// What it stands on.
    pub parent: Option<NewParent>,
    /// The identifier that it holds, where the format has one that descriptions refer to (VDI, and VirtualBox's of a
    /// VMDK); a random one, or none, otherwise.
    pub identifier: Option<Uuid>,
}

/// How the data of a new image is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Deflate.
    Zlib,
    /// Zstandard.
    Zstd,
}

/// The image on which a new one stands.
#[derive(Clone, Debug)]
pub struct NewParent {
    /// Its name as the new image will record it: relative to the new image's directory.
    pub name: String,
    /// Its absolute path, for formats that record that too.
    pub absolute: String,
    /// Its format's name.
    pub format: &'static str,
    /// Its [content ID](crate::LayerInfo::content_id).
    pub content_id: Option<String>,
    /// Its disk's size in bytes.
    pub virtual_size: u64,
    /// When it was last modified, in seconds since 1970, UTC.
    pub modified: u64,
}

impl NewParent {
    /// The image at `parent`, of which `info` is known, for a new one at `target`.
    ///
    /// # Errors
    /// Those of finding out where both really are, and when the parent was modified; and when a name is not UTF-8.
    pub fn new(target: &Path, parent: &Path, info: &ImageInfo) -> io::Result<Self> {
        let beside = target.parent().filter(|directory| !directory.as_os_str().is_empty());
        let directory = beside.unwrap_or(Path::new(".")).canonicalize()?;
        let absolute = parent.canonicalize()?;
        let modified = absolute.metadata()?.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        let text = |path: PathBuf| {
            let refused = |_| io::Error::new(io::ErrorKind::InvalidFilename, "the name is not UTF-8");
            path.into_os_string().into_string().map_err(refused)
        };
        Ok(Self {
            name: text(relative(&directory, &absolute))?,
            absolute: text(absolute)?,
            format: info.format,
            content_id: info.layers.first().and_then(|layer| layer.content_id.clone()),
            virtual_size: info.virtual_size,
            modified: modified.as_secs(),
        })
    }
}

/// What the file at `path` is called from `directory`; both are absolute, without links and dots.
fn relative(directory: &Path, path: &Path) -> PathBuf {
    let shared =
        directory.components().zip(path.components()).take_while(|(here, there)| here == there).count();
    let up = directory.components().skip(shared).map(|_| Component::ParentDir);
    up.chain(path.components().skip(shared)).collect()
}

impl NewImage {
    /// An image of a format, everything else as usual for it.
    pub fn new(format: &'static Format) -> Self {
        Self {
            format,
            subformat: None,
            compression: None,
            cluster_size: None,
            preallocate: false,
            data_file: false,
            parent: None,
            identifier: None,
        }
    }

    /// A raw image, with holes for zeroes.
    pub fn raw() -> Self {
        Self::new(&raw::FORMAT)
    }

    /// A qcow2 image of version 3.
    pub fn qcow2() -> Self {
        Self::new(&qcow2::FORMAT)
    }

    /// A VMDK, monolithic and sparse.
    pub fn vmdk() -> Self {
        Self::new(&vmdk::FORMAT)
    }

    /// The subformat that is wanted, by the format's own spelling.
    ///
    /// # Errors
    /// [`Error::Option`] when the format has no such one.
    pub(crate) fn subformat(&self) -> Result<&'static str> {
        let Some(wanted) = &self.subformat else { return Ok(self.format.subformats.first().unwrap_or(&"")) };
        let found = self.format.subformats.iter().find(|name| name.eq_ignore_ascii_case(wanted));
        found.copied().ok_or_else(|| {
            let what = match self.format.subformats {
                [] => format!("subformat {wanted}, and has none"),
                all => format!("subformat {wanted}; there are {}", all.join(", ")),
            };
            self.refused(what)
        })
    }

    /// The error that the format has no such option.
    pub(crate) fn refused(&self, what: impl Into<String>) -> Error {
        Error::Option { format: self.format.name, what: what.into() }
    }

    /// Whether the file is to have room of its own for all of the disk.
    pub(crate) fn reserves_room(&self) -> bool {
        self.preallocate
            || self.subformat.as_deref().is_some_and(|name| name.eq_ignore_ascii_case("preallocated"))
    }

    pub(crate) fn refuse_parent(&self) -> Result<()> {
        self.parent.is_none().then_some(()).ok_or_else(|| self.refused("parent"))
    }

    pub(crate) fn refuse_compression(&self) -> Result<()> {
        self.compression
            .is_none()
            .then_some(())
            .ok_or_else(|| self.refused("compression of the writer's choice"))
    }

    pub(crate) fn refuse_cluster_size(&self) -> Result<()> {
        self.cluster_size
            .is_none()
            .then_some(())
            .ok_or_else(|| self.refused("cluster size of the writer's choice"))
    }

    pub(crate) fn refuse_data_file(&self) -> Result<()> {
        (!self.data_file).then_some(()).ok_or_else(|| self.refused("data file"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_is_named_from_the_new_image() {
        for (directory, path, name) in [
            ("/vm", "/vm/base.qcow2", "base.qcow2"),
            ("/vm", "/vm/old/base.qcow2", "old/base.qcow2"),
            ("/vm/new", "/vm/base.qcow2", "../base.qcow2"),
            ("/", "/base.qcow2", "base.qcow2"),
            ("/a/b", "/c/base.qcow2", "../../c/base.qcow2"),
        ] {
            assert_eq!(relative(Path::new(directory), Path::new(path)), Path::new(name));
        }
    }

    #[test]
    fn an_empty_image_reads_as_zeroes_and_replaces_nothing() {
        let directory = tempfile::tempdir().unwrap();
        for new in [NewImage::raw(), NewImage::qcow2()] {
            let target = directory.path().join(new.format.name);
            create(&target, 5 << 20, &new).unwrap();
            assert!(matches!(create(&target, 5 << 20, &new), Err(Error::Exists { .. })));
            let (gate, name) = crate::DirectoryGate::for_file(&target).unwrap();
            let gate: Arc<dyn crate::Gate> = Arc::new(gate);
            let image = crate::open(&gate, &name).unwrap();
            assert_eq!(image.size(), 5 << 20);
            assert!(image.extents(0..5 << 20).unwrap().iter().all(|extent| !extent.is_data()));
        }
    }
}
