//! LUKS version 2 (LUKS2 On-Disk Format Specification 1.1.0): the binary header, twice, each with its metadata in JSON.

mod header;
mod metadata;

use crate::key::{Budget, merged};
use crate::{Error, Read, Reason, SECTOR, Secret, Unlocked, within};
use metadata::{Digest, Keyslot, Metadata, Segment};
use zeroize::Zeroizing;

/// Finds the newest sound header; `None` when the volume is not of version 2.
pub(crate) fn find<E>(size: u64, read: &mut Read<'_, E>) -> Result<Option<Metadata>, Error<E>> {
    let Some(json) = header::find(size, read)? else { return Ok(None) };
    Ok(Some(Metadata::parse(&json)?))
}

/// Unlocks the volume that a header describes.
pub(crate) fn unlock<E>(
    metadata: &Metadata,
    size: u64,
    read: &mut Read<'_, E>,
    secrets: &[Secret],
) -> Result<Unlocked, Error<E>> {
    let (name, segment) = metadata.segment()?;
    let payload = segment.range(size)?;
    let digest = metadata.digest_of(name)?;
    if secrets.is_empty() {
        return Err(Reason::Locked.into());
    }
    let mut budget = Budget::default();
    let mut passed_over = None;
    for slot in metadata.keyslots_of(digest) {
        match open(slot, digest, size, read, secrets, &mut budget) {
            Ok(Some(key)) => {
                let cipher = segment.mode.cipher(&key).ok_or_else(|| segment.unknown_cipher(key.len()))?;
                let (sector, first) = (segment.sector, segment.first);
                return Ok(Unlocked { cipher, payload, sector, first });
            }
            Ok(None) => {}
            // Another slot may be of a kind that is known, and take less.
            Err(Error::Refused(reason)) => passed_over = Some(reason),
            Err(error) => return Err(error),
        }
    }
    Err(passed_over.unwrap_or(Reason::Secret).into())
}

/// The volume's key, if one of the secrets opens this slot.
fn open<E>(
    slot: &Keyslot,
    digest: &Digest,
    size: u64,
    read: &mut Read<'_, E>,
    secrets: &[Secret],
    budget: &mut Budget,
) -> Result<Option<Zeroizing<Vec<u8>>>, Error<E>> {
    let slot = slot.as_ref().map_err(Clone::clone)?;
    let length = (slot.key_bytes * slot.stripes).next_multiple_of(SECTOR as usize);
    let area = within(size, read, slot.offset, length, "has key material outside of it")?;
    for secret in secrets {
        let key = slot.derivation.key(secret.as_bytes(), slot.area_key_bytes, budget)?;
        let area = Zeroizing::new(area.clone());
        let key = merged(slot.mode, &key, area, slot.hash, slot.key_bytes, slot.stripes)
            .ok_or(Reason::Header { what: "has a key of an unknown length" })?;
        if digest.is_of(&key, budget)? {
            return Ok(Some(key));
        }
    }
    Ok(None)
}

impl Segment {
    /// Which bytes of a volume of `size` bytes are encrypted.
    fn range(&self, size: u64) -> Result<std::ops::Range<u64>, Reason> {
        let outside = Reason::Header { what: "has a segment outside of the volume" };
        let end = match self.length {
            Some(length) => self.offset.checked_add(length),
            None => Some(size),
        };
        let end = end.filter(|end| *end <= size && self.offset <= *end).ok_or(outside)?;
        // What does not fill a sector at the end is not part of the volume.
        Ok(self.offset..self.offset + (end - self.offset) / self.sector * self.sector)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_that_is_named_again_and_again_is_not_tried_for_ever() {
        let json = format!(
            r#"{{
                "keyslots": {{"0": {{
                    "type": "luks2", "key_size": 32, "af": {{"type": "luks1", "stripes": 1, "hash": "sha256"}},
                    "area": {{"type": "raw", "offset": "0", "encryption": "aes-xts-plain64", "key_size": 32}},
                    "kdf": {{"type": "pbkdf2", "hash": "sha256", "iterations": 1, "salt": "AAAA"}}
                }}}},
                "segments": {{"0": {{
                    "type": "crypt", "offset": "0", "size": "dynamic", "encryption": "aes-xts-plain64"
                }}}},
                "digests": {{"0": {{
                    "type": "pbkdf2", "keyslots": [{}], "segments": ["0"],
                    "hash": "sha256", "iterations": 1, "salt": "AAAA", "digest": "AAAAAAAAAAAAAAAAAAAAAA=="
                }}}},
                "config": {{}}
            }}"#,
            vec!["\"0\""; 1000].join(",")
        );
        let metadata = Metadata::parse(json.as_bytes()).unwrap();
        let mut reads = 0;
        let mut read = |_, length| {
            reads += 1;
            Ok::<_, ()>(vec![0; length])
        };
        let unlocked = unlock(&metadata, 1 << 20, &mut read, &[Secret::passphrase(*b"wrong")]);
        assert!(matches!(unlocked, Err(Error::Refused(Reason::Secret))));
        assert_eq!(reads, 32);
    }
}
