//! The workers of a copy: [`Engine`].

use super::layout::{Layout, Packer, Packers};
use super::partial::PartialImage;
use super::survey::{Item, Survey};
use super::tree::{self, Tree};
use super::{CHUNK, Files, Place, Progress, source_error};
use crate::error::{Error, Result};
use block::{BlockRead, is_zero};
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// How much is written before the system is asked to put it on the disk, in bytes. Otherwise most of it would
/// wait in memory for the end of the copy, and the disk would idle until then.
const FLUSH: u64 = 64 << 20;

/// One pass over a source.
pub(super) struct Engine<'a> {
    source: &'a dyn BlockRead,
    target: Option<Target<'a>>,
    work: Mutex<Work<'a>>,
    turn: Turn,
    tree: Option<Mutex<Tree>>,
    progress: &'a dyn Progress,
    stored: AtomicU64,
    flush: Flush,
    failure: Mutex<Option<Error>>,
}

/// The image that is being written.
pub(super) struct Target<'a> {
    partial: &'a PartialImage,
    layout: Mutex<Box<dyn Layout>>,
    packers: Option<Packers>,
    unit: usize,
    /// How many bytes may be needed in all, for the message when they are not there.
    needed: u64,
    /// Whether what was written is put on the disk meanwhile.
    pub(super) sync: bool,
}

impl<'a> Target<'a> {
    pub(super) fn new(partial: &'a PartialImage, layout: Box<dyn Layout>, needed: u64) -> Self {
        let (unit, packers) = (layout.unit() as usize, layout.packers());
        Self { partial, layout: Mutex::new(layout), packers, unit, needed, sync: true }
    }

    fn error(&self, error: io::Error) -> Error {
        self.partial.write_error(error, self.needed)
    }
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
    pub(super) data_bytes: u64,
    pub(super) digest: Option<blake3::Hash>,
}

/// Lets workers pass one by one in the order of their numbers.
#[derive(Default)]
struct Turn {
    next: Mutex<u64>,
    changed: Condvar,
    stopped: AtomicBool,
}

impl Turn {
    /// Waits until every piece before `number` has passed, then runs `pass`; `None` when everything has stopped.
    fn take<T>(&self, number: u64, pass: impl FnOnce() -> T) -> Option<T> {
        let next = lock(&self.next);
        let waiting = |next: &mut u64| *next != number && !self.is_stopped();
        let mut next = self.changed.wait_while(next, waiting).unwrap_or_else(PoisonError::into_inner);
        if self.is_stopped() {
            return None;
        }
        let result = pass();
        *next += 1;
        drop(next);
        self.changed.notify_all();
        Some(result)
    }

    fn stop(&self) {
        let _next = lock(&self.next);
        self.stopped.store(true, Ordering::Relaxed);
        self.changed.notify_all();
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'a> Engine<'a> {
    pub(super) fn new(
        source: &'a dyn BlockRead,
        target: Option<Target<'a>>,
        digest: bool,
        progress: &'a dyn Progress,
    ) -> Self {
        Self {
            source,
            target,
            work: Mutex::new(Work { survey: Survey::new(source), number: 0, zeroes: None }),
            turn: Turn::default(),
            tree: digest.then(|| Mutex::new(Tree::new(source.size()))),
            progress,
            stored: AtomicU64::new(0),
            flush: Flush::default(),
            failure: Mutex::default(),
        }
    }

    /// Does it all with `workers` threads; the target is complete afterwards, and not yet durable.
    pub(super) fn run(self, workers: usize) -> Result<Outcome> {
        self.progress.start(self.source.size());
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..workers).map(|_| scope.spawn(|| self.work())).collect();
            if let Some(target) = self.target.as_ref().filter(|target| target.sync) {
                scope.spawn(|| self.flush(target));
            }
            let mut panic = None;
            for worker in workers {
                if let Err(payload) = worker.join() {
                    self.turn.stop();
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
            lock(&target.layout).finish(target.partial).map_err(|error| target.error(error))?;
        }
        let digest =
            self.tree.and_then(|tree| tree.into_inner().unwrap_or_else(PoisonError::into_inner).finish());
        Ok(Outcome { data_bytes: self.stored.into_inner(), digest })
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
        // A worker that panics must not leave the others waiting for its turn.
        let stop = StopOnPanic(&self.turn);
        let mut buffer = vec![0; CHUNK.min(self.source.size()) as usize];
        let mut packing = self
            .target
            .as_ref()
            .and_then(|target| target.packers.as_ref())
            .map(|packers| Packing::new(packers()));
        while !self.turn.is_stopped() {
            let done = self.next().and_then(|work| match work {
                Some((number, item)) => self.item(number, item, &mut buffer, packing.as_mut()).map(|()| true),
                None => Ok(false),
            });
            match done {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => self.fail(error),
            }
        }
        std::mem::forget(stop);
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
                let piece =
                    tree::zero_pieces(range.clone(), self.source.size()).next().unwrap_or(range.clone());
                work.zeroes = (piece.end < range.end).then_some(piece.end..range.end);
                Item::Zero(piece)
            }
            Some(item) => item,
        };
        let number = work.number;
        work.number += 1;
        Ok(Some((number, item)))
    }

