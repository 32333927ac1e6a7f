//! One connection, with one request at a time: "Request types" and "Reply message".

use super::Geometry;
use super::coverage::Coverage;
use super::handshake::negotiate;
use crate::error::{Error, Result};
use crate::protocol::{
    ChunkHeader, Descriptor, MAX_STRING, RequestHeader, SimpleReply, chunk, command, errno,
};
use std::io::{self, BufReader, Read, Write};
use std::ops::Range;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;
use zerocopy::{FromBytes, FromZeros, IntoBytes};

/// Replies are small; content longer than this is read into its place directly.
const READ_AHEAD: usize = 16 << 10;
/// How many chunks a reply may have: 32 MiB in pieces of a sector.
const MAX_CHUNKS: usize = 65_536;
/// How many descriptors a block status may have.
const MAX_DESCRIPTORS: usize = 1 << 17;

/// A connection in its transmission phase.
pub(super) struct Connection {
    reader: BufReader<UnixStream>,
    export: String,
    structured: bool,
    allocation: Option<u32>,
    cookie: u64,
}

/// What the server says of a range.
pub(super) enum Status {
    /// One descriptor after the other, from the range's start on; none empty.
    Known(Vec<Descriptor>),
    /// The server cannot tell.
    Unknown,
}

/// What a reply is to bring.
enum Content<'a> {
    Nothing,
    Bytes { buf: &'a mut [u8], offset: u64, coverage: Coverage },
    Status(Option<Vec<Descriptor>>),
}

struct Request<'a> {
    command: u16,
    range: Range<u64>,
    payload: &'a [u8],
}

impl Connection {
    /// Connects and negotiates; with `patience`, only for so long at each step.
    pub(super) fn open(path: &Path, export: &str, patience: Option<Duration>) -> Result<(Self, Geometry)> {
        let socket = |source| Error::Socket { operation: "connect to", path: path.to_path_buf(), source };
        let mut stream = UnixStream::connect(path).map_err(socket)?;
        stream.set_read_timeout(patience).map_err(socket)?;
        let agreed = negotiate(&mut stream, export)?;
        stream.set_read_timeout(None).map_err(socket)?;
        let connection = Self {
            reader: BufReader::with_capacity(READ_AHEAD, stream),
            export: export.to_owned(),
            structured: agreed.structured,
            allocation: agreed.allocation,
            cookie: 0,
        };
        Ok((connection, agreed.geometry))
    }

    /// Fills `buf`, of at most the greatest payload, from `offset`.
    pub(super) fn read(&mut self, buf: &mut [u8], offset: u64) -> Result<()> {
        let range = offset..offset + buf.len() as u64;
        let mut content = Content::Bytes { buf, offset, coverage: Coverage::default() };
        self.request(&Request { command: command::READ, range: range.clone(), payload: &[] }, &mut content)?;
        match content {
            Content::Bytes { coverage, .. } if coverage.is_exactly(&range) => Ok(()),
            _ => Err(Error::Protocol { reason: "a read is answered in part" }),
        }
    }

    /// Writes `data`, of at most the greatest payload, at `offset`.
    pub(super) fn write(&mut self, data: &[u8], offset: u64) -> Result<()> {
        let range = offset..offset + data.len() as u64;
        self.request(&Request { command: command::WRITE, range, payload: data }, &mut Content::Nothing)
    }

    /// A request that carries nothing and brings nothing.
    pub(super) fn change(&mut self, command: u16, range: Range<u64>) -> Result<()> {
        self.request(&Request { command, range, payload: &[] }, &mut Content::Nothing)
    }

    /// Asks where in `range` there is data.
    pub(super) fn block_status(&mut self, range: Range<u64>) -> Result<Status> {
        if self.allocation.is_none() {
            return Ok(Status::Unknown);
        }
        let mut content = Content::Status(None);
        self.request(&Request { command: command::BLOCK_STATUS, range, payload: &[] }, &mut content)?;
        match content {
            Content::Status(Some(descriptors)) => Ok(Status::Known(descriptors)),
            _ => Err(Error::Protocol { reason: "a block status is missing" }),
        }
    }

    /// Says goodbye.
    pub(super) fn close(mut self) {
        // The server may have gone already; nothing is lost by it.
        let _ = self.send(&Request { command: command::DISC, range: 0..0, payload: &[] });
    }

