//! The metadata in JSON (specification, section 3): [`Metadata`].

use crate::cipher::Mode;
use crate::hash::Hash;
use crate::key::{Budget, Derivation, MAX_STRIPES};
use crate::{Reason, SECTOR};
use argon2::Algorithm;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use std::collections::BTreeMap;

/// The most slots that a volume has (cryptsetup's `LUKS2_KEYSLOTS_MAX`).
const MAX_SLOTS: usize = 32;
/// Lengths of keys in bytes that some cipher takes.
const KEYS: std::ops::RangeInclusive<usize> = 16..=64;

/// What the metadata say, as far as it is needed to read the volume.
pub(crate) struct Metadata {
    segments: BTreeMap<String, RawSegment>,
    digests: Vec<Digest>,
    keyslots: BTreeMap<String, Keyslot>,
}

/// A run of encrypted bytes.
pub(super) struct Segment {
    pub(super) mode: Mode,
    pub(super) offset: u64,
    /// To the volume's end when absent.
    pub(super) length: Option<u64>,
    /// Bytes that are encrypted together.
    pub(super) sector: u64,
    /// The number of the first sector.
    pub(super) first: u64,
    encryption: String,
}

/// A slot that is known, or why it is not.
pub(super) type Keyslot = Result<Slot, Reason>;

/// A place where the volume's key lies, encrypted.
pub(super) struct Slot {
    pub(super) derivation: Derivation,
    /// Bytes of the volume's key.
    pub(super) key_bytes: usize,
    /// Bytes of the key of the area.
    pub(super) area_key_bytes: usize,
    pub(super) mode: Mode,
    pub(super) offset: u64,
    pub(super) hash: Hash,
    pub(super) stripes: usize,
}

/// What a key is known by.
pub(super) struct Digest {
    hash: Hash,
    iterations: u32,
    salt: Vec<u8>,
    digest: Vec<u8>,
    keyslots: Vec<String>,
    segments: Vec<String>,
}

#[derive(Deserialize)]
struct Raw {
    keyslots: BTreeMap<String, serde_json::Value>,
    segments: BTreeMap<String, RawSegment>,
    digests: BTreeMap<String, RawDigest>,
    config: Config,
}

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    requirements: Requirements,
}

#[derive(Default, Deserialize)]
struct Requirements {
    #[serde(default)]
    mandatory: Vec<String>,
}

#[derive(Deserialize)]
struct RawSegment {
    #[serde(rename = "type")]
    kind: String,
    offset: String,
    size: String,
    #[serde(default)]
    iv_tweak: Option<String>,
    #[serde(default)]
    encryption: Option<String>,
    #[serde(default)]
    sector_size: Option<u64>,
    #[serde(default)]
    integrity: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct RawDigest {
    #[serde(rename = "type")]
    kind: String,
    keyslots: Vec<String>,
    segments: Vec<String>,
    hash: String,
    iterations: u32,
    salt: String,
    digest: String,
}

#[derive(Deserialize)]
struct RawSlot {
    key_size: usize,
    af: RawSplitter,
    area: RawArea,
    kdf: RawDerivation,
}

#[derive(Deserialize)]
struct RawSplitter {
    stripes: usize,
    hash: String,
}

#[derive(Deserialize)]
struct RawArea {
    offset: String,
    encryption: String,
    key_size: usize,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum RawDerivation {
    Pbkdf2 { hash: String, iterations: u32, salt: String },
    Argon2i { time: u32, memory: u32, cpus: u32, salt: String },
    Argon2id { time: u32, memory: u32, cpus: u32, salt: String },
}

fn absurd(what: &'static str) -> Reason {
    Reason::Header { what }
}

fn decoded(text: &str) -> Result<Vec<u8>, Reason> {
    STANDARD.decode(text).map_err(|_| absurd("has a salt or digest that is no base64"))
}

fn number(text: &str) -> Result<u64, Reason> {
    text.parse().map_err(|_| absurd("has a number that is none"))
}

fn mode(name: &str) -> Result<Mode, Reason> {
    Mode::named(name).ok_or_else(|| Reason::Cipher { cipher: name.to_owned() })
}

fn feature<T>(name: &str) -> Result<T, Reason> {
    Err(Reason::Feature { name: name.to_owned() })
}

impl Metadata {
    /// Reads the metadata.
    pub(super) fn parse(json: &[u8]) -> Result<Self, Reason> {
        let raw: Raw =
            serde_json::from_slice(json).map_err(|_| absurd("has metadata that are not LUKS2's"))?;
        if let Some(name) = raw.config.requirements.mandatory.first() {
            return feature(name);
        }
        let digests = raw.digests.into_values().map(Digest::new).collect::<Result<_, _>>()?;
        let keyslots = raw.keyslots.into_iter().map(|(name, slot)| (name, slot_of(slot))).collect();
        Ok(Self { segments: raw.segments, digests, keyslots })
    }

