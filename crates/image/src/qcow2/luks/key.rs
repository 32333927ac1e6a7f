//! From a passphrase to the master key (LUKS On-Disk Format Specification 1.2.3, sections 2.4 and 4): [`find`].

use super::super::Reason;
use super::SECTOR;
use super::header::{Hash, Header, Slot};
use pbkdf2::pbkdf2_hmac;
use sha1::Sha1;
use sha2::digest::Digest;
use sha2::{Sha256, Sha512};
use zeroize::Zeroizing;

/// The master key that `passphrase` unlocks. `bytes` begin with the header and hold the key material.
pub(super) fn find(header: &Header, bytes: &[u8], passphrase: &[u8]) -> Result<Zeroizing<Vec<u8>>, Reason> {
    for slot in &header.slots {
        let key = open(header, slot, bytes, passphrase)?;
        let mut digest = [0; 20];
        derive(header.hash, &key, &header.digest_salt, header.digest_iterations, &mut digest);
        // Nobody measures how long this takes who does not have the image, which is all that the digest is kept from.
        if digest == header.digest {
            return Ok(key);
        }
    }
    Err(Reason::Passphrase)
}

/// What a slot holds when it is opened with `passphrase`: the master key, or noise.
fn open(header: &Header, slot: &Slot, bytes: &[u8], passphrase: &[u8]) -> Result<Zeroizing<Vec<u8>>, Reason> {
    let length = header.key_bytes * slot.stripes;
    let material =
        bytes.get(slot.offset..).and_then(|rest| rest.get(..length.next_multiple_of(SECTOR as usize)));
    let material = material.ok_or(Reason::LuksHeader { what: "has key material outside of it" })?;
    let mut key = Zeroizing::new(vec![0; header.key_bytes]);
    derive(header.hash, passphrase, &slot.salt, slot.iterations, &mut key);
    let cipher = header.mode.cipher(&key).ok_or_else(|| header.unknown_cipher())?;
    let mut stripes = Zeroizing::new(material.to_vec());
    for (sector, bytes) in (0..).zip(stripes.as_chunks_mut::<{ SECTOR as usize }>().0) {
        cipher.decrypt(sector, bytes);
    }
    stripes.truncate(length);
    Ok(merge(header.hash, header.key_bytes, &stripes))
}

fn derive(hash: Hash, secret: &[u8], salt: &[u8], iterations: u32, out: &mut [u8]) {
    match hash {
        Hash::Sha1 => pbkdf2_hmac::<Sha1>(secret, salt, iterations, out),
        Hash::Sha256 => pbkdf2_hmac::<Sha256>(secret, salt, iterations, out),
        Hash::Sha512 => pbkdf2_hmac::<Sha512>(secret, salt, iterations, out),
    }
}

/// Puts together what the anti-forensic splitter took apart (section 2.4).
fn merge(hash: Hash, length: usize, stripes: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut key = Zeroizing::new(vec![0; length]);
    let count = stripes.len() / length.max(1);
    for (number, stripe) in (1..).zip(stripes.chunks_exact(length.max(1))) {
        key.iter_mut().zip(stripe).for_each(|(byte, other)| *byte ^= other);
        if number < count {
            diffuse(hash, &mut key);
        }
    }
    key
}

/// Replaces each piece of the hash's length by the hash of its number and itself.
fn diffuse(hash: Hash, key: &mut [u8]) {
    match hash {
        Hash::Sha1 => diffuse_with::<Sha1>(key),
        Hash::Sha256 => diffuse_with::<Sha256>(key),
        Hash::Sha512 => diffuse_with::<Sha512>(key),
    }
}

fn diffuse_with<D: Digest>(key: &mut [u8]) {
    for (number, piece) in (0_u32..).zip(key.chunks_mut(<D as Digest>::output_size())) {
        let digest = D::new().chain_update(number.to_be_bytes()).chain_update(&*piece).finalize();
        piece.iter_mut().zip(digest.iter()).for_each(|(byte, new)| *byte = *new);
    }
}
