//! Contents of files on the wire: pieces, each a length as a little-endian `u32` and that many bytes; a piece of
//! no bytes ends them. A sender that fails on the way ends them with [`ABORTED`] instead.

use std::io::{Error, ErrorKind, Read, Result, Write};

/// The longest piece, in bytes. A virtio serial port takes 32 KiB at once.
const PIECE: usize = 64 << 10;
/// In place of a length: the sender could not go on, and says why in the message that follows.
const ABORTED: u32 = u32::MAX;

/// How a payload ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All is there.
    Complete,
    /// The sender gave up; a message with the reason follows.
    Aborted,
}

/// How sending a payload failed.
#[derive(Debug)]
pub enum SendError {
    /// The source could not be read, or is longer than it may be. The other side was told that there is no more.
    Source(Error),
    /// The connection failed.
    Connection(Error),
}

/// Sends what `source` holds, at most `limit` bytes of it.
///
/// # Errors
/// See [`SendError`].
pub fn send(to: &mut impl Write, source: &mut impl Read, limit: u64) -> std::result::Result<(), SendError> {
    let mut buffer = vec![0; PIECE + 4];
    let mut sent = 0;
    loop {
        let read = match read_up_to(source, buffer.get_mut(4..).unwrap_or_default()) {
            Ok(read) if sent + read as u64 <= limit => read,
            outcome => {
                let error = outcome.err().unwrap_or_else(|| ErrorKind::FileTooLarge.into());
                to.write_all(&ABORTED.to_le_bytes())
                    .and_then(|()| to.flush())
                    .map_err(SendError::Connection)?;
                return Err(SendError::Source(error));
            }
        };
        sent += read as u64;
        let (length, _) = buffer.split_at_mut(4);
        length.copy_from_slice(&(read as u32).to_le_bytes());
        to.write_all(buffer.get(..read + 4).unwrap_or_default()).map_err(SendError::Connection)?;
        if read == 0 {
            return to.flush().map_err(SendError::Connection);
        }
    }
}

/// Receives a payload piece by piece. `sink` may fail: the rest is then read and thrown away, and the error is
/// given with how the payload ended.
///
/// # Errors
/// Those of the connection; `InvalidData` for a piece that is too long.
pub fn receive<E>(
    from: &mut impl Read,
    mut sink: impl FnMut(&[u8]) -> std::result::Result<(), E>,
) -> Result<(Ended, std::result::Result<(), E>)> {
    let mut buffer = vec![0; PIECE];
    let mut outcome = Ok(());
    loop {
        let mut length = [0; 4];
        from.read_exact(&mut length)?;
        let length = match u32::from_le_bytes(length) {
            0 => return Ok((Ended::Complete, outcome)),
            ABORTED => return Ok((Ended::Aborted, outcome)),
            length => length as usize,
        };
        let piece = buffer.get_mut(..length);
        let piece = piece.ok_or_else(|| Error::new(ErrorKind::InvalidData, "a piece is too long"))?;
        from.read_exact(piece)?;
        if outcome.is_ok() {
            outcome = sink(piece);
        }
    }
}

/// Fills `buffer` as far as the source goes.
fn read_up_to(source: &mut impl Read, buffer: &mut [u8]) -> Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match source.read(rest) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collect(wire: &[u8]) -> Result<(Ended, Vec<u8>)> {
        let mut all = Vec::new();
        let (ended, sunk) = receive(&mut &*wire, |piece| {
            all.extend_from_slice(piece);
            Ok::<(), ()>(())
        })?;
        assert_eq!(sunk, Ok(()));
        Ok((ended, all))
    }

    #[test]
    fn lengths_around_a_piece_arrive_whole() {
        for length in [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE] {
            let contents: Vec<u8> = (0..length).map(|index| index as u8).collect();
            let mut wire = Vec::new();
            send(&mut wire, &mut contents.as_slice(), length as u64).unwrap();
            assert_eq!(collect(&wire).unwrap(), (Ended::Complete, contents));
        }
    }

    #[test]
    fn more_than_the_limit_is_aborted() {
        let mut wire = Vec::new();
        let sent = send(&mut wire, &mut [1; 10].as_slice(), 9);
        assert!(matches!(sent, Err(SendError::Source(error)) if error.kind() == ErrorKind::FileTooLarge));
        assert_eq!(collect(&wire).unwrap(), (Ended::Aborted, Vec::new()));
    }

    #[test]
    fn a_sink_that_fails_leaves_the_connection_in_step() {
        let mut wire = Vec::new();
        send(&mut wire, &mut [1; 10].as_slice(), 10).unwrap();
        wire.extend_from_slice(b"next");
        let mut rest = wire.as_slice();
        assert_eq!(receive(&mut rest, |_| Err("full")).unwrap(), (Ended::Complete, Err("full")));
        assert_eq!(rest, b"next");
    }

    #[test]
    fn hostile_pieces_are_errors() {
        assert!(collect(&[0, 0, 0, 0x7f]).is_err());
        assert!(collect(&[4, 0, 0, 0, 1]).is_err());
    }
}
