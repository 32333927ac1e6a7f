//! Evidence that is signed: [`sign`] and [`verify`].
//!
//! The document is [`Evidence`] as JSON with one more member, `signature`. What is signed is the canonical form (RFC 8785) of
//! the document without that member, by Ed25519 (RFC 8032): however the file is laid out, a change of anything that it says
//! breaks the signature. A signature says who vouches, not that it is somebody to believe: compare [`Signed::signer`].

mod canonical;
mod key;

pub use key::{Key, KeyError, NotDigits, PublicKey};

use crate::evidence::{Evidence, FORMAT};
use canonical::Value;
use ed25519_dalek::{Signature, Signer as _};
use serde::Serialize;
use std::collections::BTreeMap;

/// The largest document that is read, in bytes.
pub const LARGEST: usize = 16 << 20;

const MEMBER: &str = "signature";
const ALGORITHM: &str = "ed25519";

/// Evidence whose signature holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// What was seen.
    pub evidence: Evidence,
    /// Who vouches for it. Anybody can make a key: this says nothing unless it is a key that you know.
    pub signer: PublicKey,
}

/// Why a document is no signed evidence.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// It is larger than any evidence.
    #[error("it has {size} bytes, and evidence has {LARGEST} at most")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
    },
    /// It is not JSON, or not of the kind that has one canonical form.
    #[error("it is not JSON in a form that can be signed")]
    Json(#[source] serde_json::Error),
    /// It has no signature, or one of another kind.
    #[error("it has no signature by {ALGORITHM}")]
    Unsigned,
    /// It says something else than what was signed.
    #[error(
        "its signature does not hold: it was changed after it was signed, or never signed by the key that it names"
    )]
    Changed,
    /// It is signed, and something else than evidence of this layout.
    #[error("it is signed, but no evidence of the layout {FORMAT}")]
    NotEvidence(#[source] serde_json::Error),
    /// It is of another layout.
    #[error("its layout is {found}, and this program reads {FORMAT}")]
    Format {
        /// The layout that it states.
        found: u32,
    },
}

/// What stands in the member `signature`.
#[derive(Serialize)]
struct SignatureMember {
    algorithm: &'static str,
    public_key: String,
    value: String,
}

/// The evidence with its signature, and nothing else.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    evidence: &'a Evidence,
    signature: SignatureMember,
}

/// The signed document, as JSON for people and programs.
///
/// # Errors
/// When the evidence has no canonical form; what [`crate::rehearse`] makes has one.
pub fn sign(evidence: &Evidence, key: &Key) -> Result<String, serde_json::Error> {
    let canonical = Value::parse(&serde_json::to_vec(evidence)?)?.canonical();
    let signature = SignatureMember {
        algorithm: ALGORITHM,
        public_key: key.public().to_string(),
        value: digits_of(&key.signing().sign(&canonical).to_bytes()),
    };
    let mut text = serde_json::to_string_pretty(&Document { evidence, signature })?;
    text.push('\n');
    Ok(text)
}

/// Checks a document's signature, and reads what it says.
///
/// # Errors
/// [`Refused`]. Whether the signer is one to believe is the caller's to decide.
pub fn verify(document: &[u8]) -> Result<Signed, Refused> {
    if document.len() > LARGEST {
        return Err(Refused::TooLarge { size: document.len() });
    }
    let Value::Object(mut members) = Value::parse(document).map_err(Refused::Json)? else {
        return Err(Refused::Unsigned);
    };
    let (signer, signature) = members.remove(MEMBER).and_then(signature_of).ok_or(Refused::Unsigned)?;
    let canonical = Value::Object(members).canonical();
    // Strictly: keys of small order, with which one signature holds for many documents, are refused.
    signer.verifying().verify_strict(&canonical, &signature).map_err(|_| Refused::Changed)?;
    let evidence: Evidence = serde_json::from_slice(&canonical).map_err(Refused::NotEvidence)?;
    match evidence.format {
        FORMAT => Ok(Signed { evidence, signer }),
        found => Err(Refused::Format { found }),
    }
}

fn signature_of(member: Value) -> Option<(PublicKey, Signature)> {
    let Value::Object(members) = member else { return None };
    let text = |members: &BTreeMap<String, Value>, name: &str| match members.get(name) {
        Some(Value::Text(text)) => Some(text.clone()),
        _ => None,
    };
    let is_known = members.len() == 3 && text(&members, "algorithm")? == ALGORITHM;
    let signer = text(&members, "public_key")?.parse().ok().filter(|_| is_known)?;
    Some((signer, Signature::from_bytes(&bytes_of::<64>(&text(&members, "value")?)?)))
}

/// Bytes as lower-case hexadecimal digits.
fn digits_of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// As many bytes as lower-case hexadecimal digits say.
fn bytes_of<const COUNT: usize>(digits: &str) -> Option<[u8; COUNT]> {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if digits.len() != 2 * COUNT || !digits.bytes().all(is_digit) {
        return None;
    }
    let mut bytes = [0; COUNT];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
pub(crate) mod tests;
