//! The image that is being written: [`Target`].

use super::CHUNK;
use super::chunk::Step;
use super::clone::Cloner;
use super::layout::{Layout, Packers, Place};
use super::packing::{Form, Packing};
use super::partial::PartialImage;
use super::turn::{Turn, lock};
use crate::error::Error;
use block::FileLocation;
use std::io;
use std::ops::Range;
use std::sync::Mutex;

/// The most that one call writes, in bytes. More saves nothing: the calls are few already. And it would let the page
/// cache take its memory in such large pieces as a virtual machine's balloon has given back to the host, which has to
/// find and clear each of them again: with 2 MiB a write was seen to take five times as long.
const WRITE: u64 = 256 << 10;

/// The image that is being written.
pub(super) struct Target<'a> {
    pub(super) partial: &'a PartialImage,
    layout: Mutex<Box<dyn Layout>>,
    pub(super) packers: Option<Packers>,
    pub(super) unit: usize,
    /// What shares extents with the source; `None` when nothing is to be shared.
    pub(super) cloner: Option<&'a Cloner<'a>>,
    /// How many bytes may be needed in all, for the message when they are not there.
    needed: u64,
    /// Whether what was written is put on the disk meanwhile.
    pub(super) sync: bool,
}

/// A stretch of the disk and where it goes, in one piece.
pub(super) struct Stretch {
    /// Which bytes of the disk.
    pub(super) range: Range<u64>,
    pub(super) place: Place,
}

/// A part of a file and the data for it, in pieces that go there one behind the other.
struct Write<'a> {
    place: Place,
    length: u64,
    pieces: Vec<io::IoSlice<'a>>,
}

impl Write<'_> {
    /// Whether `place` is where it ends, and no multiple of [`WRITE`], at which another begins.
    fn is_followed_by(&self, place: Place) -> bool {
        let end = self.place.offset + self.length;
        self.place.file == place.file && end == place.offset && !end.is_multiple_of(WRITE)
    }
}

/// Joins what goes to neighbouring places: one call writes it all.
#[derive(Default)]
struct Writes<'a> {
    list: Vec<Write<'a>>,
}

impl<'a> Writes<'a> {
    fn push(&mut self, mut place: Place, mut data: &'a [u8]) {
        while !data.is_empty() {
            // Up to the next multiple in the file: that is what the page cache aligns its folios to.
            let most = (WRITE - place.offset % WRITE) as usize;
            let (piece, rest) = data.split_at(most.min(data.len()));
            self.push_piece(place, piece);
            place.offset += piece.len() as u64;
            data = rest;
        }
    }

    fn push_piece(&mut self, place: Place, data: &'a [u8]) {
        let piece = io::IoSlice::new(data);
        match self.list.last_mut() {
            Some(last) if last.is_followed_by(place) => {
                last.length += data.len() as u64;
                last.pieces.push(piece);
            }
            _ => self.list.push(Write { place, length: data.len() as u64, pieces: vec![piece] }),
        }
    }

    fn write(mut self, partial: &PartialImage) -> io::Result<()> {
        self.list.iter_mut().try_for_each(|write| partial.write_vectored(&mut write.pieces, write.place))
    }
}

impl<'a> Target<'a> {
    /// Writes `layout` to `partial`; neither clones nor flushes yet.
    pub(super) fn new(partial: &'a PartialImage, layout: Box<dyn Layout>, needed: u64) -> Self {
        let (unit, packers) = (layout.unit() as usize, layout.packers());
        Self { partial, layout: Mutex::new(layout), packers, unit, cloner: None, needed, sync: false }
    }

    pub(super) fn error(&self, error: io::Error) -> Error {
        self.partial.write_error(error, self.needed)
    }

    /// Writes what is left to write after all data.
    pub(super) fn finish(&self) -> io::Result<()> {
        lock(&self.layout).finish(self.partial)
    }

    /// Takes note, in its turn, of zeroes that hide what a parent holds.
    pub(super) fn zero(&self, turn: &Turn, number: u64, range: Range<u64>) -> io::Result<()> {
        turn.take(number, || lock(&self.layout).zero(self.partial, range)).unwrap_or(Ok(()))
    }

