//! What is done for each request: "Request types", "Reply message" and "Error values".

use super::Served;
use super::handshake::ALLOCATION_ID;
use super::transport::Transport;
use crate::protocol::{
    ChunkHeader, Descriptor, MAX_PAYLOAD, RequestHeader, SimpleReply, allocation, chunk, command, errno,
};
use std::io::{self, IoSlice};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use zerocopy::IntoBytes;

/// A hole shorter than this is sent as data: a chunk of its own would cost more, in bytes.
const SHORTEST_HOLE: u64 = 4096;
/// How much of the disk is asked about at a time for a block status, in bytes.
const STATUS_PIECE: u64 = 64 << 20;
/// After how many descriptors a block status ends; the client asks again for the rest.
const MAX_DESCRIPTORS: usize = 4096;

/// A request.
pub(super) struct Job {
    pub(super) header: RequestHeader,
    /// What is to be written.
    pub(super) payload: Vec<u8>,
    /// How much of the budget it holds, in bytes.
    pub(super) held: u64,
}

/// Serves requests on one export.
pub(super) struct Transmission<'a> {
    served: &'a Served,
    structured: bool,
    allocation: bool,
}

/// Why a request fails.
struct Failure {
    errno: u32,
    reason: &'static str,
}

const INVALID_FLAGS: Failure =
    Failure { errno: errno::EINVAL, reason: "the flags do not belong to the request" };

impl<'a> Transmission<'a> {
    pub(super) fn new(served: &'a Served, structured: bool, allocation: bool) -> Self {
        Self { served, structured, allocation }
    }

    /// Serves one request and answers it. `buf` is room to read into, of any size.
    ///
    /// An error is one of the socket; the disk's are told to the client.
    pub(super) fn serve(&self, job: &Job, buf: &mut Vec<u8>, replies: &Replies<'_>) -> io::Result<()> {
        let cookie = job.header.cookie.get();
        let outcome = match job.header.command.get() {
            command::READ => match self.read(&job.header, buf) {
                Ok(runs) if self.structured => return replies.content(cookie, &runs, buf),
                Ok(_) => return replies.simple(cookie, &buf[..job.header.length.get() as usize]),
                Err(failure) => Err(failure),
            },
            command::BLOCK_STATUS => match self.block_status(&job.header) {
                Ok(descriptors) => return replies.block_status(cookie, &descriptors),
                Err(failure) => Err(failure),
            },
            command::WRITE | command::FLUSH | command::TRIM | command::WRITE_ZEROES => self.change(job),
            _ => Err(Failure { errno: errno::EINVAL, reason: "the request is unknown" }),
        };
        match outcome {
            Ok(()) => replies.done(cookie),
            Err(failure) => replies.error(cookie, &failure),
        }
    }

    /// Reads into the front of `buf`, which is at least as long as the request then, and says what lies where in
    /// it, as ranges of the disk. Where there is a hole, `buf` holds no particular bytes.
    fn read(&self, header: &RequestHeader, buf: &mut Vec<u8>) -> Result<Vec<Run>, Failure> {
        let flags = header.flags.get();
        let single = flags & command::flag::DF != 0;
        if flags & !(command::flag::FUA | command::flag::DF) != 0 || (single && !self.structured) {
            return Err(INVALID_FLAGS);
        }
        if header.length.get() > MAX_PAYLOAD {
            return Err(Failure { errno: errno::EINVAL, reason: "more than 32 MiB in one read" });
        }
        let range = self.range(header, errno::EINVAL)?;
        let length = header.length.get() as usize;
        // Never shrunk, so that a buffer is zeroed only once.
        if buf.len() < length {
            buf.resize(length, 0);
        }
        let disk = self.served.export.disk();
        let mut runs = vec![Run { range: range.clone(), hole: false }];
        if self.structured {
            let extents = disk.extents(range.clone()).map_err(|error| self.broken("map", &range, error))?;
            runs = Run::from_extents(&extents);
            if single && runs.len() > 1 {
                runs = vec![Run { range: range.clone(), hole: false }];
            }
        }
        for run in runs.iter().filter(|run| !run.hole) {
            let place = (run.range.start - range.start) as usize..(run.range.end - range.start) as usize;
            let read = disk.read_at(&mut buf[place], run.range.start);
            read.map_err(|error| self.broken("read", &run.range, error))?;
        }
        Ok(runs)
    }

