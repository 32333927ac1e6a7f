//! The workers of a copy: [`Engine`].

use super::chunk;
use super::flush::Flush;
use super::layout::Place;
use super::packing::Packing;
use super::survey::{Content, Item, Survey};
use super::target::{Stretch, Target};
use super::tree::{self, Tree};
use super::turn::{Turn, lock};
use super::{CHUNK, Progress, source_error};
use crate::error::{Error, Result};
use block::{Extent, FileLocation};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// How much is written before the system is asked to put it on the disk, in bytes. Otherwise most of it would
/// wait in memory for the end of the copy, and the disk would idle until then.
const FLUSH: u64 = 64 << 20;
/// How much is cloned as one item, in bytes: no more than the kernel does with one call.
const CLONED: u64 = 1 << 30;
/// The same when it is also hashed, which is to be shared out among the workers.
const CLONED_AND_HASHED: u64 = 16 << 20;

/// What lies between two stretches that are copied is read with them when it is no longer than this, in bytes: a call
/// costs more.
const GAP: usize = 16 << 10;

/// One pass over a source.
pub(super) struct Engine<'a> {
    content: Content<'a>,
    target: Option<Target<'a>>,
    work: Mutex<Work<'a>>,
    turn: Turn,
    tree: Option<Mutex<Tree>>,
    progress: &'a dyn Progress,
    stored: AtomicU64,
    shared: AtomicU64,
    flush: Flush,
    failure: Mutex<Option<Error>>,
}

/// What is left to do, and the number of the next piece of it.
struct Work<'a> {
    survey: Survey<'a>,
    number: u64,
    /// What of a stretch of zeroes has still to be hashed.
    zeroes: Option<Range<u64>>,
}

/// What a pass has found.
pub(super) struct Outcome {
    /// How many bytes of the disk are stored.
    pub(super) data_bytes: u64,
    /// How many of them the target shares with the source.
    pub(super) shared_bytes: u64,
    pub(super) digest: Option<blake3::Hash>,
}

/// What a worker has for itself.
struct Tools {
    buffer: Vec<u8>,
    packing: Option<Packing>,
}

impl<'a> Engine<'a> {
    pub(super) fn new(
        content: Content<'a>,
        target: Option<Target<'a>>,
        digest: bool,
        progress: &'a dyn Progress,
    ) -> Self {
        let cloner = target.as_ref().and_then(|target| target.cloner);
        let most = if digest { CLONED_AND_HASHED } else { CLONED };
        let survey = Survey::new(content).with_cloner(cloner, most);
        Self {
            content,
            target,
            work: Mutex::new(Work { survey, number: 0, zeroes: None }),
            turn: Turn::default(),
            tree: digest.then(|| Mutex::new(Tree::new(content.own().size()))),
            progress,
            stored: AtomicU64::new(0),
            shared: AtomicU64::new(0),
            flush: Flush::default(),
            failure: Mutex::default(),
        }
    }

    /// Does it all with `workers` threads; the target is complete afterwards, and not yet durable.
    pub(super) fn run(self, workers: usize) -> Result<Outcome> {
        self.progress.start(self.size());
        std::thread::scope(|scope| {
            let workers: Vec<_> =
                (0..workers).map(|_| scope.spawn(|| self.turn.guard(|| self.work()))).collect();
            if let Some(target) = self.target.as_ref().filter(|target| target.sync) {
                scope.spawn(|| self.flush(target));
            }
            let mut panic = None;
            for worker in workers {
                if let Err(payload) = worker.join() {
                    panic.get_or_insert(payload);
                }
            }
            self.flush.end();
            if let Some(payload) = panic {
                std::panic::resume_unwind(payload);
            }
        });
        if let Some(error) = lock(&self.failure).take() {
            return Err(error);
        }
        if let Some(target) = &self.target {
            target.finish().map_err(|error| target.error(error))?;
        }
        let digest =
            self.tree.and_then(|tree| tree.into_inner().unwrap_or_else(PoisonError::into_inner).finish());
        let (data_bytes, shared_bytes) = (self.stored.into_inner(), self.shared.into_inner());
        Ok(Outcome { data_bytes, shared_bytes, digest })
    }

    fn size(&self) -> u64 {
        self.content.own().size()
    }

    /// Makes what was written durable every now and then, until the workers have ended.
    fn flush(&self, target: &Target) {
        while self.flush.wait() {
            // The system reports a failed write to the first who asks.
            if let Err(error) = target.partial.sync_data() {
                self.fail(target.error(error));
            }
        }
    }

    fn fail(&self, error: Error) {
        lock(&self.failure).get_or_insert(error);
        self.turn.stop();
    }

    fn work(&self) {
        let packers = self.target.as_ref().and_then(|target| target.packers.as_ref());
        let mut tools = Tools {
            buffer: vec![0; CHUNK.min(self.size()) as usize],
            packing: packers.map(|packers| Packing::new(packers())),
        };
        while !self.turn.is_stopped() {
            let done = self.next().and_then(|work| match work {
                Some((number, item)) => self.item(number, item, &mut tools).map(|()| true),
                None => Ok(false),
            });
            match done {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => self.fail(error),
            }
        }
    }

