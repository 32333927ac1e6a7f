//! The host's end of the agent's protocol.

use agent::payload::{self, Ended};
use agent::{Reply, Request};
use std::io::{BufReader, Error, ErrorKind, Read, Result};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// How much room is made for a file before its first byte has come, in bytes.
const MOST_ROOM: usize = 32 << 20;

/// A connection to the agent. After an error it is out of step and of no more use: [`is_lost`](Self::is_lost).
pub(crate) struct Connection {
    reader: BufReader<UnixStream>,
    writer: UnixStream,
    lost: bool,
}

/// What a request to read came to.
pub(crate) enum Contents {
    /// The file's bytes.
    Whole(Vec<u8>),
    /// Another reply: a failure.
    Reply(Reply),
}

impl Connection {
    pub(crate) fn new(stream: UnixStream) -> Result<Self> {
        Ok(Self {
            reader: BufReader::with_capacity(64 << 10, stream.try_clone()?),
            writer: stream,
            lost: false,
        })
    }

    /// How long the agent may be silent, and how long it may not take what is sent.
    pub(crate) fn set_limit(&mut self, limit: Duration) -> Result<()> {
        self.writer.set_read_timeout(Some(limit))?;
        self.writer.set_write_timeout(Some(limit))
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.lost
    }

    /// Asks, and waits for the answer.
    pub(crate) fn ask(&mut self, request: &Request) -> Result<Reply> {
        self.guard(|connection| {
            agent::send(&mut connection.writer, request)?;
            agent::receive(&mut connection.reader)
        })
    }

    /// Reads a file of at most `limit` bytes.
    pub(crate) fn read(&mut self, path: &str, limit: u64) -> Result<Contents> {
        let request = Request::Read { path: path.to_string(), limit };
        self.guard(|connection| {
            agent::send(&mut connection.writer, &request)?;
            let reply: Reply = agent::receive(&mut connection.reader)?;
            let Reply::Contents { size } = reply else { return Ok(Contents::Reply(reply)) };
            // The agent's word is good for some room in advance, not for any amount.
            let room = usize::try_from(size.min(limit)).unwrap_or_default().min(MOST_ROOM);
            let mut contents = Vec::with_capacity(room);
            let (ended, kept) = payload::receive(&mut connection.reader, |piece| {
                if (contents.len() + piece.len()) as u64 > limit {
                    return Err(ErrorKind::InvalidData);
                }
                contents.extend_from_slice(piece);
                Ok(())
            })?;
            kept?;
            match ended {
                Ended::Complete => Ok(Contents::Whole(contents)),
                Ended::Aborted => agent::receive(&mut connection.reader).map(Contents::Reply),
            }
        })
    }

    /// Writes a file.
    pub(crate) fn write(
        &mut self,
        path: &str,
        mode: u32,
        mut contents: impl Read,
        size: u64,
    ) -> Result<Reply> {
        let request = Request::Write { path: path.to_string(), mode };
        self.guard(|connection| {
            agent::send(&mut connection.writer, &request)?;
            payload::send(&mut connection.writer, &mut contents, size).map_err(|error| match error {
                payload::SendError::Source(error) | payload::SendError::Connection(error) => error,
            })?;
            agent::receive(&mut connection.reader)
        })
    }

    fn guard<T>(&mut self, exchange: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.lost {
            return Err(Error::new(ErrorKind::NotConnected, "the appliance was lost before"));
        }
        let result = exchange(self);
        self.lost = result.is_err();
        result
    }
}