    /// Requests that change the disk.
    fn change(&self, job: &Job) -> Result<(), Failure> {
        let header = &job.header;
        let (command, flags) = (header.command.get(), header.flags.get());
        let allowed = match command {
            command::WRITE_ZEROES => command::flag::FUA | command::flag::NO_HOLE,
            _ => command::flag::FUA,
        };
        if flags & !allowed != 0 {
            return Err(INVALID_FLAGS);
        }
        let Some(disk) = self.served.export.writable() else {
            return match command {
                // What cannot be written is always durable.
                command::FLUSH => Ok(()),
                _ => Err(Failure { errno: errno::EPERM, reason: "the export is read only" }),
            };
        };
        if command == command::FLUSH {
            return disk.flush().map_err(|error| self.broken("flush", &(0..0), error));
        }
        let outside = if command == command::TRIM { errno::EINVAL } else { errno::ENOSPC };
        if command == command::WRITE && header.length.get() > MAX_PAYLOAD {
            return Err(Failure { errno: errno::EINVAL, reason: "more than 32 MiB in one write" });
        }
        let range = self.range(header, outside)?;
        let (operation, result) = match command {
            command::WRITE => ("write", disk.write_at(&job.payload, range.start)),
            command::TRIM => ("discard", disk.discard(range.clone())),
            // NO_HOLE asks for room to be set aside. Zeroes always end up without: what is served is an overlay or
            // a sparse file, in which nothing is set aside for data either.
            _ => ("zero", disk.zero(range.clone())),
        };
        result.map_err(|error| self.broken(operation, &range, error))?;
        if flags & command::flag::FUA != 0 {
            disk.flush().map_err(|error| self.broken("flush", &range, error))?;
        }
        Ok(())
    }

    fn block_status(&self, header: &RequestHeader) -> Result<Vec<Descriptor>, Failure> {
        let flags = header.flags.get();
        if !self.allocation {
            return Err(Failure { errno: errno::EINVAL, reason: "no context was negotiated" });
        }
        if flags & !(command::flag::FUA | command::flag::REQ_ONE) != 0 {
            return Err(INVALID_FLAGS);
        }
        let range = self.range(header, errno::EINVAL)?;
        if range.is_empty() {
            return Err(Failure { errno: errno::EINVAL, reason: "the status of nothing" });
        }
        let most = if flags & command::flag::REQ_ONE != 0 { 1 } else { MAX_DESCRIPTORS };
        let mut descriptors: Vec<Descriptor> = Vec::new();
        let mut start = range.start;
        // One more than wanted shows that the last one wanted is complete.
        while start < range.end && descriptors.len() <= most {
            let piece = start..range.end.min(start.saturating_add(STATUS_PIECE));
            start = piece.end;
            let disk = self.served.export.disk();
            let extents = disk.extents(piece.clone()).map_err(|error| self.broken("map", &piece, error))?;
            for extent in extents {
                let flags = if extent.is_data() { 0 } else { allocation::HOLE | allocation::ZERO };
                // At most the request's length, which has 32 bits.
                let length = extent.len() as u32;
                match descriptors.last_mut() {
                    Some(last) if last.flags.get() == flags => last.length += length,
                    _ => descriptors.push(Descriptor { length: length.into(), flags: flags.into() }),
                }
            }
        }
        descriptors.truncate(most);
        Ok(descriptors)
    }

    /// The range of the disk that is asked for, or the error that tells that it lies outside.
    fn range(&self, header: &RequestHeader, outside: u32) -> Result<Range<u64>, Failure> {
        let (start, length) = (header.offset.get(), u64::from(header.length.get()));
        block::check_range(start, length, self.served.export.disk().size())
            .map_err(|_| Failure { errno: outside, reason: "the range lies outside the export" })?;
        Ok(start..start + length)
    }

    /// Keeps and logs the disk's error, of which the client learns only that there is one.
    fn broken(&self, operation: &'static str, range: &Range<u64>, error: block::Error) -> Failure {
        tracing::error!(
            export = self.served.name,
            operation,
            offset = range.start,
            length = range.end - range.start,
            error = &error as &dyn std::error::Error,
            "the disk of an export fails"
        );
        // Only the first is kept.
        let _ = self.served.first_error.set(Arc::new(error));
        Failure { errno: errno::EIO, reason: "the disk fails" }
    }
}

/// A run of bytes that becomes one chunk.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Run {
    range: Range<u64>,
    hole: bool,
}

impl Run {
    /// Joins extents into runs, short holes into the data beside them.
    fn from_extents(extents: &[block::Extent]) -> Vec<Self> {
        let mut runs: Vec<Self> = Vec::new();
        for extent in extents {
            let hole = !extent.is_data() && (extent.len() >= SHORTEST_HOLE || extents.len() == 1);
            match runs.last_mut() {
                Some(last) if last.hole == hole => last.range.end = extent.range.end,
                _ => runs.push(Self { range: extent.range.clone(), hole }),
            }
        }
        runs
    }
}

