//! Extended attributes of a [`Place`], not following a link there.
//!
//! There is no `getxattrat` before Linux 6.13, so the agent, which has one thread, steps into the directory and names
//! the file from there.

use crate::failure::{Failure, Result};
use crate::files::names;
use crate::tree::Place;
use rustix::fs::{XattrFlags, fsetxattr, lgetxattr, llistxattr, lsetxattr};
use rustix::io::Errno;
use std::fs::File;

/// The longest value or list that Linux has (`XATTR_SIZE_MAX`).
const LONGEST: usize = 64 << 10;

fn step_into(place: &Place) -> Result<&str> {
    // Not fchdir: the directory is open as a path only, which fchdir accepts since Linux 3.5.
    rustix::process::fchdir(&place.parent)?;
    Ok(&place.name)
}

pub(crate) fn get(place: &Place, name: &str) -> Result<Option<Vec<u8>>> {
    let file = step_into(place)?;
    let mut value = vec![0; LONGEST];
    match lgetxattr(file, name, &mut value) {
        Ok(length) => {
            value.truncate(length);
            Ok(Some(value))
        }
        Err(Errno::NODATA) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

pub(crate) fn set(place: &Place, name: &str, value: &[u8]) -> Result<()> {
    let file = step_into(place)?;
    Ok(lsetxattr(file, name, value, XattrFlags::empty())?)
}

/// Gives `file` all the attributes that what stands at `place` has.
pub(crate) fn copy(place: &Place, file: &File) -> Result<()> {
    let mut list = vec![0; LONGEST];
    let length = match llistxattr(step_into(place)?, &mut list) {
        Ok(length) => length,
        Err(Errno::OPNOTSUPP) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    for name in names(list.get(..length).unwrap_or_default())? {
        let Some(value) = get(place, &name)? else { continue };
        fsetxattr(file, name.as_str(), &value, XattrFlags::empty()).map_err(|error| {
            let failure = Failure::from(error);
            Failure::new(failure.kind, format!("its attribute {name} cannot be kept: {}", failure.detail))
        })?;
    }
    Ok(())
}
