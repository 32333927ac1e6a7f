//! LUKS version 1: the partition header (LUKS1 On-Disk Format Specification 1.2.3, section 2, figure 1) and its slots.

use crate::cipher::Mode;
use crate::hash::Hash;
use crate::key::{Budget, Derivation, MAX_STRIPES, merged};
use crate::{Error, Read, Reason, SECTOR, Secret, Unlocked, within};
use zerocopy::big_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};
use zeroize::Zeroizing;

const MAGIC: [u8; 6] = *b"LUKS\xba\xbe";
/// What a slot says that holds a key.
const ENABLED: u32 = 0x00ac_71f3;
/// The most iterations that are made for a slot: more than ten seconds' worth, and no tool asks for so many.
const MAX_ITERATIONS: u32 = 1 << 26;

#[derive(Clone, Copy, FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Layout {
    magic: [u8; 6],
    version: U16,
    cipher_name: [u8; 32],
    cipher_mode: [u8; 32],
    hash_spec: [u8; 32],
    payload_offset: U32,
    key_bytes: U32,
    digest: [u8; 20],
    digest_salt: [u8; 32],
    digest_iterations: U32,
    uuid: [u8; 40],
    slots: [SlotLayout; 8],
}

#[derive(Clone, Copy, FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct SlotLayout {
    active: U32,
    iterations: U32,
    salt: [u8; 32],
    key_material_offset: U32,
    stripes: U32,
}

const _: () = assert!(size_of::<Layout>() == 592 && size_of::<SlotLayout>() == 48);

/// What a header says, checked.
struct Header {
    mode: Mode,
    hash: Hash,
    /// Bytes of the master key.
    key_bytes: usize,
    /// Where the encrypted bytes begin.
    payload: u64,
    digest: [u8; 20],
    digest_salt: [u8; 32],
    digest_iterations: u32,
    slots: Vec<Slot>,
    /// What the header calls the cipher and its mode.
    cipher: String,
}

/// A slot that holds the master key, encrypted with a passphrase.
struct Slot {
    derivation: Derivation,
    /// Where the key material begins behind the header's start, in bytes.
    offset: u64,
    stripes: usize,
}

/// Unlocks a volume of version 1.
pub(crate) fn unlock<E>(size: u64, read: &mut Read<'_, E>, secrets: &[Secret]) -> Result<Unlocked, Error<E>> {
    let bytes = within(size, read, 0, size_of::<Layout>(), "is cut short")?;
    let header = Header::parse(&bytes)?;
    if secrets.is_empty() {
        return Err(Reason::Locked.into());
    }
    let mut budget = Budget::default();
    for slot in &header.slots {
        let length = (header.key_bytes * slot.stripes).next_multiple_of(SECTOR as usize);
        let area = within(size, read, slot.offset, length, "has key material outside of it")?;
        for secret in secrets {
            let key = header.open(slot, &area, secret, &mut budget)?;
            if header.is_key(&key, &mut budget)? {
                let cipher = header.mode.cipher(&key).ok_or_else(|| header.unknown_cipher())?;
                let payload = header.payload.min(size)..size;
                return Ok(Unlocked { cipher, payload, sector: SECTOR, first: 0 });
            }
        }
    }
    Err(Reason::Secret.into())
}

impl Header {
    /// Reads the header that `bytes` begins with.
    fn parse(bytes: &[u8]) -> Result<Self, Reason> {
        let absurd = |what| Reason::Header { what };
        let (layout, _) = Layout::read_from_prefix(bytes).map_err(|_| absurd("is cut short"))?;
        if layout.magic != MAGIC || layout.version.get() != 1 {
            return Err(absurd("is not of LUKS version 1"));
        }
        let cipher = format!("{}-{}", text(&layout.cipher_name), text(&layout.cipher_mode));
        let unknown = || Reason::Cipher { cipher: cipher.clone() };
        let mode = Mode::named(&cipher).ok_or_else(unknown)?;
        let hash = Hash::named(&text(&layout.hash_spec))?;
        let key_bytes = layout.key_bytes.get();
        if !(16..=64).contains(&key_bytes) {
            return Err(absurd("has a key of an unknown length"));
        }
        let enabled = || layout.slots.iter().filter(|slot| slot.active.get() == ENABLED);
        let iterations = enabled().map(|slot| slot.iterations.get()).chain([layout.digest_iterations.get()]);
        if iterations.into_iter().any(|count| !(1..=MAX_ITERATIONS).contains(&count)) {
            return Err(absurd("wants an absurd number of iterations"));
        }
        let slots: Vec<Slot> = enabled().map(|slot| Slot::new(slot, hash)).collect();
        if slots.iter().any(|slot| !(1..=MAX_STRIPES).contains(&slot.stripes)) {
            return Err(absurd("has an absurd number of stripes"));
        }
        Ok(Self {
            mode,
            hash,
            key_bytes: key_bytes as usize,
            payload: u64::from(layout.payload_offset.get()) * SECTOR,
            digest: layout.digest,
            digest_salt: layout.digest_salt,
            digest_iterations: layout.digest_iterations.get(),
            slots,
            cipher,
        })
    }

    /// What a slot holds when it is opened with a secret: the master key, or noise.
    fn open(
        &self,
        slot: &Slot,
        area: &[u8],
        secret: &Secret,
        budget: &mut Budget,
    ) -> Result<Zeroizing<Vec<u8>>, Reason> {
        let key = slot.derivation.key(secret.as_bytes(), self.key_bytes, budget)?;
        let area = Zeroizing::new(area.to_vec());
        let merged = merged(self.mode, &key, area, self.hash, self.key_bytes, slot.stripes);
        merged.ok_or_else(|| self.unknown_cipher())
    }

    fn is_key(&self, key: &[u8], budget: &mut Budget) -> Result<bool, Reason> {
        let mut digest = [0; 20];
        budget.pbkdf2(self.hash, self.digest_iterations, digest.len())?;
        self.hash.derive(key, &self.digest_salt, self.digest_iterations, &mut digest);
        // Nobody measures how long this takes who does not have the image, which is all that the digest is kept from.
        Ok(digest == self.digest)
    }

    /// The reason that the cipher is not known, or not with such a key.
    fn unknown_cipher(&self) -> Reason {
        Reason::Cipher { cipher: format!("{} with a key of {} bytes", self.cipher, self.key_bytes) }
    }
}

impl Slot {
    fn new(layout: &SlotLayout, hash: Hash) -> Self {
        let iterations = layout.iterations.get();
        Self {
            derivation: Derivation::Pbkdf2 { hash, iterations, salt: layout.salt.to_vec() },
            offset: u64::from(layout.key_material_offset.get()) * SECTOR,
            stripes: layout.stripes.get() as usize,
        }
    }
}

fn text(field: &[u8]) -> String {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    String::from_utf8_lossy(field.get(..end).unwrap_or_default()).into_owned()
}