    fn item(&self, number: u64, item: Item, buffer: &mut [u8], packing: Option<&mut Packing>) -> Result<()> {
        let range = match item {
            Item::Zero(range) => {
                if self.target.is_some() {
                    self.turn.take(number, || ());
                }
                if let Some(tree) = &self.tree {
                    let part = tree::hash_zeroes(range.clone(), self.source.size());
                    lock(tree).add(range.clone(), part);
                }
                range
            }
            Item::Data { range, data } => {
                let buffer = buffer.get_mut(..(range.end - range.start) as usize).unwrap_or_default();
                self.read(buffer, range.start, data)?;
                self.write(number, buffer, range.start, packing)?;
                if let Some(tree) = &self.tree {
                    let part = tree::hash(buffer, range.start, self.source.size());
                    lock(tree).add(range.clone(), part);
                }
                range
            }
        };
        self.progress.advance(range.end - range.start);
        Ok(())
    }

    /// Fills `buffer`, which begins at byte `start` of the disk: `data` from the source, the rest with zeroes.
    fn read(&self, buffer: &mut [u8], start: u64, data: Range<u64>) -> Result<()> {
        let (before, rest) = buffer.split_at_mut((data.start - start) as usize);
        let (wanted, behind) = rest.split_at_mut((data.end - data.start) as usize);
        before.fill(0);
        behind.fill(0);
        self.source.read_at(wanted, data.start).map_err(|error| source_error(data.start, error))
    }

    fn write(&self, number: u64, buffer: &[u8], start: u64, packing: Option<&mut Packing>) -> Result<()> {
        let Some(target) = &self.target else { return Ok(()) };
        let runs = runs(buffer, target.unit);
        let written = match packing {
            Some(packing) => self.write_packed(target, number, packing, (buffer, start), &runs),
            None => self.write_plain(target, number, (buffer, start), &runs),
        };
        let before = self.stored.fetch_add(written.map_err(|error| target.error(error))?, Ordering::Relaxed);
        if before / FLUSH != self.stored.load(Ordering::Relaxed) / FLUSH {
            self.flush.request();
        }
        Ok(())
    }

    /// Writes `runs` of `buffer`, which begins at byte `start` of the disk, as they are; answers with their length.
    fn write_plain(
        &self,
        target: &Target,
        number: u64,
        (buffer, start): (&[u8], u64),
        runs: &[Range<usize>],
    ) -> io::Result<u64> {
        let places = self.turn.take(number, || {
            let mut layout = lock(&target.layout);
            let place = |run: &Range<usize>| {
                layout.place(target.partial, start + run.start as u64..start + run.end as u64)
            };
            runs.iter().map(place).collect::<io::Result<Vec<Place>>>()
        });
        let mut stored = 0;
        for (run, place) in runs.iter().zip(places.transpose()?.unwrap_or_default()) {
            let data = buffer.get(run.clone()).unwrap_or_default();
            target.partial.write(data, place)?;
            stored += data.len() as u64;
        }
        Ok(stored)
    }

