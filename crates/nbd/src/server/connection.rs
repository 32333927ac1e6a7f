//! One client: negotiation, then requests, read by one thread and served by several.

use super::Exports;
use super::budget::Budget;
use super::handshake::{Agreed, negotiate, skip};
use super::transmission::{Job, Replies, Transmission};
use super::transport::{Channel, Transport};
use crate::error::{Error, Result};
use crate::protocol::{MAX_PAYLOAD, RequestHeader, command};
use std::io::{self, BufReader, Read};
use std::sync::Mutex;
use std::thread::{Builder, Scope, ScopedJoinHandle};
use zerocopy::{FromZeros, IntoBytes};

/// How many requests of one connection are served at once.
const MAX_WORKERS: usize = 8;
/// Requests are small; a payload longer than this is read into its place directly.
const READ_AHEAD: usize = 16 << 10;

/// Serves one client until it leaves or breaks the protocol.
pub(super) fn serve(stream: &dyn Transport, exports: &Exports) {
    match converse(stream, exports) {
        Ok(()) => {}
        // Clients leave without a word all the time.
        Err(Error::Connection { source, .. }) if source.kind() == io::ErrorKind::UnexpectedEof => {}
        Err(error) => tracing::debug!(error = &error as &dyn std::error::Error, "an NBD connection ends"),
    }
}

fn converse(stream: &dyn Transport, exports: &Exports) -> Result<()> {
    let mut negotiating = Channel(stream);
    let Some(agreed) = negotiate(&mut negotiating, exports)? else { return Ok(()) };
    let Agreed { served, structured, allocation } = agreed;
    tracing::debug!(export = served.name, structured, allocation, "an NBD client is connected");
    let connection = Connection {
        budget: Budget::new(),
        transmission: Transmission::new(&served, structured, allocation),
        replies: Replies::new(stream, structured),
        stream,
        spare: Mutex::default(),
    };
    std::thread::scope(|scope| {
        let mut workers = Vec::new();
        let result = connection.read_requests(scope, &mut workers);
        connection.budget.close();
        for worker in workers {
            if worker.join().is_err() {
                tracing::error!(export = served.name, "the disk of an export panicked");
            }
        }
        result
    })
}

/// A connection in its transmission phase.
struct Connection<'a> {
    stream: &'a dyn Transport,
    budget: Budget<Job>,
    transmission: Transmission<'a>,
    replies: Replies<'a>,
    /// Payload buffers to use again: fresh ones cost a page fault for every 4 KiB.
    spare: Mutex<Vec<Vec<u8>>>,
}

impl<'a> Connection<'a> {
    /// Reads requests until the client leaves, and adds workers as they are needed.
    fn read_requests<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        workers: &mut Vec<ScopedJoinHandle<'scope, ()>>,
    ) -> Result<()> {
        let mut reader = BufReader::with_capacity(READ_AHEAD, Channel(self.stream));
        while let Some(job) = self.read_request(&mut reader)? {
            if self.budget.push(job) && workers.len() < MAX_WORKERS {
                let spawned =
                    Builder::new().name("nbd-worker".to_owned()).spawn_scoped(scope, || self.work());
                match spawned {
                    Ok(worker) => workers.push(worker),
                    Err(source) if workers.is_empty() => {
                        return Err(Error::Connection { doing: "starting", source });
                    }
                    Err(error) => tracing::warn!(%error, "fewer NBD workers than wanted"),
                }
            }
        }
        Ok(())
    }

    /// Reads the next request with its payload; `None` when the client takes its leave.
    fn read_request(&self, reader: &mut impl Read) -> Result<Option<Job>> {
        let mut header = RequestHeader::new_zeroed();
        reader.read_exact(header.as_mut_bytes()).map_err(broken)?;
        if header.magic.get() != RequestHeader::MAGIC {
            let found = header.magic.get().into();
            return Err(Error::Unexpected { expected: "the magic of a request", found });
        }
        let length = header.length.get();
        let mut job = Job { header, payload: Vec::new(), held: 0 };
        match job.header.command.get() {
            command::DISC => return Ok(None),
            command::WRITE if length > MAX_PAYLOAD => {
                // To be refused, but the requests behind it are still good.
                skip(reader, length).map_err(broken)?;
                self.budget.hold(0);
            }
            command::WRITE => {
                job.held = length.into();
                self.budget.hold(job.held);
                job.payload = self.buffer();
                // What a recycled buffer holds is overwritten.
                job.payload.resize(length as usize, 0);
                reader.read_exact(&mut job.payload).map_err(broken)?;
            }
            command::READ if length <= MAX_PAYLOAD => {
                job.held = length.into();
                self.budget.hold(job.held);
            }
            _ => self.budget.hold(0),
        }
        Ok(Some(job))
    }

    /// Serves requests until there are no more.
    fn work(&self) {
        // If a disk panics, its request is never answered: then the client must not wait for it.
        let _ending = EndOnPanic(self);
        let mut buf = Vec::new();
        while let Some(mut job) = self.budget.pop() {
            let _held = self.budget.held(job.held);
            let served = self.transmission.serve(&job, &mut buf, &self.replies);
            if served.is_err() {
                // The client is gone, or the socket unusable: let the reading thread see it.
                self.stream.close();
            }
            self.recycle(std::mem::take(&mut job.payload));
            if buf.capacity() > KEEP {
                buf = Vec::new();
            }
        }
    }

    fn buffer(&self) -> Vec<u8> {
        let mut spare = self.spare.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        spare.pop().unwrap_or_default()
    }

    fn recycle(&self, buffer: Vec<u8>) {
        if (1..=KEEP).contains(&buffer.capacity()) {
            let mut spare = self.spare.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if spare.len() < MAX_WORKERS {
                spare.push(buffer);
            }
        }
    }
}

/// The largest buffer that is kept for another request, in bytes.
const KEEP: usize = 2 << 20;

/// Ends the connection when a worker panics.
struct EndOnPanic<'a, 'b>(&'a Connection<'b>);

impl Drop for EndOnPanic<'_, '_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stream.close();
            self.0.budget.close();
        }
    }
}

fn broken(source: io::Error) -> Error {
    Error::Connection { doing: "reading a request", source }
}
