//! The partition header (LUKS On-Disk Format Specification 1.2.3, section 2, figure 1): [`Header`].

use super::super::Reason;
use super::cipher::Mode;
use zerocopy::big_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

const MAGIC: [u8; 6] = *b"LUKS\xba\xbe";
/// What a slot says that holds a key.
const ENABLED: u32 = 0x00ac_71f3;
/// Bytes of what the key offsets are counted in.
const SECTOR: usize = 512;
/// The most iterations that are made for a slot: more than ten seconds' worth, and no tool asks for so many.
const MAX_ITERATIONS: u32 = 1 << 26;
/// The most stripes of a slot: every tool makes 4,000.
const MAX_STRIPES: u32 = 65_536;

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

/// The hash functions that the specification names (section 5.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hash {
    Sha1,
    Sha256,
    Sha512,
}

/// What a header says, checked.
pub(super) struct Header {
    pub(super) mode: Mode,
    pub(super) hash: Hash,
    /// Bytes of the master key.
    pub(super) key_bytes: usize,
    pub(super) digest: [u8; 20],
    pub(super) digest_salt: [u8; 32],
    pub(super) digest_iterations: u32,
    pub(super) slots: Vec<Slot>,
    /// What the header calls the cipher and its mode.
    cipher: String,
}

/// A slot that holds the master key, encrypted with a passphrase.
pub(super) struct Slot {
    pub(super) iterations: u32,
    pub(super) salt: [u8; 32],
    /// Where the key material begins behind the header's start, in bytes.
    pub(super) offset: usize,
    pub(super) stripes: usize,
}

impl Header {
    /// Reads the header that `bytes` begins with.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Reason> {
        let absurd = |what| Reason::LuksHeader { what };
        let (layout, _) = Layout::read_from_prefix(bytes).map_err(|_| absurd("is cut short"))?;
        if layout.magic != MAGIC || layout.version.get() != 1 {
            return Err(absurd("is not of LUKS version 1"));
        }
        let cipher = format!("{}-{}", text(&layout.cipher_name), text(&layout.cipher_mode));
        let unknown = || Reason::LuksCipher { cipher: cipher.clone() };
        let mode = Mode::named(&cipher).ok_or_else(unknown)?;
        let hash = match text(&layout.hash_spec).as_str() {
            "sha1" => Hash::Sha1,
            "sha256" => Hash::Sha256,
            "sha512" => Hash::Sha512,
            other => return Err(Reason::LuksCipher { cipher: other.to_owned() }),
        };
        let key_bytes = layout.key_bytes.get();
        if !(16..=64).contains(&key_bytes) {
            return Err(absurd("has a key of an unknown length"));
        }
        let enabled = layout.slots.iter().filter(|slot| slot.active.get() == ENABLED);
        let slots: Vec<Slot> = enabled.map(Slot::new).collect();
        let iterations = slots.iter().map(|slot| slot.iterations).chain([layout.digest_iterations.get()]);
        if iterations.into_iter().any(|count| !(1..=MAX_ITERATIONS).contains(&count)) {
            return Err(absurd("wants an absurd number of iterations"));
        }
        let stripes = 1..=MAX_STRIPES as usize;
        if slots.iter().any(|slot| !stripes.contains(&slot.stripes)) {
            return Err(absurd("has an absurd number of stripes"));
        }
        Ok(Self {
            mode,
            hash,
            key_bytes: key_bytes as usize,
            digest: layout.digest,
            digest_salt: layout.digest_salt,
            digest_iterations: layout.digest_iterations.get(),
            slots,
            cipher,
        })
    }

    /// The reason that the cipher is not known, or not with such a key.
    pub(super) fn unknown_cipher(&self) -> Reason {
        Reason::LuksCipher { cipher: format!("{} with a key of {} bytes", self.cipher, self.key_bytes) }
    }
}

impl Slot {
    fn new(layout: &SlotLayout) -> Self {
        Self {
            iterations: layout.iterations.get(),
            salt: layout.salt,
            offset: (layout.key_material_offset.get() as usize).saturating_mul(SECTOR),
            stripes: layout.stripes.get() as usize,
        }
    }
}

fn text(field: &[u8]) -> String {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    String::from_utf8_lossy(field.get(..end).unwrap_or_default()).into_owned()
}