    fn request(&mut self, request: &Request<'_>, content: &mut Content<'_>) -> Result<()> {
        self.send(request)?;
        let mut failure = None;
        for _ in 0..MAX_CHUNKS {
            let (done, errno) = self.reply(request, content)?;
            failure = failure.or(errno);
            if done {
                return match failure {
                    None => Ok(()),
                    Some((errno, message)) => Err(self.failed(request, errno, message)),
                };
            }
        }
        Err(Error::Protocol { reason: "a reply has no end" })
    }

    fn failed(&self, request: &Request<'_>, errno: u32, message: String) -> Error {
        let command = match request.command {
            command::READ => "read",
            command::WRITE => "write",
            command::FLUSH => "flush",
            command::WRITE_ZEROES => "zero",
            _ => "map",
        };
        let offset = request.range.start;
        Error::Request { export: self.export.clone(), command, offset, errno: errno::name(errno), message }
    }

    fn send(&mut self, request: &Request<'_>) -> Result<()> {
        self.cookie = self.cookie.wrapping_add(1);
        let header = RequestHeader {
            magic: RequestHeader::MAGIC.into(),
            flags: 0.into(),
            command: request.command.into(),
            cookie: self.cookie.into(),
            offset: request.range.start.into(),
            length: ((request.range.end - request.range.start) as u32).into(),
        };
        let mut stream = self.reader.get_ref();
        let sent = stream.write_all(header.as_bytes()).and_then(|()| stream.write_all(request.payload));
        sent.map_err(|source| Error::Connection { doing: "sending a request", source })
    }

    /// Reads a simple reply or one chunk. Returns whether it was the last, and the error that it brought.
    fn reply(
        &mut self,
        request: &Request<'_>,
        content: &mut Content<'_>,
    ) -> Result<(bool, Option<(u32, String)>)> {
        let mut magic = [0; 4];
        self.receive(&mut magic)?;
        match u32::from_be_bytes(magic) {
            SimpleReply::MAGIC if self.structured && request.command == command::READ => {
                Err(Error::Protocol { reason: "a simple reply to a read in spite of structured replies" })
            }
            SimpleReply::MAGIC => {
                let mut reply = SimpleReply::new_zeroed();
                self.receive(&mut reply.as_mut_bytes()[magic.len()..])?;
                self.check_cookie(reply.cookie.get())?;
                match reply.errno.get() {
                    0 => self.simple_content(content).map(|()| (true, None)),
                    errno => Ok((true, Some((errno, String::new())))),
                }
            }
            ChunkHeader::MAGIC if self.structured => {
                let mut header = ChunkHeader::new_zeroed();
                self.receive(&mut header.as_mut_bytes()[magic.len()..])?;
                self.check_cookie(header.cookie.get())?;
                let done = header.flags.get() & chunk::DONE != 0;
                Ok((done, self.chunk(header.kind.get(), header.length.get(), content)?))
            }
            found => Err(Error::Unexpected { expected: "the magic of a reply", found: found.into() }),
        }
    }

    /// There is one request at a time, so a reply is to that one.
    fn check_cookie(&self, cookie: u64) -> Result<()> {
        if cookie == self.cookie {
            return Ok(());
        }
        Err(Error::Unexpected { expected: "the cookie of the request", found: cookie })
    }

    fn simple_content(&mut self, content: &mut Content<'_>) -> Result<()> {
        match content {
            Content::Nothing => Ok(()),
            Content::Bytes { buf, offset, coverage } => {
                receive(&mut self.reader, buf)?;
                coverage.add(*offset..*offset + buf.len() as u64);
                Ok(())
            }
            Content::Status(_) => Err(Error::Protocol { reason: "a simple reply to a block status" }),
        }
    }

