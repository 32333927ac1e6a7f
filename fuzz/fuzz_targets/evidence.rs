//! Anything as signed evidence: it is refused, or was signed, and then signing it again says the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rehearse::signed::{Key, sign, verify};

fuzz_target!(|bytes: &[u8]| {
    let Ok(signed) = verify(bytes) else { return };
    let key = Key::from_seed(&[7; 32]);
    let document = sign(&signed.evidence, &key).expect("what was read has a canonical form");
    let again = verify(document.as_bytes()).expect("what was signed is verified");
    assert_eq!((again.evidence, again.signer), (signed.evidence, key.public()));
});