    /// Writes `steps` of `buffer`, which begins at byte `start` of the disk, as they are; answers with how much is
    /// stored.
    pub(super) fn write_plain(
        &self,
        turn: &Turn,
        number: u64,
        (buffer, start): (&[u8], u64),
        steps: &[Step],
    ) -> io::Result<u64> {
        let on_disk = |run: &Range<usize>| start + run.start as u64..start + run.end as u64;
        let places = turn.take(number, || {
            let mut layout = lock(&self.layout);
            let mut places = Vec::with_capacity(steps.len());
            for step in steps {
                match step {
                    Step::Store(run) => places.push((run, layout.place(self.partial, on_disk(run))?)),
                    Step::Zero(run) => layout.zero(self.partial, on_disk(run))?,
                }
            }
            io::Result::Ok(places)
        });
        let mut writes = Writes::default();
        let mut stored = 0;
        for (run, place) in places.transpose()?.unwrap_or_default() {
            let data = buffer.get(run.clone()).unwrap_or_default();
            writes.push(place, data);
            stored += data.len() as u64;
        }
        writes.write(self.partial)?;
        Ok(stored)
    }

    /// Packs and writes `steps` of `buffer`, which begins at byte `start` of the disk; answers with the length of what
    /// they hold.
    pub(super) fn write_packed(
        &self,
        turn: &Turn,
        number: u64,
        (buffer, start): (&[u8], u64),
        steps: &[Step],
        packing: &mut Packing,
    ) -> io::Result<u64> {
        packing.pack(buffer, start, steps, self.unit)?;
        let places = turn.take(number, || {
            let mut layout = lock(&self.layout);
            let mut places = Vec::with_capacity(packing.units().len());
            for unit in packing.units() {
                let range = start + unit.range.start as u64..start + unit.range.end as u64;
                places.push(match &unit.form {
                    Form::Packed(packed) => {
                        layout.place_packed(self.partial, range, packed.len() as u64).map(Some)?
                    }
                    Form::Plain => layout.place(self.partial, range).map(Some)?,
                    Form::Zero => layout.zero(self.partial, range).map(|()| None)?,
                });
            }
            io::Result::Ok(places)
        });
        let mut writes = Writes::default();
        let mut stored = 0;
        for (unit, place) in packing.units().iter().zip(places.transpose()?.unwrap_or_default()) {
            let Some(place) = place else { continue };
            writes.push(place, packing.data(unit, buffer));
            stored += unit.range.len() as u64;
        }
        writes.write(self.partial)?;
        Ok(stored)
    }

    /// Where the chunks of `range` go, in the fewest pieces.
    pub(super) fn places(&self, turn: &Turn, number: u64, range: Range<u64>) -> io::Result<Vec<Stretch>> {
        let places = turn.take(number, || {
            let mut layout = lock(&self.layout);
            let mut stretches: Vec<Stretch> = Vec::new();
            for start in range.clone().step_by(CHUNK as usize) {
                let chunk = start..range.end.min(start + CHUNK);
                let place = layout.place(self.partial, chunk.clone())?;
                match stretches.last_mut() {
                    Some(last) if last.next() == place => last.range.end = chunk.end,
                    _ => stretches.push(Stretch { range: chunk, place }),
                }
            }
            io::Result::Ok(stretches)
        });
        places.unwrap_or(Ok(Vec::new()))
    }

    /// Clones a stretch from `from`; `false` when that cannot be done.
    pub(super) fn clone(&self, stretch: &Stretch, from: &FileLocation) -> io::Result<bool> {
        let to = stretch.place.offset..stretch.next().offset;
        self.cloner.map_or(Ok(false), |cloner| cloner.clone(from, stretch.place.file, to))
    }

    /// Writes `data` to its place.
    pub(super) fn write(&self, data: &[u8], place: Place) -> io::Result<()> {
        let mut writes = Writes::default();
        writes.push(place, data);
        writes.write(self.partial)
    }
}

impl Stretch {
    /// The place behind it.
    fn next(&self) -> Place {
        Place { offset: self.place.offset + (self.range.end - self.range.start), ..self.place }
    }
}
