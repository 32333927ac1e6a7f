//! What a worker compresses with: [`Packing`].

use super::chunk::Step;
use super::layout::Packer;
use std::io;
use std::ops::Range;

/// A worker's packer, and the units of the chunk that it has at hand.
pub(super) struct Packing {
    packer: Box<dyn Packer>,
    /// The packed units of a chunk, one behind the other.
    packed: Vec<u8>,
    units: Vec<Unit>,
}

/// A unit of a chunk.
pub(super) struct Unit {
    /// Which bytes of the chunk it holds.
    pub(super) range: Range<usize>,
    /// What it became.
    pub(super) form: Form,
}

/// What a unit became.
pub(super) enum Form {
    /// These of the packed bytes.
    Packed(Range<usize>),
    /// Stored as it is.
    Plain,
    /// Zeroes over a parent.
    Zero,
}

impl Packing {
    pub(super) fn new(packer: Box<dyn Packer>) -> Self {
        Self { packer, packed: Vec::new(), units: Vec::new() }
    }

    /// Packs what `steps` store of `buffer`, which begins at byte `start` of the disk, unit by unit.
    pub(super) fn pack(&mut self, buffer: &[u8], start: u64, steps: &[Step], unit: usize) -> io::Result<()> {
        self.packed.clear();
        self.units.clear();
        for step in steps {
            let run = match step {
                Step::Store(run) => run,
                Step::Zero(range) => {
                    self.units.push(Unit { range: range.clone(), form: Form::Zero });
                    continue;
                }
            };
            for place in run.clone().step_by(unit) {
                let range = place..run.end.min(place + unit);
                let before = self.packed.len();
                let data = buffer.get(range.clone()).unwrap_or_default();
                let shorter = self.packer.pack(start + place as u64, data, &mut self.packed)?;
                let form = if shorter { Form::Packed(before..self.packed.len()) } else { Form::Plain };
                self.units.push(Unit { range, form });
            }
        }
        Ok(())
    }

    /// The units of the chunk, in the order of the disk.
    pub(super) fn units(&self) -> &[Unit] {
        &self.units
    }

    /// What stands in the file for `unit`.
    pub(super) fn data<'a>(&'a self, unit: &Unit, buffer: &'a [u8]) -> &'a [u8] {
        let data = match &unit.form {
            Form::Packed(packed) => self.packed.get(packed.clone()),
            Form::Plain => buffer.get(unit.range.clone()),
            Form::Zero => None,
        };
        data.unwrap_or_default()
    }
}
