//! Changing an image in place: [`resize()`], [`repair`].

use crate::check::Check;
use crate::error::{Error, Result};
use crate::format::{self, Format};
use crate::raw;
use crate::storage::Storage;
use block::{BlockRead, Extent, FileDisk, check_range, check_span};
use rustix::fs::{FlockOperation, fcntl_lock, flock};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;

/// Gives the disk of the image in the file at `path` a new size in bytes. What is added reads as zeroes.
///
/// The change is safe against a crash: the image is then as it was or as it should be.
///
/// # Errors
/// [`Error::InPlace`] when the format cannot, or not to this size, or when another program has the image open;
/// [`Error::Host`]; those of opening the image.
pub fn resize(path: &Path, size: u64) -> Result<()> {
    resize_in(&writable(path, "resize")?, path, size)
}

/// [`resize()`], of the image in `storage`; `path` is what messages call it.
///
/// # Errors
/// As for [`resize()`].
pub fn resize_in(storage: &dyn Storage, path: &Path, size: u64) -> Result<()> {
    let format = recognised(storage, path, "resize")?;
    match format.resize {
        Some(resize) => resize(storage, path, size),
        None => Err(refused(path, "resize", format)),
    }
}

/// Repairs what is safe to repair in the image in the file at `path`: what was found, and what of it was repaired.
///
/// # Errors
/// [`Error::InPlace`] when nothing is known of how to, or when another program has the image open; [`Error::Host`];
/// those of opening the image.
pub fn repair(path: &Path) -> Result<Check> {
    repair_in(&writable(path, "repair")?, path)
}

/// [`repair`], of the image in `storage`; `path` is what messages call it.
///
/// # Errors
/// As for [`repair`].
pub fn repair_in(storage: &dyn Storage, path: &Path) -> Result<Check> {
    let format = recognised(storage, path, "repair")?;
    let mut check = Check::default();
    match format.repair {
        Some(repair) => repair(storage, path, &mut check)?,
        None => return Err(refused(path, "repair", format)),
    }
    Ok(check)
}

fn refused(path: &Path, operation: &'static str, format: &Format) -> Error {
    let why = format!("that is not supported for {}", format.description);
    Error::InPlace { operation, path: path.to_path_buf(), why }
}

/// The format of the image in `storage`.
fn recognised(storage: &dyn Storage, path: &Path, operation: &'static str) -> Result<&'static Format> {
    let unreadable = |source| Error::Read { path: path.to_path_buf(), source };
    let size =
        storage.length().map_err(|source| unreadable(block::Error::io("examine", path, None, source)))?;
    let probed = format::probe(&Stored { storage, size, path }).map_err(unreadable)?;
    if probed.gzip {
        return Err(refused(path, operation, &raw::FORMAT));
    }
    Ok(probed.format)
}

/// A storage as something that can be read.
struct Stored<'a> {
    storage: &'a dyn Storage,
    size: u64,
    path: &'a Path,
}

impl BlockRead for Stored<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> block::Result<()> {
        check_range(offset, buf.len() as u64, self.size)?;
        let read = self.storage.read_exact_at(buf, offset);
        read.map_err(|source| block::Error::io("read", self.path, Some(offset), source))
    }

    fn extents(&self, range: Range<u64>) -> block::Result<Vec<Extent>> {
        check_span(&range, self.size)?;
        Ok(if range.is_empty() { Vec::new() } else { vec![Extent::data(range)] })
    }
}

/// Opens the file for nobody else to change it meanwhile.
fn writable(path: &Path, operation: &'static str) -> Result<File> {
    let failed = |operation| move |source| Error::Host { operation, path: path.to_path_buf(), source };
    // What is no file and no block device is refused before it is opened for writing.
    drop(FileDisk::open(path).map_err(|source| Error::Read { path: path.to_path_buf(), source })?);
    let file = File::options().read(true).write(true).open(path).map_err(failed("open"))?;
    lock(&file).map_err(|errno| match errno {
        Errno::AGAIN | Errno::ACCESS => {
            let why = "another program has it open".to_owned();
            Error::InPlace { operation, path: path.to_path_buf(), why }
        }
        other => failed("lock")(io::Error::from(other)),
    })?;
    Ok(file)
}

/// Locks a file in both of the ways that are in use: that of this crate's own copies, and that by which QEMU keeps an
/// image that a guest runs on to itself.
fn lock(file: &File) -> Result<(), Errno> {
    flock(file, FlockOperation::NonBlockingLockExclusive)?;
    match fcntl_lock(file, FlockOperation::NonBlockingLockExclusive) {
        // Not every filesystem has these.
        Err(Errno::INVAL | Errno::NOLCK | Errno::OPNOTSUPP) => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_that_somebody_has_locked_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("disk.raw");
        std::fs::write(&path, [1; 4096]).unwrap();
        let other = File::open(&path).unwrap();
        flock(&other, FlockOperation::NonBlockingLockShared).unwrap();
        let error = resize(&path, 8192).unwrap_err();
        assert!(error.to_string().ends_with("another program has it open"), "{error}");
        drop(other);
        resize(&path, 8192).unwrap();
        assert_eq!(path.metadata().unwrap().len(), 8192);
    }

    #[test]
    fn a_compressed_image_and_one_that_is_only_known_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        for (name, head) in [("disk.gz", b"\x1f\x8b\x08\0".as_slice()), ("disk.zip", b"PK\x03\x04")] {
            let path = directory.path().join(name);
            std::fs::write(&path, [head, &[0; 600]].concat()).unwrap();
            assert!(matches!(resize(&path, 8192), Err(Error::InPlace { operation: "resize", .. })), "{name}");
            assert!(matches!(repair(&path), Err(Error::InPlace { operation: "repair", .. })), "{name}");
        }
    }
}
