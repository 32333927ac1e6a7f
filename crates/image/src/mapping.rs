//! What formats with tables have in common: [`Mapping`] says where bytes lie, [`Mapped`] makes a disk of it.

use crate::bytes::Bytes;
use crate::error::{Error, Result};
use crate::source::Source;
use block::{BlockRead, Extent, Extents, check_range, check_span};
use std::ops::Range;

/// Bytes of a disk that lie in one way.
#[derive(Clone, Debug)]
pub(crate) struct Piece<P> {
    /// Which bytes of the disk.
    pub(crate) range: Range<u64>,
    /// Where they are.
    pub(crate) place: Place<P>,
}

/// Where bytes of a disk are.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place<P> {
    /// Not in this layer.
    Absent,
    /// Nowhere: they are zeroes.
    Zero,
    /// In the file from this byte, in order.
    Stored(u64),
    /// Compressed, in a unit that the format describes.
    Packed(P),
}

/// Takes pieces one after the other.
pub(crate) type See<'a, P> = &'a mut dyn FnMut(Piece<P>) -> Result<()>;

/// A format that keeps tables of where its units are.
pub(crate) trait Mapping: Send + Sync {
    /// How the format describes a compressed unit.
    type Packed: Copy;

    /// The file that holds the data.
    fn source(&self) -> &Source;

    /// The disk's size in bytes.
    fn size(&self) -> u64;

    /// Hands on the pieces of `range`, which lies within the disk, in order, none empty. Places in the file have
    /// been compared with the file's size. A compressed piece lies within one unit.
    fn visit(&self, range: Range<u64>, see: See<Self::Packed>) -> Result<()>;

    /// Fills `buf` from byte `offset` of the disk, all of which lies in one compressed unit.
    fn read_packed(&self, packed: Self::Packed, offset: u64, buf: &mut [u8]) -> Result<()>;
}

/// The disk that a [`Mapping`] describes.
pub(crate) struct Mapped<M>(pub(crate) M);

impl<M: Mapping> Mapped<M> {
    /// The pieces of `range`, neighbours that lie in a row joined to one.
    fn joined(&self, range: Range<u64>, see: See<M::Packed>) -> Result<()> {
        let mut pending: Option<Piece<M::Packed>> = None;
        self.0.visit(range, &mut |next| {
            if let Some(last) = &mut pending
                && in_a_row(last, &next)
            {
                last.range.end = next.range.end;
                return Ok(());
            }
            pending.replace(next).map_or(Ok(()), &mut *see)
        })?;
        pending.map_or(Ok(()), see)
    }

    fn read_piece(&self, piece: &Piece<M::Packed>, buf: &mut [u8]) -> Result<()> {
        match piece.place {
            Place::Absent | Place::Zero => buf.fill(0),
            Place::Stored(offset) => self.0.source().read(buf, offset)?,
            Place::Packed(packed) => self.0.read_packed(packed, piece.range.start, buf)?,
        }
        Ok(())
    }
}

fn in_a_row<P>(last: &Piece<P>, next: &Piece<P>) -> bool {
    let length = last.range.end - last.range.start;
    match (&last.place, &next.place) {
        (Place::Absent, Place::Absent) | (Place::Zero, Place::Zero) => true,
        (Place::Stored(here), Place::Stored(there)) => here + length == *there,
        _ => false,
    }
}

impl<M: Mapping> BlockRead for Mapped<M> {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> block::Result<()> {
        check_range(offset, buf.len() as u64, self.size())?;
        let range = offset..offset + buf.len() as u64;
        let mut rest = buf;
        self.joined(range, &mut |piece| {
            let length = (piece.range.end - piece.range.start) as usize;
            let (head, tail) = std::mem::take(&mut rest).split_at_mut(length);
            rest = tail;
            self.read_piece(&piece, head)
        })?;
        Ok(())
    }

    fn extents(&self, range: Range<u64>) -> block::Result<Vec<Extent>> {
        check_span(&range, self.size())?;
        let mut extents = Extents::new();
        self.joined(range, &mut |piece| {
            match piece.place {
                Place::Absent => extents.push(Extent::absent(piece.range)),
                Place::Zero => extents.push(Extent::zero(piece.range)),
                Place::Packed(_) => extents.push(Extent::data(piece.range)),
                Place::Stored(offset) => extents.extend(stored(self.0.source(), offset, &piece.range)?),
            }
            Ok(())
        })?;
        Ok(extents.into_vec())
    }
}

/// What the file says of `range` of a disk that lies in it from byte `offset`: its holes are zeroes.
fn stored(source: &Source, offset: u64, range: &Range<u64>) -> Result<Vec<Extent>> {
    let length = range.end - range.start;
    let below = source
        .disk
        .extents(offset..offset + length)
        .map_err(|error| Error::Read { path: source.path.clone(), source: error })?;
    let moved = below.into_iter().map(|extent| {
        let start = range.start + (extent.range.start - offset);
        extent.without_parent().moved_to(start)
    });
    Ok(moved.collect())
}
