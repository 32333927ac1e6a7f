//! Discard the free space of a mounted filesystem: the `FITRIM` ioctl of Linux, as `fstrim` calls it.
//!
//! The only crate of the workspace with unsafe code. An ioctl cannot be called without it: which type its argument
//! has is a promise that no compiler can check. The alternative, `fstrim` in the appliance, would bring a shared
//! library loader, three libraries and a process for the sake of this one call.

use rustix::fd::AsFd;
use rustix::io::Result;
use rustix::ioctl::{Opcode, Updater, ioctl, opcode};

/// `struct fstrim_range` of `linux/fs.h`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
struct Range {
    /// The first byte to look at.
    start: u64,
    /// How many bytes to look at; the kernel answers with the bytes that were discarded.
    length: u64,
    /// The shortest extent of free space to discard, in bytes.
    shortest: u64,
}

/// `FITRIM`: `_IOWR('X', 121, struct fstrim_range)`.
const FITRIM: Opcode = opcode::read_write::<Range>(b'X', 121);

/// Discards all free space of the filesystem that `directory` lies on; answers with the bytes that were discarded.
///
/// # Errors
/// `EOPNOTSUPP` or `ENOTTY` when the filesystem or its device cannot discard, `EPERM` without `CAP_SYS_ADMIN`,
/// `EROFS` and whatever else the filesystem answers.
pub fn trim(directory: impl AsFd) -> Result<u64> {
    let mut range = Range { start: 0, length: u64::MAX, shortest: 0 };
    // SAFETY: FITRIM reads and writes one `struct fstrim_range`, which `Range` mirrors field by field, and keeps no
    // reference to it after the call.
    #[allow(unsafe_code)]
    unsafe {
        ioctl(directory, Updater::<FITRIM, Range>::new(&mut range))?;
    }
    Ok(range.length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_has_the_number_of_linux_fs_h() {
        assert_eq!(FITRIM, 0xc018_5879);
    }

    #[test]
    fn what_cannot_discard_is_an_error() {
        let null = std::fs::File::open("/dev/null").unwrap();
        assert!(trim(null).is_err());
    }
}