    /// The one segment, with its name. Several are a volume in the middle of a reencryption.
    pub(super) fn segment(&self) -> Result<(&str, Segment), Reason> {
        let mut segments = self.segments.iter();
        match (segments.next(), segments.next()) {
            (Some((name, raw)), None) => Ok((name, Segment::new(raw)?)),
            (None, _) => Err(absurd("has no segment")),
            (Some(_), Some(_)) => feature("reencryption"),
        }
    }

    /// The digest of a segment's key.
    pub(super) fn digest_of(&self, segment: &str) -> Result<&Digest, Reason> {
        let found = self.digests.iter().find(|digest| digest.segments.iter().any(|name| name == segment));
        found.ok_or(absurd("has no digest of its key"))
    }

    /// The slots that hold the key of a digest, [`MAX_SLOTS`] at most: each costs the reading of its area.
    pub(super) fn keyslots_of<'a>(&'a self, digest: &'a Digest) -> impl Iterator<Item = &'a Keyslot> {
        digest.keyslots.iter().take(MAX_SLOTS).filter_map(|name| self.keyslots.get(name))
    }
}

impl Segment {
    fn new(raw: &RawSegment) -> Result<Self, Reason> {
        if raw.kind != "crypt" {
            return feature(&raw.kind);
        }
        if raw.integrity.is_some() {
            return feature("integrity");
        }
        let encryption = raw.encryption.clone().ok_or(absurd("names no cipher"))?;
        let sector = raw.sector_size.unwrap_or(SECTOR);
        if ![512, 1024, 2048, 4096].contains(&sector) {
            return Err(absurd("has sectors of an unknown size"));
        }
        let offset = number(&raw.offset)?;
        if offset % SECTOR != 0 {
            return Err(absurd("has a segment at no sector's start"));
        }
        Ok(Self {
            mode: mode(&encryption)?,
            offset,
            length: if raw.size == "dynamic" { None } else { Some(number(&raw.size)?) },
            sector,
            first: raw.iv_tweak.as_deref().map_or(Ok(0), number)?,
            encryption,
        })
    }

    /// The reason that the cipher does not take a key of that many bytes.
    pub(super) fn unknown_cipher(&self, bytes: usize) -> Reason {
        Reason::Cipher { cipher: format!("{} with a key of {bytes} bytes", self.encryption) }
    }
}

impl Digest {
    fn new(raw: RawDigest) -> Result<Self, Reason> {
        if raw.kind != "pbkdf2" {
            return feature(&raw.kind);
        }
        let digest = decoded(&raw.digest)?;
        if digest.is_empty() || digest.len() > 64 || raw.iterations == 0 {
            return Err(absurd("has a digest that makes no sense"));
        }
        Ok(Self {
            hash: Hash::named(&raw.hash)?,
            iterations: raw.iterations,
            salt: decoded(&raw.salt)?,
            digest,
            keyslots: raw.keyslots,
            segments: raw.segments,
        })
    }

    /// Whether it is of this key.
    pub(super) fn is_of(&self, key: &[u8], budget: &mut Budget) -> Result<bool, Reason> {
        let mut digest = vec![0; self.digest.len()];
        budget.pbkdf2(self.hash, self.iterations, digest.len())?;
        self.hash.derive(key, &self.salt, self.iterations, &mut digest);
        Ok(digest == self.digest)
    }
}

fn slot_of(value: serde_json::Value) -> Keyslot {
    let raw: RawSlot =
        serde_json::from_value(value).map_err(|_| absurd("has a slot of a kind that is not known"))?;
    if !KEYS.contains(&raw.key_size) || !KEYS.contains(&raw.area.key_size) {
        return Err(absurd("has a key of an unknown length"));
    }
    if !(1..=MAX_STRIPES).contains(&raw.af.stripes) {
        return Err(absurd("has an absurd number of stripes"));
    }
    Ok(Slot {
        derivation: raw.kdf.derivation()?,
        key_bytes: raw.key_size,
        area_key_bytes: raw.area.key_size,
        mode: mode(&raw.area.encryption)?,
        offset: number(&raw.area.offset)?,
        hash: Hash::named(&raw.af.hash)?,
        stripes: raw.af.stripes,
    })
}

impl RawDerivation {
    fn derivation(self) -> Result<Derivation, Reason> {
        let argon2 = |algorithm, passes, memory, lanes, salt: String| -> Result<Derivation, Reason> {
            Ok(Derivation::Argon2 { algorithm, passes, memory, lanes, salt: decoded(&salt)? })
        };
        match self {
            Self::Pbkdf2 { hash, iterations, salt } => {
                if iterations == 0 {
                    return Err(absurd("wants an absurd number of iterations"));
                }
                Ok(Derivation::Pbkdf2 { hash: Hash::named(&hash)?, iterations, salt: decoded(&salt)? })
            }
            Self::Argon2i { time, memory, cpus, salt } => {
                argon2(Algorithm::Argon2i, time, memory, cpus, salt)
            }
            Self::Argon2id { time, memory, cpus, salt } => {
                argon2(Algorithm::Argon2id, time, memory, cpus, salt)
            }
        }
    }
}