/// Where replies go; each is sent whole.
pub(super) struct Replies<'a> {
    stream: Mutex<&'a dyn Transport>,
    structured: bool,
}

impl<'a> Replies<'a> {
    pub(super) fn new(stream: &'a dyn Transport, structured: bool) -> Self {
        Self { stream: Mutex::new(stream), structured }
    }

    /// What was read, in a structured reply: `buf` holds it from the first run's start on.
    fn content(&self, cookie: u64, runs: &[Run], buf: &[u8]) -> io::Result<()> {
        let Some((first, last)) = runs.first().zip(runs.last()) else { return self.done(cookie) };
        let heads: Vec<Vec<u8>> = runs.iter().map(|run| run_head(cookie, run, run == last)).collect();
        let mut parts = Vec::with_capacity(2 * runs.len());
        for (run, head) in runs.iter().zip(&heads) {
            parts.push(IoSlice::new(head));
            if !run.hole {
                let base = first.range.start;
                let place = (run.range.start - base) as usize..(run.range.end - base) as usize;
                parts.push(IoSlice::new(&buf[place]));
            }
        }
        self.send(&mut parts)
    }

    /// What was read, in a simple reply.
    fn simple(&self, cookie: u64, bytes: &[u8]) -> io::Result<()> {
        let head = simple_head(cookie, 0);
        self.send(&mut [IoSlice::new(&head), IoSlice::new(bytes)])
    }

    fn block_status(&self, cookie: u64, descriptors: &[Descriptor]) -> io::Result<()> {
        let length = (size_of::<u32>() + size_of_val(descriptors)) as u32;
        let mut bytes = chunk_head(cookie, chunk::BLOCK_STATUS, chunk::DONE, length);
        bytes.extend_from_slice(&ALLOCATION_ID.to_be_bytes());
        bytes.extend_from_slice(descriptors.as_bytes());
        self.send(&mut [IoSlice::new(&bytes)])
    }

    /// Success without content.
    fn done(&self, cookie: u64) -> io::Result<()> {
        let bytes = if self.structured {
            chunk_head(cookie, chunk::NONE, chunk::DONE, 0)
        } else {
            simple_head(cookie, 0)
        };
        self.send(&mut [IoSlice::new(&bytes)])
    }

    fn error(&self, cookie: u64, failure: &Failure) -> io::Result<()> {
        let bytes = if self.structured {
            let reason = failure.reason.as_bytes();
            let length = size_of::<u32>() + size_of::<u16>() + reason.len();
            let mut bytes = chunk_head(cookie, chunk::ERROR, chunk::DONE, length as u32);
            bytes.extend_from_slice(&failure.errno.to_be_bytes());
            bytes.extend_from_slice(&(reason.len() as u16).to_be_bytes());
            bytes.extend_from_slice(reason);
            bytes
        } else {
            simple_head(cookie, failure.errno)
        };
        self.send(&mut [IoSlice::new(&bytes)])
    }

    fn send(&self, mut parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        let stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        IoSlice::advance_slices(&mut parts, 0);
        while !parts.is_empty() {
            // The kernel takes 1024 parts at most; the standard library passes no more.
            match stream.send(parts) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => IoSlice::advance_slices(&mut parts, written),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn simple_head(cookie: u64, errno: u32) -> Vec<u8> {
    SimpleReply { magic: SimpleReply::MAGIC.into(), errno: errno.into(), cookie: cookie.into() }
        .as_bytes()
        .to_vec()
}

fn chunk_head(cookie: u64, kind: u16, flags: u16, length: u32) -> Vec<u8> {
    ChunkHeader {
        magic: ChunkHeader::MAGIC.into(),
        flags: flags.into(),
        kind: kind.into(),
        cookie: cookie.into(),
        length: length.into(),
    }
    .as_bytes()
    .to_vec()
}

/// The chunk of a run up to its data.
fn run_head(cookie: u64, run: &Run, last: bool) -> Vec<u8> {
    let flags = if last { chunk::DONE } else { 0 };
    // A run lies within a request, whose length has 32 bits.
    let length = (run.range.end - run.range.start) as u32;
    let offset = run.range.start.to_be_bytes();
    let kind = if run.hole { chunk::OFFSET_HOLE } else { chunk::OFFSET_DATA };
    let content = if run.hole { size_of::<u32>() as u32 } else { length };
    let mut head = chunk_head(cookie, kind, flags, offset.len() as u32 + content);
    head.extend_from_slice(&offset);
    if run.hole {
        head.extend_from_slice(&length.to_be_bytes());
    }
    head
}
