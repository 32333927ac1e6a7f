//! What one block of an overlay has become: for each of its grains, the base's, zeroes, or data of its own.

use super::store::{Room, Store};
use super::{BLOCK, GRAIN};
use crate::Result;
use std::ops::Range;

/// What a grain holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grain {
    /// Whatever the base holds.
    Base,
    /// Zeroes.
    Zero,
    /// Data in the block's room.
    Data,
}

/// A block that is no longer all the base's. A bit in each mask stands for one grain; no grain has both.
#[derive(Debug)]
pub(super) struct Changed {
    data: u16,
    zero: u16,
    room: Option<Room>,
}

const _: () = assert!(BLOCK / GRAIN == u16::BITS as u64);

impl Changed {
    /// A block whose grains are all the base's, or all zeroes.
    pub(super) fn new(zeroed: bool) -> Self {
        Self { data: 0, zero: if zeroed { u16::MAX } else { 0 }, room: None }
    }

    /// What the grain with this number, below 16, holds.
    pub(super) fn grain(&self, number: u64) -> Grain {
        let bit = 1 << number;
        match (self.data & bit != 0, self.zero & bit != 0) {
            (true, _) => Grain::Data,
            (false, true) => Grain::Zero,
            (false, false) => Grain::Base,
        }
    }

    /// How many grains hold data.
    pub(super) fn data_grains(&self) -> u64 {
        u64::from(self.data.count_ones())
    }

    /// The parts of `inner` (bytes of the block) by what they hold; neighbours of one kind are one part.
    pub(super) fn parts(&self, inner: Range<u64>) -> impl Iterator<Item = (Range<u64>, Grain)> {
        let mut start = inner.start;
        std::iter::from_fn(move || {
            if start >= inner.end {
                return None;
            }
            let kind = self.grain(start / GRAIN);
            let mut end = (start / GRAIN + 1) * GRAIN;
            while end < inner.end && self.grain(end / GRAIN) == kind {
                end += GRAIN;
            }
            let part = start..end.min(inner.end);
            start = part.end;
            Some((part, kind))
        })
    }

    /// Fills `buf` with data from `inner` (bytes of the block), grains that hold data.
    pub(super) fn read(&self, store: &Store, inner: u64, buf: &mut [u8]) -> Result<()> {
        match &self.room {
            Some(room) => store.read(room, inner, buf),
            // No grain has data without room.
            None => Ok(()),
        }
    }

    /// Writes `data` at `inner` (bytes of the block) without saying that the grains hold data now.
    pub(super) fn write(&mut self, store: &Store, inner: u64, data: &[u8]) -> Result<()> {
        if self.room.is_none() {
            self.room = Some(store.take()?);
        }
        match &mut self.room {
            Some(room) => store.write(room, inner, data),
            None => Ok(()),
        }
    }

    /// Says that these grains hold data now.
    pub(super) fn set_data(&mut self, grains: Range<u64>) {
        self.data |= mask(&grains);
        self.zero &= !mask(&grains);
    }

    /// Says that these grains are zeroes now. Room that no grain uses any longer is given back.
    pub(super) fn set_zero(&mut self, store: &Store, grains: Range<u64>) {
        self.zero |= mask(&grains);
        self.data &= !mask(&grains);
        if self.data == 0 {
            self.release(store);
        }
    }

    /// Gives the room back. What the block held is gone.
    pub(super) fn release(&mut self, store: &Store) {
        if let Some(room) = self.room.take() {
            store.give_back(room);
        }
    }
}

/// The bits of these grains, each number at most 16.
fn mask(grains: &Range<u64>) -> u16 {
    let below = |number: u64| ((1_u32 << number) - 1) as u16;
    below(grains.end) & !below(grains.start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_cover_the_edges() {
        assert_eq!(
            (mask(&(0..16)), mask(&(0..0)), mask(&(15..16)), mask(&(3..5))),
            (0xFFFF, 0, 0x8000, 0x18)
        );
    }

    #[test]
    fn room_goes_back_with_the_last_data() {
        let store = Store::new(BLOCK, "/nonexistent".into());
        let mut block = Changed::new(false);
        block.write(&store, GRAIN, &[1; GRAIN as usize]).unwrap();
        block.set_data(1..2);
        assert_eq!(
            block.parts(100..3 * GRAIN).collect::<Vec<_>>(),
            [(100..GRAIN, Grain::Base), (GRAIN..2 * GRAIN, Grain::Data), (2 * GRAIN..3 * GRAIN, Grain::Base)]
        );
        block.set_zero(&store, 0..16);
        assert_eq!((block.data_grains(), block.grain(1)), (0, Grain::Zero));
        store.take().unwrap();
    }
}
