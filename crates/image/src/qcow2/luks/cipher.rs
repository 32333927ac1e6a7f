//! Decrypting sectors ([`Cipher`]): AES in the XTS mode (IEEE 1619, section 5.4) and in the CBC mode, with the
//! initialisation vectors of dm-crypt.

use aes::cipher::generic_array::GenericArray;
use aes::cipher::{BlockDecrypt, BlockEncrypt, KeyInit};
use aes::{Aes128, Aes192, Aes256, Block};
use sha2::{Digest, Sha256};

/// Bytes of a block of AES.
const BLOCK: usize = 16;
/// Blocks of a sector.
const BLOCKS: usize = 512 / BLOCK;

/// How sectors are encrypted, without the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mode {
    chaining: Chaining,
    vector: Vector,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chaining {
    Xts,
    Cbc,
}

/// What a sector's number becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Vector {
    /// Its lowest 32 bits.
    Plain,
    /// Itself.
    Plain64,
    /// Itself, encrypted with the hash of the key.
    Essiv,
}

impl Mode {
    /// The mode that is called so, with the cipher before it.
    pub(super) fn named(name: &str) -> Option<Self> {
        let (chaining, vector) = match name {
            "aes-xts-plain" => (Chaining::Xts, Vector::Plain),
            "aes-xts-plain64" => (Chaining::Xts, Vector::Plain64),
            "aes-cbc-plain" => (Chaining::Cbc, Vector::Plain),
            "aes-cbc-plain64" => (Chaining::Cbc, Vector::Plain64),
            "aes-cbc-essiv:sha256" => (Chaining::Cbc, Vector::Essiv),
            _ => return None,
        };
        Some(Self { chaining, vector })
    }

    /// The cipher with this key; `None` when it is of no length that the mode takes.
    pub(super) fn cipher(self, key: &[u8]) -> Option<Cipher> {
        let (data, tweak) = match self.chaining {
            Chaining::Xts => {
                let (data, tweak) = key.split_at(key.len() / 2);
                (Aes::new(data)?, Some(Aes::new(tweak)?))
            }
            Chaining::Cbc if self.vector == Vector::Essiv => (Aes::new(key)?, Aes::new(&Sha256::digest(key))),
            Chaining::Cbc => (Aes::new(key)?, None),
        };
        Some(Cipher { mode: self, data, tweak })
    }
}

/// AES with a key of one of its lengths.
enum Aes {
    Short(Box<Aes128>),
    Middle(Box<Aes192>),
    Long(Box<Aes256>),
}

impl Aes {
    fn new(key: &[u8]) -> Option<Self> {
        match key.len() {
            16 => Aes128::new_from_slice(key).ok().map(|cipher| Self::Short(Box::new(cipher))),
            24 => Aes192::new_from_slice(key).ok().map(|cipher| Self::Middle(Box::new(cipher))),
            32 => Aes256::new_from_slice(key).ok().map(|cipher| Self::Long(Box::new(cipher))),
            _ => None,
        }
    }

    fn encrypt(&self, block: &mut Block) {
        match self {
            Self::Short(cipher) => cipher.encrypt_block(block),
            Self::Middle(cipher) => cipher.encrypt_block(block),
            Self::Long(cipher) => cipher.encrypt_block(block),
        }
    }

    fn decrypt(&self, blocks: &mut [Block]) {
        match self {
            Self::Short(cipher) => cipher.decrypt_blocks(blocks),
            Self::Middle(cipher) => cipher.decrypt_blocks(blocks),
            Self::Long(cipher) => cipher.decrypt_blocks(blocks),
        }
    }
}

/// A mode with its key.
pub(super) struct Cipher {
    mode: Mode,
    data: Aes,
    /// What makes the initialisation vector of a sector's number, in the modes that encrypt it.
    tweak: Option<Aes>,
}

