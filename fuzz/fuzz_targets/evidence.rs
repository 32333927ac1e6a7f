//! Anything as signed evidence: it is refused, or was signed, and then signing it again says the same. Since no fuzzer finds a
//! signature, anything as evidence without one, too: what can be signed is read back as it was.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rehearse::Evidence;
use rehearse::signed::{Key, Refused, sign, verify};

fuzz_target!(|bytes: &[u8]| {
    let signed = verify(bytes).ok().map(|signed| signed.evidence);
    let was_signed = signed.is_some();
    let Some(evidence) = signed.or_else(|| serde_json::from_slice::<Evidence>(bytes).ok()) else { return };
    let key = Key::from_seed(&[7; 32]);
    let document = match sign(&evidence, &key) {
        Ok(document) => document,
        // A number that is not exact in a double.
        Err(_) if !was_signed => return,
        Err(error) => panic!("what was read has no canonical form: {error}"),
    };
    match verify(document.as_bytes()) {
        Ok(again) => assert_eq!((again.evidence, again.signer), (evidence, key.public())),
        Err(Refused::Format { .. }) if !was_signed => {}
        Err(refused) => panic!("what was signed is refused: {refused}"),
    }
});
