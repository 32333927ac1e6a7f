//! Encrypting and decrypting sectors ([`Cipher`]): AES in the XTS mode (IEEE 1619, section 5.4) and in the CBC mode, with the
//! initialisation vectors of dm-crypt.

use aes::cipher::generic_array::GenericArray;
use aes::cipher::{BlockDecrypt, BlockEncrypt, KeyInit};
use aes::{Aes128, Aes192, Aes256, Block};
use sha2::{Digest, Sha256};

/// Bytes of a block of AES.
const BLOCK: usize = 16;
/// Blocks that are worked on at once.
const BLOCKS: usize = 512 / BLOCK;

/// How sectors are encrypted, without the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode {
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
    /// The mode that is called so, with the cipher before it: `aes-xts-plain64`.
    pub fn named(name: &str) -> Option<Self> {
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
    pub fn cipher(self, key: &[u8]) -> Option<Cipher> {
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

    fn encrypt(&self, blocks: &mut [Block]) {
        match self {
            Self::Short(cipher) => cipher.encrypt_blocks(blocks),
            Self::Middle(cipher) => cipher.encrypt_blocks(blocks),
            Self::Long(cipher) => cipher.encrypt_blocks(blocks),
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
pub struct Cipher {
    mode: Mode,
    data: Aes,
    /// What makes the initialisation vector of a sector's number, in the modes that encrypt it.
    tweak: Option<Aes>,
}

impl Cipher {
    /// Decrypts `bytes`, a sector whole and by itself: a multiple of 16, of which a rest stays as it is. `number` counts
    /// sectors of 512 bytes, however large they are.
    pub fn decrypt(&self, number: u64, bytes: &mut [u8]) {
        let mut vector = self.vector(number);
        for piece in bytes.chunks_mut(BLOCKS * BLOCK) {
            let pieces = piece.as_chunks_mut::<BLOCK>().0;
            let mut masks = [0; BLOCKS];
            for (mask, block) in masks.iter_mut().zip(pieces.iter()) {
                *mask = vector;
                vector = match self.mode.chaining {
                    Chaining::Xts => doubled(vector),
                    Chaining::Cbc => u128::from_le_bytes(*block),
                };
            }
            let before = self.mode.chaining == Chaining::Xts;
            self.masked(pieces, &masks, before, true, |blocks| self.data.decrypt(blocks));
        }
    }

    /// Encrypts `bytes`, as [`decrypt`](Self::decrypt) decrypts them.
    pub fn encrypt(&self, number: u64, bytes: &mut [u8]) {
        let mut vector = self.vector(number);
        match self.mode.chaining {
            Chaining::Xts => {
                for piece in bytes.chunks_mut(BLOCKS * BLOCK) {
                    let pieces = piece.as_chunks_mut::<BLOCK>().0;
                    let mut masks = [0; BLOCKS];
                    for (mask, _) in masks.iter_mut().zip(pieces.iter()) {
                        *mask = vector;
                        vector = doubled(vector);
                    }
                    self.masked(pieces, &masks, true, true, |blocks| self.data.encrypt(blocks));
                }
            }
            // Each block waits for the one before it.
            Chaining::Cbc => {
                for block in bytes.as_chunks_mut::<BLOCK>().0 {
                    self.masked(std::slice::from_mut(block), &[vector], true, false, |blocks| {
                        self.data.encrypt(blocks);
                    });
                    vector = u128::from_le_bytes(*block);
                }
            }
        }
    }

    /// Runs `work` on the blocks, mixed with their masks before it, behind it, or both.
    fn masked(
        &self,
        pieces: &mut [[u8; BLOCK]],
        masks: &[u128],
        before: bool,
        behind: bool,
        work: impl FnOnce(&mut [Block]),
    ) {
        let mut blocks: [Block; BLOCKS] = std::array::from_fn(|_| Block::default());
        let Some(blocks) = blocks.get_mut(..pieces.len()) else { return };
        for ((block, piece), mask) in blocks.iter_mut().zip(pieces.iter()).zip(masks) {
            let word = u128::from_le_bytes(*piece) ^ if before { *mask } else { 0 };
            *block = GenericArray::from(word.to_le_bytes());
        }
        work(blocks);
        for ((piece, block), mask) in pieces.iter_mut().zip(blocks.iter()).zip(masks) {
            let word = u128::from_le_bytes((*block).into());
            *piece = (word ^ if behind { *mask } else { 0 }).to_le_bytes();
        }
    }

    fn vector(&self, sector: u64) -> u128 {
        let number = match self.mode.vector {
            Vector::Plain => u128::from(sector as u32),
            Vector::Plain64 | Vector::Essiv => sector.into(),
        };
        let Some(tweak) = &self.tweak else { return number };
        let mut block = GenericArray::from(number.to_le_bytes());
        tweak.encrypt(std::slice::from_mut(&mut block));
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
    fn what_is_encrypted_is_decrypted() {
        for (name, length) in [
            ("aes-xts-plain", 32),
            ("aes-xts-plain64", 64),
            ("aes-cbc-plain64", 16),
            ("aes-cbc-essiv:sha256", 24),
            ("aes-cbc-essiv:sha256", 32),
        ] {
            let key: Vec<u8> = (0..length).collect();
            let cipher = Mode::named(name).unwrap().cipher(&key).unwrap();
            for size in [512, 1024, 4096, 528] {
                let clear: Vec<u8> = (0..size).map(|place| (place * 7 % 251) as u8).collect();
                let mut bytes = clear.clone();
                cipher.encrypt(1 << 33, &mut bytes);
                assert!(bytes != clear);
                cipher.decrypt(1 << 33, &mut bytes);
                assert_eq!(bytes, clear, "{name}, {size}");
            }
        }
    }

    #[test]
    fn keys_of_other_lengths_are_refused() {
        assert!(Mode::named("aes-xts-plain64").unwrap().cipher(&[0; 33]).is_none());
        assert!(Mode::named("aes-cbc-plain64").unwrap().cipher(&[0; 64]).is_none());
        assert!(Mode::named("aes-cbc-essiv:sha256").unwrap().cipher(&[0; 32]).is_some());
        assert!(Mode::named("serpent-xts-plain64").is_none());
    }
}
