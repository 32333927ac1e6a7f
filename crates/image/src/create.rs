//! What a new image is to be: [`NewImage`].

use crate::error::{Error, Result};
use crate::format::Format;
use crate::{qcow2, raw, vmdk};

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
