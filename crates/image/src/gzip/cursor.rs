//! Readers of a stream that go on where they were: [`Cursors`].

use super::Reason;
use super::stream::{Output, Stream};
use crate::error::Result;
use std::ops::Range;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// How many cursors are kept.
const MAX_CURSORS: usize = 4;
/// How far back a cursor can still answer, in bytes: the chunks that threads ask for come almost in order.
const RECENT: usize = 4 << 20;
/// How far a cursor is taken forwards rather than starting another one, in bytes.
const NEAR: u64 = 8 << 20;

/// The cursors of one stream, shared by the threads that read it.
#[derive(Default)]
pub(super) struct Cursors {
    pool: Mutex<Pool>,
    returned: Condvar,
}

#[derive(Default)]
struct Pool {
    /// The one that was used last is last.
    idle: Vec<Cursor>,
    /// What the others are reading.
    busy: Vec<Range<u64>>,
}

/// A stream with what came out of it last.
struct Cursor {
    stream: Stream,
    /// The bytes before `stream.state.output`.
    recent: Vec<u8>,
}

impl Cursors {
    /// Fills `buf` from `offset`, going on from a cursor that is near or from what `start` gives.
    pub(super) fn read(&self, buf: &mut [u8], offset: u64, start: impl FnOnce() -> Stream) -> Result<()> {
        let end = offset + buf.len() as u64;
        let (kept, reading) = self.take(offset, end);
        let mut cursor = kept.unwrap_or_else(|| Cursor { stream: start(), recent: Vec::new() });
        let result = cursor.read(buf, offset);
        let mut pool = self.lock();
        if let Some(index) = pool.busy.iter().position(|range| *range == reading) {
            pool.busy.swap_remove(index);
        }
        if result.is_ok() {
            if pool.idle.len() >= MAX_CURSORS {
                pool.idle.remove(0);
            }
            pool.idle.push(cursor);
        }
        drop(pool);
        self.returned.notify_all();
        result
    }

    /// A cursor from which `offset` is near, if there is one, and what is noted as being read.
    fn take(&self, offset: u64, end: u64) -> (Option<Cursor>, Range<u64>) {
        let mut pool = self.lock();
        loop {
            let near = |cursor: &Cursor| cursor.start() <= offset && offset <= cursor.end() + NEAR;
            let best = (0..pool.idle.len())
                .filter(|index| pool.idle.get(*index).is_some_and(near))
                .max_by_key(|index| pool.idle.get(*index).map(Cursor::start));
            if let Some(index) = best {
                let cursor = pool.idle.remove(index);
                let reading = cursor.start()..end.max(cursor.end());
                pool.busy.push(reading.clone());
                return (Some(cursor), reading);
            }
            // One that will soon be there is worth waiting for: the work is not done twice.
            if !pool.busy.iter().any(|range| range.start <= offset && offset <= range.end + NEAR) {
                let reading = offset..end;
                pool.busy.push(reading.clone());
                return (None, reading);
            }
            pool = self.returned.wait(pool).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cursor {
    /// From where it can answer.
    fn start(&self) -> u64 {
        self.end() - self.recent.len() as u64
    }

    /// Up to where it has read.
    fn end(&self) -> u64 {
        self.stream.state.output
    }

    fn read(&mut self, buf: &mut [u8], offset: u64) -> Result<()> {
        let mut filled = self.answer_recent(buf, offset);
        while filled < buf.len() {
            let before = self.stream.state.output;
            let bytes = match self.stream.advance()? {
                Output::Bytes(bytes) => bytes,
                Output::MemberEnd { .. } => continue,
                // The file has become shorter since it was opened.
                Output::End => return Err(self.stream.error(Reason::Truncated)),
            };
            let skipped =
                usize::try_from((offset + filled as u64).saturating_sub(before)).unwrap_or(usize::MAX);
            let wanted = bytes.get(skipped..).unwrap_or_default();
            let length = wanted.len().min(buf.len() - filled);
            if let (Some(to), Some(from)) = (buf.get_mut(filled..filled + length), wanted.get(..length)) {
                to.copy_from_slice(from);
            }
            filled += length;
            if self.recent.len() + bytes.len() > 2 * RECENT {
                self.recent.drain(..self.recent.len() - RECENT);
            }
            self.recent.extend_from_slice(bytes);
        }
        Ok(())
    }

    /// Fills the beginning of `buf` from what came out last; answers with how much that was.
    fn answer_recent(&self, buf: &mut [u8], offset: u64) -> usize {
        let Some(place) = offset.checked_sub(self.start()).and_then(|place| usize::try_from(place).ok())
        else {
            return 0;
        };
        let known = self.recent.get(place..).unwrap_or_default();
        let length = known.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..length), known.get(..length)) {
            to.copy_from_slice(from);
        }
        length
    }
}
