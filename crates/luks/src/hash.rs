//! The hash functions that both specifications name (LUKS1, section 5.3): [`Hash`].

use crate::Reason;
use pbkdf2::pbkdf2_hmac;
use sha1::Sha1;
use sha2::digest::Digest;
use sha2::{Sha256, Sha512};

/// A hash function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hash {
    Sha1,
    Sha256,
    Sha512,
}

impl Hash {
    /// The function of that name.
    pub(crate) fn named(name: &str) -> Result<Self, Reason> {
        match name {
            "sha1" => Ok(Self::Sha1),
            "sha256" => Ok(Self::Sha256),
            "sha512" => Ok(Self::Sha512),
            other => Err(Reason::Cipher { cipher: other.to_owned() }),
        }
    }

    /// PBKDF2 with this function's HMAC (RFC 8018, section 5.2).
    pub(crate) fn derive(self, secret: &[u8], salt: &[u8], iterations: u32, out: &mut [u8]) {
        match self {
            Self::Sha1 => pbkdf2_hmac::<Sha1>(secret, salt, iterations, out),
            Self::Sha256 => pbkdf2_hmac::<Sha256>(secret, salt, iterations, out),
            Self::Sha512 => pbkdf2_hmac::<Sha512>(secret, salt, iterations, out),
        }
    }

    /// Replaces each piece of the hash's length by the hash of its number and itself (LUKS1, section 2.4).
    pub(crate) fn diffuse(self, key: &mut [u8]) {
        match self {
            Self::Sha1 => diffuse::<Sha1>(key),
            Self::Sha256 => diffuse::<Sha256>(key),
            Self::Sha512 => diffuse::<Sha512>(key),
        }
    }

    /// Bytes of what it makes.
    pub(crate) fn length(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }
}

fn diffuse<D: Digest>(key: &mut [u8]) {
    for (number, piece) in (0_u32..).zip(key.chunks_mut(<D as Digest>::output_size())) {
        let digest = D::new().chain_update(number.to_be_bytes()).chain_update(&*piece).finalize();
        piece.iter_mut().zip(digest.iter()).for_each(|(byte, new)| *byte = *new);
    }
}
