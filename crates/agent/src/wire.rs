//! Messages on the wire: a length, then JSON.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{Error, ErrorKind, Read, Result, Write};

/// The longest message, in bytes: a directory with some hundred thousand entries.
const LONGEST: u32 = 32 << 20;

/// Sends a message.
///
/// # Errors
/// Those of the connection; `InvalidInput` for a message that is too long.
pub fn send(to: &mut impl Write, message: &impl Serialize) -> Result<()> {
    let mut bytes = vec![0; 4];
    serde_json::to_writer(&mut bytes, message)?;
    let length = u32::try_from(bytes.len() - 4).ok().filter(|length| *length <= LONGEST);
    let length = length.ok_or_else(|| Error::new(ErrorKind::InvalidInput, "the message is too long"))?;
    bytes.splice(..4, length.to_le_bytes());
    to.write_all(&bytes)?;
    to.flush()
}

/// Receives a message.
///
/// # Errors
/// Those of the connection; `InvalidData` for one that is too long or is not what was expected.
pub fn receive<T: DeserializeOwned>(from: &mut impl Read) -> Result<T> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length);
    if length > LONGEST {
        return Err(Error::new(ErrorKind::InvalidData, format!("a message of {length} bytes is too long")));
    }
    let mut bytes = Vec::new();
    // Grows with what arrives: a length alone allocates nothing.
    from.take(u64::from(length)).read_to_end(&mut bytes)?;
    if bytes.len() != length as usize {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    Ok(serde_json::from_slice(&bytes)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Reply, Request};

    #[test]
    fn what_is_sent_is_received() {
        let request =
            Request::SetXattr { path: "/a\n\"b\u{fe}".into(), name: "user.x".into(), value: vec![0, 255] };
        let mut wire = Vec::new();
        send(&mut wire, &request).unwrap();
        send(&mut wire, &Request::Sync).unwrap();
        let mut wire = wire.as_slice();
        assert_eq!(receive::<Request>(&mut wire).unwrap(), request);
        assert_eq!(receive::<Request>(&mut wire).unwrap(), Request::Sync);
        assert!(wire.is_empty());
    }

    #[test]
    fn hostile_lengths_and_contents_are_errors() {
        for bytes in [&[0xff; 16][..], &[4, 0, 0], &[8, 0, 0, 0, b'{'], &[2, 0, 0, 0, b'{', b'}'], &[]] {
            assert!(receive::<Reply>(&mut &*bytes).is_err(), "{bytes:?}");
        }
    }
}