    /// The next piece of work and its number.
    fn next(&self) -> Result<Option<(u64, Item)>> {
        let mut work = lock(&self.work);
        let item = match work.zeroes.take() {
            Some(range) => Some(Item::Zero(range)),
            None => work.survey.next()?,
        };
        let item = match item {
            None => return Ok(None),
            Some(Item::Zero(range)) if self.tree.is_some() => {
                let piece = tree::zero_pieces(range.clone(), self.size()).next().unwrap_or(range.clone());
                work.zeroes = (piece.end < range.end).then_some(piece.end..range.end);
                Item::Zero(piece)
            }
            Some(item) => item,
        };
        let number = work.number;
        work.number += 1;
        Ok(Some((number, item)))
    }

    fn item(&self, number: u64, item: Item, tools: &mut Tools) -> Result<()> {
        let range = item.range().clone();
        match item {
            Item::Zero(range) => self.zero(number, range)?,
            Item::Absent(_) => {
                self.turn.take(number, || ());
            }
            Item::Chunk { range, extents } => self.chunk(number, &range, &extents, tools)?,
            Item::Located { range, location } => self.located(number, range, location, tools)?,
        }
        self.progress.advance(range.end - range.start);
        Ok(())
    }

    fn zero(&self, number: u64, range: Range<u64>) -> Result<()> {
        match &self.target {
            Some(target) if self.content.is_layer() => {
                target.zero(&self.turn, number, range.clone()).map_err(|error| target.error(error))?;
            }
            Some(_) => {
                self.turn.take(number, || ());
            }
            None => {}
        }
        if let Some(tree) = &self.tree {
            let part = tree::hash_zeroes(range.clone(), self.size());
            lock(tree).add(range, part);
        }
        Ok(())
    }

    /// Reads a chunk, writes what of it is not zeroes, and hashes it.
    fn chunk(&self, number: u64, range: &Range<u64>, extents: &[Extent], tools: &mut Tools) -> Result<()> {
        let Tools { buffer, packing } = tools;
        let buffer = buffer.get_mut(..(range.end - range.start) as usize).unwrap_or_default();
        // What is only hashed is read to the byte: nothing that is known to be zero.
        let (unit, gap) = self.target.as_ref().map_or((1, 0), |target| (target.unit, GAP));
        let runs = chunk::wanted(range, extents, unit, self.content);
        let reads = chunk::reads(&runs, gap);
        for read in &reads {
            self.read(buffer.get_mut(read.clone()).unwrap_or_default(), range.start + read.start as u64)?;
        }
        if let Some(target) = &self.target {
            let steps = chunk::steps(buffer, &runs, unit, self.content.is_layer());
            let data = (&*buffer, range.start);
            let stored = match packing {
                Some(packing) => target.write_packed(&self.turn, number, data, &steps, packing),
                None => target.write_plain(&self.turn, number, data, &steps),
            };
            self.stored(stored.map_err(|error| target.error(error))?);
        }
        if self.tree.is_some() {
            chunk::blank(buffer, &reads);
            self.hash(buffer, range.start);
        }
        Ok(())
    }

    /// Clones chunks of data, and reads them only to hash them or when they cannot be cloned.
    fn located(
        &self,
        number: u64,
        range: Range<u64>,
        location: FileLocation,
        tools: &mut Tools,
    ) -> Result<()> {
        let Some(target) = &self.target else { return Ok(()) };
        let failed = |error| target.error(error);
        for stretch in target.places(&self.turn, number, range.clone()).map_err(failed)? {
            let offset = location.offset + (stretch.range.start - range.start);
            let from = FileLocation { file: location.file.clone(), offset };
            let cloned = target.clone(&stretch, &from).map_err(failed)?;
            if cloned {
                self.shared.fetch_add(stretch.range.end - stretch.range.start, Ordering::Relaxed);
            }
            if !cloned || self.tree.is_some() {
                self.pass(target, &stretch, cloned, &mut tools.buffer)?;
            }
            self.stored.fetch_add(stretch.range.end - stretch.range.start, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Reads a stretch chunk by chunk, writes it unless it is there, and hashes it.
    fn pass(&self, target: &Target, stretch: &Stretch, written: bool, buffer: &mut [u8]) -> Result<()> {
        for start in stretch.range.clone().step_by(CHUNK as usize) {
            let length = CHUNK.min(stretch.range.end - start);
            let data = buffer.get_mut(..length as usize).unwrap_or_default();
            self.read(data, start)?;
            if !written {
                let offset = stretch.place.offset + (start - stretch.range.start);
                let place = Place { offset, ..stretch.place };
                target.write(data, place).map_err(|error| target.error(error))?;
            }
            if self.tree.is_some() {
                self.hash(data, start);
            }
        }
        Ok(())
    }

    fn read(&self, buffer: &mut [u8], start: u64) -> Result<()> {
        self.content.whole().read_at(buffer, start).map_err(|error| source_error(start, error))
    }

    /// Hashes the chunk `data`, which begins at byte `start` of the disk.
    fn hash(&self, data: &[u8], start: u64) {
        if let Some(tree) = &self.tree {
            let part = tree::hash(data, start, self.size());
            lock(tree).add(start..start + data.len() as u64, part);
        }
    }

    /// Counts what was written, and has it flushed when it is enough.
    fn stored(&self, bytes: u64) {
        let before = self.stored.fetch_add(bytes, Ordering::Relaxed);
        if before / FLUSH != (before + bytes) / FLUSH {
            self.flush.request();
        }
    }
}
