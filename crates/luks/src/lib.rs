//! LUKS volumes, versions 1 and 2: from a header and a secret to the cipher of the sectors ([`unlock`]).
//!
//! Bytes in, bytes out: where a header lies, and what the decrypted sectors are read for, is for others to know (the
//! LUKS1 On-Disk Format Specification 1.2.3, the LUKS2 On-Disk Format Specification 1.1.0). Headers are hostile: what they may
//! ask for in memory and time is bounded ([`Reason::Work`]). Keys are wiped from memory when they are no longer needed.

mod cipher;
mod hash;
mod key;
mod secret;
mod v1;
mod v2;

pub use cipher::{Cipher, Mode};
pub use secret::Secret;

use std::ops::Range;

/// Bytes of what offsets and initialisation vectors are counted in.
pub const SECTOR: u64 = 512;

/// Why a volume could not be unlocked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// No secret was given.
    #[error("no passphrase and no key file was given")]
    Locked,
    /// None of the secrets unlocks a key.
    #[error("the passphrase or key file unlocks none of its keys")]
    Secret,
    /// The header makes no sense.
    #[error("the LUKS header {what}")]
    Header {
        /// What is wrong with it.
        what: &'static str,
    },
    /// The cipher or hash function is none that is known.
    #[error("the encryption {cipher:?} is not supported")]
    Cipher {
        /// As the header names it.
        cipher: String,
    },
    /// The volume has a feature that is not known: integrity, an unfinished reencryption.
    #[error("the feature {name:?} of the volume is not supported")]
    Feature {
        /// As the header names it.
        name: String,
    },
    /// The header asks for more memory or time than any real one.
    #[error("the LUKS header wants more {what} to be unlocked than is given to it")]
    Work {
        /// Of what.
        what: &'static str,
    },
}

/// Why unlocking ended.
#[derive(Debug, thiserror::Error)]
pub enum Error<E> {
    /// The header could not be read.
    #[error("the LUKS header cannot be read")]
    Read(#[source] E),
    /// It was read, and refused.
    #[error(transparent)]
    Refused(#[from] Reason),
}

/// An unlocked volume.
pub struct Unlocked {
    /// The cipher of its sectors.
    pub cipher: Cipher,
    /// Where the encrypted bytes lie behind the header's start.
    pub payload: Range<u64>,
    /// Bytes that are encrypted together: 512 to 4096, a power of two.
    pub sector: u64,
    /// The number of the payload's first sector, in units of 512 bytes.
    pub first: u64,
}

/// What the bytes of a volume are read with: that many at that offset, behind the header's start.
pub type Read<'a, E> = dyn FnMut(u64, usize) -> Result<Vec<u8>, E> + 'a;

/// Unlocks the volume of `size` bytes that `read` reads, with the first of `secrets` that fits.
///
/// # Errors
/// [`Error::Read`] where `read` failed; the [`Reason`] otherwise.
pub fn unlock<E>(size: u64, read: &mut Read<'_, E>, secrets: &[Secret]) -> Result<Unlocked, Error<E>> {
    if let Some(header) = v2::find(size, read)? {
        return v2::unlock(&header, size, read, secrets);
    }
    unlock_v1(size, read, secrets)
}

/// Unlocks a volume that has to be of version 1, as [`unlock`] does.
///
/// # Errors
/// As [`unlock`].
pub fn unlock_v1<E>(size: u64, read: &mut Read<'_, E>, secrets: &[Secret]) -> Result<Unlocked, Error<E>> {
    v1::unlock(size, read, secrets)
}

/// Reads `length` bytes at `offset` of a volume of `size` bytes.
fn within<E>(
    size: u64,
    read: &mut Read<'_, E>,
    offset: u64,
    length: usize,
    what: &'static str,
) -> Result<Vec<u8>, Error<E>> {
    if offset.checked_add(length as u64).is_none_or(|end| end > size) {
        return Err(Reason::Header { what }.into());
    }
    let bytes = read(offset, length).map_err(Error::Read)?;
    if bytes.len() == length { Ok(bytes) } else { Err(Reason::Header { what }.into()) }
}