    /// Reads the rest of one chunk, and returns the error that it brought.
    fn chunk(&mut self, kind: u16, length: u32, content: &mut Content<'_>) -> Result<Option<(u32, String)>> {
        match (kind, content) {
            (chunk::NONE, _) if length == 0 => Ok(None),
            (chunk::OFFSET_DATA, Content::Bytes { buf, offset, coverage }) if length >= 8 => {
                let place = self.place(*offset, buf.len(), Some(length - 8), coverage)?;
                receive(&mut self.reader, &mut buf[place])?;
                Ok(None)
            }
            (chunk::OFFSET_HOLE, Content::Bytes { buf, offset, coverage }) if length == 12 => {
                let place = self.place(*offset, buf.len(), None, coverage)?;
                buf[place].fill(0);
                Ok(None)
            }
            (chunk::BLOCK_STATUS, Content::Status(status @ None)) => {
                *status = Some(self.descriptors(length)?);
                Ok(None)
            }
            (kind, _) if kind & chunk::IS_ERROR != 0 => self.error(kind, length).map(Some),
            _ => Err(Error::Protocol { reason: "a chunk that does not belong to its request" }),
        }
    }

    /// Reads where a chunk's bytes belong, and how many a hole has, as a range of the buffer.
    fn place(
        &mut self,
        start: u64,
        size: usize,
        length: Option<u32>,
        coverage: &mut Coverage,
    ) -> Result<Range<usize>> {
        let at = u64::from_be_bytes(self.array()?);
        let length = match length {
            Some(length) => length,
            None => u32::from_be_bytes(self.array()?),
        };
        let first = at.checked_sub(start).filter(|first| *first <= size as u64);
        let inside = first.filter(|first| u64::from(length) <= size as u64 - first && length > 0);
        match inside {
            Some(first) if coverage.add(at..at + u64::from(length)) => {
                Ok(first as usize..first as usize + length as usize)
            }
            Some(_) => Err(Error::Protocol { reason: "a read is answered twice" }),
            None => Err(Error::Protocol { reason: "a chunk lies outside its request" }),
        }
    }

    fn descriptors(&mut self, length: u32) -> Result<Vec<Descriptor>> {
        let count = (length as usize).checked_sub(4).filter(|rest| rest % size_of::<Descriptor>() == 0);
        let count =
            count.map(|rest| rest / size_of::<Descriptor>()).filter(|count| *count <= MAX_DESCRIPTORS);
        let Some(count) = count else {
            return Err(Error::Protocol { reason: "a block status of an impossible length" });
        };
        if Some(u32::from_be_bytes(self.array()?)) != self.allocation {
            return Err(Error::Protocol { reason: "the status of a context that was not asked for" });
        }
        let mut bytes = vec![0; count * size_of::<Descriptor>()];
        self.receive(&mut bytes)?;
        let descriptors = <[Descriptor]>::ref_from_bytes(&bytes)
            .map_err(|_| Error::Protocol { reason: "a block status of an impossible length" })?
            .to_vec();
        if descriptors.iter().any(|descriptor| descriptor.length.get() == 0) {
            return Err(Error::Protocol { reason: "a block status of no bytes" });
        }
        Ok(descriptors)
    }

    /// Reads a chunk that says what failed.
    fn error(&mut self, kind: u16, length: u32) -> Result<(u32, String)> {
        let length = length as usize;
        // The errno, the message with its length, and for some kinds an offset.
        if !(6..=6 + MAX_STRING + 8).contains(&length) {
            return Err(Error::Protocol { reason: "an error of an impossible length" });
        }
        let mut data = vec![0; length];
        self.receive(&mut data)?;
        let offset = if kind == chunk::ERROR_OFFSET { 8 } else { 0 };
        let parts = data.split_first_chunk::<4>().and_then(|(errno, rest)| {
            let (said, rest) = rest.split_first_chunk::<2>()?;
            let (message, rest) = rest.split_at_checked(u16::from_be_bytes(*said).into())?;
            // An unknown kind of error may have more.
            let whole = rest.len() == offset || !matches!(kind, chunk::ERROR | chunk::ERROR_OFFSET);
            whole.then(|| (u32::from_be_bytes(*errno), String::from_utf8_lossy(message).into_owned()))
        });
        match parts {
            Some((0, _)) | None => Err(Error::Protocol { reason: "a malformed error" }),
            Some(parts) => Ok(parts),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.receive(&mut bytes)?;
        Ok(bytes)
    }

    fn receive(&mut self, buf: &mut [u8]) -> Result<()> {
        receive(&mut self.reader, buf)
    }
}

fn receive(reader: &mut impl Read, buf: &mut [u8]) -> Result<()> {
    reader.read_exact(buf).map_err(|source: io::Error| Error::Connection { doing: "reading a reply", source })
}
