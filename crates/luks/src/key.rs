//! What both versions make of a secret: the key of a slot's area, and the volume's key out of the area.

use crate::cipher::Mode;
use crate::hash::Hash;
use crate::{Reason, SECTOR};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use zeroize::{Zeroize as _, Zeroizing};

/// The most stripes of a slot: every tool makes 4,000.
pub(crate) const MAX_STRIPES: usize = 65_536;
/// The most memory that a slot may want, in KiB: what cryptsetup makes at most unless it is told otherwise.
const MAX_MEMORY: u32 = 1 << 20;
/// The most lanes of a slot; cryptsetup makes 4 at most.
const MAX_LANES: u32 = 16;

/// How a slot's area is unlocked with a secret.
pub(crate) enum Derivation {
    /// PBKDF2.
    Pbkdf2 { hash: Hash, iterations: u32, salt: Vec<u8> },
    /// Argon2 (RFC 9106).
    Argon2 { algorithm: Algorithm, passes: u32, memory: u32, lanes: u32, salt: Vec<u8> },
}

/// How much work is done for one volume, however many slots and secrets there are: some minutes of it.
pub(crate) struct Budget {
    /// Iterations of PBKDF2.
    iterations: u64,
    /// KiB that Argon2 goes over.
    memory: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self { iterations: 1 << 29, memory: 128 << 20 }
    }
}

impl Budget {
    /// Takes what PBKDF2 costs for that many bytes.
    pub(crate) fn pbkdf2(&mut self, hash: Hash, iterations: u32, bytes: usize) -> Result<(), Reason> {
        let cost = u64::from(iterations) * bytes.div_ceil(hash.length()).max(1) as u64;
        self.iterations = self.iterations.checked_sub(cost).ok_or(Reason::Work { what: "time" })?;
        Ok(())
    }

    fn argon2(&mut self, passes: u32, memory: u32, lanes: u32) -> Result<(), Reason> {
        if memory > MAX_MEMORY || lanes > MAX_LANES {
            return Err(Reason::Work { what: "memory" });
        }
        let cost = u64::from(passes) * u64::from(memory);
        self.memory = self.memory.checked_sub(cost).ok_or(Reason::Work { what: "time" })?;
        Ok(())
    }
}

impl Derivation {
    /// The key of `length` bytes that it makes of a secret.
    pub(crate) fn key(
        &self,
        secret: &[u8],
        length: usize,
        budget: &mut Budget,
    ) -> Result<Zeroizing<Vec<u8>>, Reason> {
        let mut key = Zeroizing::new(vec![0; length]);
        match self {
            Self::Pbkdf2 { hash, iterations, salt } => {
                budget.pbkdf2(*hash, *iterations, length)?;
                hash.derive(secret, salt, *iterations, &mut key);
            }
            Self::Argon2 { algorithm, passes, memory, lanes, salt } => {
                budget.argon2(*passes, *memory, *lanes)?;
                let absurd = |_| Reason::Header { what: "has parameters of Argon2 that make no sense" };
                let params = Params::new(*memory, *passes, *lanes, Some(length)).map_err(absurd)?;
                let mut blocks = Vec::new();
                blocks
                    .try_reserve_exact(params.block_count())
                    .map_err(|_| Reason::Work { what: "memory" })?;
                blocks.resize(params.block_count(), Block::default());
                let argon2 = Argon2::new(*algorithm, Version::V0x13, params);
                let made = argon2.hash_password_into_with_memory(secret, salt, &mut key, &mut blocks);
                blocks.iter_mut().for_each(|block| block.zeroize());
                made.map_err(absurd)?;
            }
        }
        Ok(key)
    }
}

/// What an area holds when it is decrypted with `key` and put together: the volume's key of `length` bytes, or noise.
pub(crate) fn merged(
    mode: Mode,
    key: &[u8],
    mut area: Zeroizing<Vec<u8>>,
    hash: Hash,
    length: usize,
    stripes: usize,
) -> Option<Zeroizing<Vec<u8>>> {
    let cipher = mode.cipher(key)?;
    for (sector, bytes) in (0..).zip(area.chunks_exact_mut(SECTOR as usize)) {
        cipher.decrypt(sector, bytes);
    }
    Some(merge(hash, length, area.get(..length.checked_mul(stripes)?)?))
}

/// Puts together what the anti-forensic splitter took apart (LUKS1, section 2.4).
fn merge(hash: Hash, length: usize, stripes: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut key = Zeroizing::new(vec![0; length]);
    let count = stripes.len() / length.max(1);
    for (number, stripe) in (1..).zip(stripes.chunks_exact(length.max(1))) {
        key.iter_mut().zip(stripe).for_each(|(byte, other)| *byte ^= other);
        if number < count {
            hash.diffuse(&mut key);
        }
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_bounded() {
        let argon2 = |passes, memory, lanes| Derivation::Argon2 {
            algorithm: Algorithm::Argon2id,
            passes,
            memory,
            lanes,
            salt: vec![1; 32],
        };
        let run = |derivation: &Derivation| derivation.key(b"x", 32, &mut Budget::default()).map(|_| ());
        assert_eq!(run(&argon2(1, MAX_MEMORY + 1, 1)), Err(Reason::Work { what: "memory" }));
        assert_eq!(run(&argon2(u32::MAX, 1 << 16, 1)), Err(Reason::Work { what: "time" }));
        assert!(matches!(run(&argon2(0, 1024, 1)), Err(Reason::Header { .. })));
        assert!(matches!(run(&argon2(1, 1, 4)), Err(Reason::Header { .. })));
        assert_eq!(run(&argon2(1, 64, 2)), Ok(()));
        let pbkdf2 = Derivation::Pbkdf2 { hash: Hash::Sha256, iterations: u32::MAX, salt: vec![] };
        assert_eq!(run(&pbkdf2), Err(Reason::Work { what: "time" }));
    }
}
