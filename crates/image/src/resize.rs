//! Changing an image in place: [`resize()`], [`repair`].

use crate::check::Check;
use crate::error::{Error, Result};
use crate::format::{self, Format};
use crate::raw;
use block::FileDisk;
use rustix::fs::{FlockOperation, flock};
use std::fs::File;
use std::path::Path;

/// Gives the disk of the image in the file at `path` a new size in bytes. What is added reads as zeroes.
///
/// The change is safe against a crash: the image is then as it was or as it should be.
///
/// # Errors
/// [`Error::InPlace`] when the format cannot, or not to this size; [`Error::Host`]; those of opening the image.
pub fn resize(path: &Path, size: u64) -> Result<()> {
    let (format, file) = writable(path, "resize")?;
    match format.resize {
        Some(resize) => resize(&file, path, size),
        None => Err(refused(path, "resize", format)),
    }
}

/// Repairs what is safe to repair in the image in the file at `path`: what was found, and what of it was repaired.
///
/// # Errors
/// [`Error::InPlace`] when nothing is known of how to; [`Error::Host`]; those of opening the image.
pub fn repair(path: &Path) -> Result<Check> {
    let (format, file) = writable(path, "repair")?;
    let mut check = Check::default();
    match format.repair {
        Some(repair) => repair(&file, path, &mut check)?,
        None => return Err(refused(path, "repair", format)),
    }
    Ok(check)
}

fn refused(path: &Path, operation: &'static str, format: &Format) -> Error {
    let why = format!("that is not supported for {}", format.description);
    Error::InPlace { operation, path: path.to_path_buf(), why }
}

/// Opens the file and locks it, so that nobody else of us changes it meanwhile.
fn writable(path: &Path, operation: &'static str) -> Result<(&'static Format, File)> {
    let failed = |operation| move |source| Error::Host { operation, path: path.to_path_buf(), source };
    let unreadable = |source| Error::Read { path: path.to_path_buf(), source };
    let disk = FileDisk::open(path).map_err(unreadable)?;
    let probed = format::probe(&disk).map_err(unreadable)?;
    if probed.gzip {
        return Err(refused(path, operation, &raw::FORMAT));
    }
    let file = File::options().read(true).write(true).open(path).map_err(failed("open"))?;
    flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|errno| failed("lock")(errno.into()))?;
    Ok((probed.format, file))
}
