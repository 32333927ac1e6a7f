use super::*;
use crate::cause::Cause;
use crate::evidence::{DiskContents, Failed, GuestIdentity, Outcome};
use profile::Grade;
use proptest::prelude::*;

pub(crate) fn evidence() -> Evidence {
    Evidence {
        format: FORMAT,
        grade: Grade::Failed,
        control: true,
        guest: GuestIdentity { name: "web \u{1f600}".into(), os: Some("Debian".into()) },
        disks: vec![DiskContents { id: "disk1".into(), before: None, rehearsed: Some("ab".repeat(32)) }],
        profile: "hyperv".into(),
        profile_version: 2,
        release: None,
        anyvisor: "0.1.0".into(),
        finished: "2024-02-29T12:00:00Z".parse().unwrap(),
        drivers: None,
        run: None,
        not_booted: Some("it was not asked for".into()),
        outcome: Outcome::Failed(Failed { cause: Cause::MissingDriver, line: None, facts: None }),
    }
}

fn key() -> Key {
    Key::from_seed(&[7; 32])
}

#[test]
fn what_is_signed_is_verified() {
    let document = sign(&evidence(), &key()).unwrap();
    let signed = verify(document.as_bytes()).unwrap();
    assert_eq!((signed.evidence, signed.signer), (evidence(), key().public()));
}

#[test]
fn the_layout_of_the_file_does_not_matter() {
    let document = sign(&evidence(), &key()).unwrap();
    let compact = serde_json::from_str::<serde_json::Value>(&document).unwrap().to_string();
    assert_ne!(compact, document);
    assert!(verify(compact.as_bytes()).is_ok());
}

#[test]
fn who_signed_is_a_part_of_it() {
    let document = sign(&evidence(), &key()).unwrap();
    let other = Key::from_seed(&[8; 32]).public().to_string();
    let forged = document.replace(&key().public().to_string(), &other);
    assert!(matches!(verify(forged.as_bytes()), Err(Refused::Changed)));
}

#[test]
fn what_was_not_signed_is_refused() {
    let plain = serde_json::to_string(&evidence()).unwrap();
    assert!(matches!(verify(plain.as_bytes()), Err(Refused::Unsigned)));
    let document = sign(&evidence(), &key()).unwrap();
    let more = document.replacen('{', "{\"more\": 1,", 1);
    assert!(matches!(verify(more.as_bytes()), Err(Refused::Changed)));
    let twice = document.replacen('{', "{\"grade\": \"booted\",", 1);
    assert!(matches!(verify(twice.as_bytes()), Err(Refused::Json(_))));
    let weaker = document.replace("ed25519", "none");
    assert!(matches!(verify(weaker.as_bytes()), Err(Refused::Unsigned)));
    assert!(matches!(verify(&vec![b' '; LARGEST + 1]), Err(Refused::TooLarge { .. })));
}

#[test]
fn another_layout_is_refused() {
    let later = Evidence { format: FORMAT + 1, ..evidence() };
    let document = sign(&later, &key()).unwrap();
    assert!(matches!(verify(document.as_bytes()), Err(Refused::Format { found }) if found == FORMAT + 1));
}

/// Every byte, to one other value: refused, unless it is white space between the values, of which nothing is said.
#[test]
fn any_changed_byte_is_noticed() {
    let document = sign(&evidence(), &key()).unwrap();
    let whole: serde_json::Value = serde_json::from_str(&document).unwrap();
    for at in 0..document.len() {
        let mut changed = document.clone().into_bytes();
        changed[at] ^= 1 << (at % 7);
        if verify(&changed).is_ok() {
            assert_eq!(serde_json::from_slice::<serde_json::Value>(&changed).unwrap(), whole, "byte {at}");
        }
    }
}

proptest! {
    #[test]
    fn whatever_is_changed_is_noticed(at in any::<prop::sample::Index>(), byte in any::<u8>(), insert in any::<bool>()) {
        let document = sign(&evidence(), &key()).unwrap();
        let mut changed = document.clone().into_bytes();
        let at = at.index(changed.len());
        if insert { changed.insert(at, byte) } else { changed[at] = byte }
        if let Ok(signed) = verify(&changed) {
            prop_assert_eq!(signed.evidence, evidence());
        }
    }

    #[test]
    fn anything_is_refused_without_a_panic(document in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(verify(&document).is_err());
    }
}