    /// Packs the units of `runs` and writes them; answers with the length of what they hold.
    fn write_packed(
        &self,
        target: &Target,
        number: u64,
        packing: &mut Packing,
        (buffer, start): (&[u8], u64),
        runs: &[Range<usize>],
    ) -> io::Result<u64> {
        packing.pack(buffer, start, runs, target.unit)?;
        let places = self.turn.take(number, || {
            let mut layout = lock(&target.layout);
            let place = |unit: &Unit| {
                let range = start + unit.range.start as u64..start + unit.range.end as u64;
                match &unit.packed {
                    Some(packed) => layout.place_packed(target.partial, range, packed.len() as u64),
                    None => layout.place(target.partial, range),
                }
            };
            packing.units.iter().map(place).collect::<io::Result<Vec<Place>>>()
        });
        let mut stored = 0;
        for (unit, place) in packing.units.iter().zip(places.transpose()?.unwrap_or_default()) {
            let data = match &unit.packed {
                Some(packed) => packing.packed.get(packed.clone()),
                None => buffer.get(unit.range.clone()),
            };
            target.partial.write(data.unwrap_or_default(), place)?;
            stored += unit.range.len() as u64;
        }
        Ok(stored)
    }
}

/// What a worker compresses with.
struct Packing {
    packer: Box<dyn Packer>,
    /// The packed units of a chunk, one behind the other.
    packed: Vec<u8>,
    units: Vec<Unit>,
}

/// A unit of a chunk.
struct Unit {
    /// Which bytes of the chunk it holds.
    range: Range<usize>,
    /// Which of the packed bytes it became; `None` when it is stored as it is.
    packed: Option<Range<usize>>,
}

impl Packing {
    fn new(packer: Box<dyn Packer>) -> Self {
        Self { packer, packed: Vec::new(), units: Vec::new() }
    }

    fn pack(&mut self, buffer: &[u8], start: u64, runs: &[Range<usize>], unit: usize) -> io::Result<()> {
        self.packed.clear();
        self.units.clear();
        for run in runs {
            for place in run.clone().step_by(unit) {
                let range = place..run.end.min(place + unit);
                let before = self.packed.len();
                let data = buffer.get(range.clone()).unwrap_or_default();
                let shorter = self.packer.pack(start + place as u64, data, &mut self.packed)?;
                self.units.push(Unit { range, packed: shorter.then_some(before..self.packed.len()) });
            }
        }
        Ok(())
    }
}

/// Asks the thread that flushes for its work.
#[derive(Default)]
struct Flush {
    state: Mutex<FlushState>,
    changed: Condvar,
}

#[derive(Default)]
struct FlushState {
    wanted: bool,
    ended: bool,
}

impl Flush {
    fn request(&self) {
        lock(&self.state).wanted = true;
        self.changed.notify_all();
    }

    fn end(&self) {
        lock(&self.state).ended = true;
        self.changed.notify_all();
    }

    /// Waits for a request; `false` when there will be none.
    fn wait(&self) -> bool {
        let idle = |state: &mut FlushState| !state.wanted && !state.ended;
        let state = lock(&self.state);
        let mut state = self.changed.wait_while(state, idle).unwrap_or_else(PoisonError::into_inner);
        state.wanted = false;
        !state.ended
    }
}

/// Stops everything when it is dropped, which happens only on the way out of a panic.
struct StopOnPanic<'a>(&'a Turn);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// The runs of units of `buffer` that are not all zeroes.
fn runs(buffer: &[u8], unit: usize) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (index, piece) in buffer.chunks(unit).enumerate() {
        if is_zero(piece) {
            continue;
        }
        let range = index * unit..index * unit + piece.len();
        match runs.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => runs.push(range),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_of_whole_units_and_joined() {
        let mut buffer = vec![0; 50];
        assert_eq!(runs(&buffer, 8), []);
        buffer[9] = 1;
        buffer[16] = 1;
        buffer[49] = 1;
        assert_eq!(runs(&buffer, 8), [8..24, 48..50]);
    }
}
