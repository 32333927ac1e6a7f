//! Anything as the metadata of a LUKS2 header whose checksum is right, and as a header of version 1: a volume is described or
//! refused. No secret is given, so no key is derived.
#![no_main]

use libfuzzer_sys::fuzz_target;
use luks::{Error, unlock};
use sha2::{Digest, Sha256};

const HEADER: usize = 0x4000;
const JSON: usize = 4096;

/// The first header, with `json` as its metadata.
fn version_2(json: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; HEADER];
    bytes[..8].copy_from_slice(b"LUKS\xba\xbe\0\x02");
    bytes[8..16].copy_from_slice(&(HEADER as u64).to_be_bytes());
    bytes[72..78].copy_from_slice(b"sha256");
    bytes[JSON..JSON + json.len()].copy_from_slice(json);
    let sum = Sha256::digest(&bytes);
    bytes[448..480].copy_from_slice(&sum);
    bytes
}

fn open(bytes: &[u8]) {
    let mut read = |offset: u64, length: usize| Ok::<_, ()>(bytes[offset as usize..][..length].to_vec());
    assert!(matches!(unlock(bytes.len() as u64, &mut read, &[]), Err(Error::Refused(_))));
}

fuzz_target!(|data: &[u8]| {
    open(data);
    if data.len() <= HEADER - JSON {
        open(&version_2(data));
    }
});
