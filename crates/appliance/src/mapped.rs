//! Files that QEMU maps for as long as it runs, though the machine reads them once: [`Mapped`].

use crate::error::{Error, Result};
use rustix::fs::{FallocateFlags, fallocate};
use std::fs::File;
use std::path::{Path, PathBuf};

/// A private file, the kernel or its initial RAM file system, that QEMU keeps in memory beside the machine's own copy,
/// in case the machine is reset. This one never is: it ends instead.
pub(crate) struct Mapped {
    path: PathBuf,
}

impl Mapped {
    /// The file at `path`, which is nobody else's.
    pub(crate) fn own(path: PathBuf) -> Self {
        Self { path }
    }

    /// Copies `original` to `path`.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(crate) fn copy(original: &Path, path: PathBuf) -> Result<Self> {
        std::fs::copy(original, &path).map_err(Error::io("copy", original))?;
        Ok(Self { path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives its memory back, once the machine runs: the file becomes a hole of the same length, so that a late read
    /// finds zeroes rather than nothing. A filesystem that cannot do so keeps the memory.
    pub(crate) fn release(&self) {
        let punched = File::options().write(true).open(&self.path).and_then(|file| {
            let length = file.metadata()?.len();
            Ok(fallocate(&file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, 0, length)?)
        });
        if let Err(error) = punched {
            tracing::debug!(path = %self.path.display(), %error, "memory is not given back");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_released_file_is_a_hole_of_its_length_and_the_original_stays() {
        let directory = tempfile::tempdir().unwrap();
        let original = directory.path().join("vmlinux");
        std::fs::write(&original, vec![7; 1 << 20]).unwrap();
        let mapped = Mapped::copy(&original, directory.path().join("kernel")).unwrap();
        mapped.release();
        let metadata = std::fs::metadata(mapped.path()).unwrap();
        assert_eq!((metadata.len(), metadata.blocks()), (1 << 20, 0));
        assert_eq!(std::fs::read(&original).unwrap(), vec![7; 1 << 20]);
    }
}