impl Cipher {
    /// Decrypts the sector of this number.
    pub(super) fn decrypt(&self, sector: u64, bytes: &mut [u8; 512]) {
        let mut before = [0; BLOCKS];
        let vector = self.vector(sector);
        let mut blocks: [Block; BLOCKS] = std::array::from_fn(|_| Block::default());
        let encrypted = bytes.as_chunks::<BLOCK>().0;
        match self.mode.chaining {
            Chaining::Xts => {
                let mut tweak = vector;
                for (mask, place) in before.iter_mut().zip(0..BLOCKS) {
                    *mask = if place == 0 { tweak } else { doubled(tweak) };
                    tweak = *mask;
                }
            }
            Chaining::Cbc => {
                let chain =
                    std::iter::once(vector).chain(encrypted.iter().map(|block| u128::from_le_bytes(*block)));
                before.iter_mut().zip(chain).for_each(|(mask, block)| *mask = block);
            }
        }
        let xts = self.mode.chaining == Chaining::Xts;
        for ((block, encrypted), mask) in blocks.iter_mut().zip(encrypted).zip(&before) {
            let word = u128::from_le_bytes(*encrypted) ^ if xts { *mask } else { 0 };
            *block = GenericArray::from(word.to_le_bytes());
        }
        self.data.decrypt(&mut blocks);
        let out = bytes.as_chunks_mut::<BLOCK>().0;
        for ((out, block), mask) in out.iter_mut().zip(&blocks).zip(&before) {
            *out = (u128::from_le_bytes((*block).into()) ^ mask).to_le_bytes();
        }
    }

    fn vector(&self, sector: u64) -> u128 {
        let number = match self.mode.vector {
            Vector::Plain => u128::from(sector as u32),
            Vector::Plain64 | Vector::Essiv => sector.into(),
        };
        let Some(tweak) = &self.tweak else { return number };
        let mut block = GenericArray::from(number.to_le_bytes());
        tweak.encrypt(&mut block);
        u128::from_le_bytes(block.into())
    }
}

/// Twice `tweak` in the field of 2^128 elements (IEEE 1619, section 5.2).
fn doubled(tweak: u128) -> u128 {
    tweak << 1 ^ if tweak >> 127 == 0 { 0 } else { 0x87 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vector 4 of IEEE 1619, annex B: a sector of 512 bytes under two keys of 128 bits.
    #[test]
    fn the_example_of_the_standard() {
        let keys =
            [0x27, 0x18, 0x28, 0x18, 0x28, 0x45, 0x90, 0x45, 0x23, 0x53, 0x60, 0x28, 0x74, 0x71, 0x35, 0x26]
                .into_iter()
                .chain([
                    0x31, 0x41, 0x59, 0x26, 0x53, 0x58, 0x97, 0x93, 0x23, 0x84, 0x62, 0x64, 0x33, 0x83, 0x27,
                    0x95,
                ])
                .collect::<Vec<u8>>();
        let cipher = Mode::named("aes-xts-plain64").unwrap().cipher(&keys).unwrap();
        let mut sector = [0; 512];
        let first =
            [0x27, 0xa7, 0x47, 0x9b, 0xef, 0xa1, 0xd4, 0x76, 0x48, 0x9f, 0x30, 0x8c, 0xd4, 0xcf, 0xa6, 0xe2];
        sector[..16].copy_from_slice(&first);
        cipher.decrypt(0, &mut sector);
        assert_eq!(sector[..16], std::array::from_fn::<u8, 16, _>(|place| place as u8));
    }

    #[test]
    fn keys_of_other_lengths_are_refused() {
        assert!(Mode::named("aes-xts-plain64").unwrap().cipher(&[0; 33]).is_none());
        assert!(Mode::named("aes-cbc-plain64").unwrap().cipher(&[0; 64]).is_none());
        assert!(Mode::named("aes-cbc-essiv:sha256").unwrap().cipher(&[0; 32]).is_some());
        assert!(Mode::named("serpent-xts-plain64").is_none());
    }
}
