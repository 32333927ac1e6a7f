//! A remote export as a disk.

mod connection;
mod coverage;
mod handshake;
mod pool;

use crate::error::{Error, Result};
use crate::protocol::{MAX_PAYLOAD, MAX_STRING, allocation, command, flag};
use block::{BlockRead, BlockWrite, Extent, Extents, check_range, check_span};
use connection::Status;
use pool::Pool;
use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::{PoisonError, RwLock};

/// How much is zeroed or asked about in one request, in bytes. The protocol would allow four times as much.
const MAX_RANGE: u64 = 1 << 30;
/// How many extents one answer may have before the rest of the range is called data: a server that finds one for
/// every byte must not fill our memory.
const MAX_EXTENTS: usize = 1 << 20;

/// What the server says of an export. It may not change while we use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Geometry {
    /// In bytes.
    size: u64,
    /// The transmission flags.
    flags: u16,
    /// What offsets and lengths of requests must be multiples of, in bytes; a power of two.
    minimum: u32,
    /// The longest payload, in bytes; a multiple of `minimum`.
    maximum: u32,
}

impl Geometry {
    fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }
}

/// A remote export as a disk.
///
/// Requests of several threads go over several connections, where the server promises that these are one disk
/// (`NBD_FLAG_CAN_MULTI_CONN`). A connection that breaks fails the request that it carried; the next request makes a
/// new one. Offsets and lengths may be any: where the server asks for whole blocks, they are read and, at the edges of a
/// write, read, changed and written back.
///
/// [`flush`](BlockWrite::flush) does nothing when the server has nothing to flush with. Zeroing writes zeroes
/// where the server has no request for it, and so does discarding: `NBD_CMD_TRIM` would leave the range undefined.
pub struct Client {
    export: String,
    geometry: Geometry,
    pool: Pool,
    /// Held exclusively while the edge of a write is read, changed and written back.
    edges: RwLock<()>,
}

impl fmt::Debug for Client {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Client")
            .field("export", &self.export)
            .field("geometry", &self.geometry)
            .finish()
    }
}

impl Client {
    /// Connects to the Unix socket at `path` and chooses `export`.
    ///
    /// # Errors
    /// [`Error::Socket`] when nobody listens there, [`Error::Refused`] when there is no such export,
    /// [`Error::Protocol`], [`Error::Unexpected`] or [`Error::OldServer`] when the server is none or too old.
    pub fn connect(path: impl AsRef<Path>, export: impl Into<String>) -> Result<Self> {
        let export = export.into();
        if export.len() > MAX_STRING {
            return Err(Error::NameTooLong { length: export.len() });
        }
        let (pool, geometry) = Pool::connect(path.as_ref(), &export)?;
        Ok(Self { export, geometry, pool, edges: RwLock::new(()) })
    }

    /// Whether the server allows no writes.
    pub fn is_read_only(&self) -> bool {
        self.geometry.has(flag::READ_ONLY)
    }

    fn check_writable(&self) -> Result<()> {
        if self.is_read_only() { Err(Error::ReadOnly { export: self.export.clone() }) } else { Ok(()) }
    }

    /// The smallest range of whole blocks around `range`.
    fn aligned(&self, range: &Range<u64>) -> Range<u64> {
        let unit = u64::from(self.geometry.minimum);
        let end = range.end.checked_next_multiple_of(unit).unwrap_or(range.end);
        range.start / unit * unit..end.min(self.geometry.size)
    }

    /// Cuts `range` where the server's greatest payload asks for it.
    fn payloads(&self, range: Range<u64>) -> impl Iterator<Item = Range<u64>> + use<> {
        pieces(range, self.geometry.maximum.into())
    }

    /// Reads a piece of at most the greatest payload.
    fn read_piece(&self, buf: &mut [u8], range: Range<u64>) -> Result<()> {
        let whole = self.aligned(&range);
        if whole == range {
            return self.pool.with(|connection| connection.read(buf, range.start));
        }
        let mut bounce = vec![0; (whole.end - whole.start) as usize];
        self.pool.with(|connection| connection.read(&mut bounce, whole.start))?;
        let skipped = (range.start - whole.start) as usize;
        buf.copy_from_slice(&bounce[skipped..skipped + buf.len()]);
        Ok(())
    }

    /// Writes a piece of at most the greatest payload.
    fn write_piece(&self, data: &[u8], range: Range<u64>) -> Result<()> {
        let whole = self.aligned(&range);
        if whole == range {
            let _shared = self.edges.read().unwrap_or_else(PoisonError::into_inner);
            return self.pool.with(|connection| connection.write(data, range.start));
        }
        let _exclusive = self.edges.write().unwrap_or_else(PoisonError::into_inner);
        let mut bounce = vec![0; (whole.end - whole.start) as usize];
        self.pool.with(|connection| connection.read(&mut bounce, whole.start))?;
        let skipped = (range.start - whole.start) as usize;
        bounce[skipped..skipped + data.len()].copy_from_slice(data);
        self.pool.with(|connection| connection.write(&bounce, whole.start))
    }

    fn write_range(&self, range: &Range<u64>, data: impl Fn(&Range<u64>) -> Vec<u8>) -> Result<()> {
        self.payloads(range.clone()).try_for_each(|piece| self.write_piece(&data(&piece), piece))
    }

    fn write_zeroes(&self, range: &Range<u64>) -> Result<()> {
        self.write_range(range, |piece| vec![0; (piece.end - piece.start) as usize])
    }

    fn zero_range(&self, range: &Range<u64>) -> Result<()> {
        let unit = u64::from(self.geometry.minimum);
        let first = range.start.next_multiple_of(unit).min(range.end);
        let last = (range.end / unit * unit).max(first);
        if !self.geometry.has(flag::SEND_WRITE_ZEROES) || first == last {
            return self.write_zeroes(range);
        }
        self.write_zeroes(&(range.start..first))?;
        for piece in pieces(first..last, MAX_RANGE) {
            let _shared = self.edges.read().unwrap_or_else(PoisonError::into_inner);
            self.pool.with(|connection| connection.change(command::WRITE_ZEROES, piece.clone()))?;
        }
        self.write_zeroes(&(last..range.end))
    }

    /// The server's word on `range`, which is cut there.
    fn map(&self, range: Range<u64>) -> Result<Vec<Extent>> {
        let mut extents = Extents::new();
        let (mut start, mut count) = (range.start, 0);
        while start < range.end {
            let piece = self.aligned(&(start..range.end.min(start.saturating_add(MAX_RANGE))));
            let status = match self.pool.with(|connection| connection.block_status(piece.clone()))? {
                Status::Known(status) if count < MAX_EXTENTS => status,
                _ => {
                    extents.push(Extent::data(start..range.end));
                    break;
                }
            };
            let mut at = piece.start;
            for descriptor in status {
                let end = at.saturating_add(descriptor.length.get().into()).min(range.end);
                let said = at.max(start)..end;
                at = end;
                count += 1;
                if said.start < said.end {
                    let zero = descriptor.flags.get() & allocation::ZERO != 0;
                    extents.push(if zero { Extent::zero(said) } else { Extent::data(said) });
                }
            }
            if at <= start {
                return Err(Error::Protocol { reason: "a block status says nothing of the range" });
            }
            start = at;
        }
        Ok(extents.into_vec())
    }
}

/// Cuts `range` into pieces that end at multiples of `longest`.
fn pieces(range: Range<u64>, longest: u64) -> impl Iterator<Item = Range<u64>> {
    let mut start = range.start;
    std::iter::from_fn(move || {
        let end = (start / longest + 1).saturating_mul(longest).min(range.end);
        let piece = start..end;
        start = end;
        (piece.start < piece.end).then_some(piece)
    })
}

impl BlockRead for Client {
    fn size(&self) -> u64 {
        self.geometry.size
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> block::Result<()> {
        check_range(offset, buf.len() as u64, self.geometry.size)?;
        let mut rest = &mut *buf;
        for piece in self.payloads(offset..offset + rest.len() as u64) {
            let (head, tail) = rest.split_at_mut((piece.end - piece.start) as usize);
            self.read_piece(head, piece)?;
            rest = tail;
        }
        Ok(())
    }

    fn extents(&self, range: Range<u64>) -> block::Result<Vec<Extent>> {
        check_span(&range, self.geometry.size)?;
        Ok(self.map(range)?)
    }
}

impl BlockWrite for Client {
    fn write_at(&self, data: &[u8], offset: u64) -> block::Result<()> {
        check_range(offset, data.len() as u64, self.geometry.size)?;
        self.check_writable()?;
        let mut rest = data;
        for piece in self.payloads(offset..offset + data.len() as u64) {
            let (head, tail) = rest.split_at((piece.end - piece.start) as usize);
            self.write_piece(head, piece)?;
            rest = tail;
        }
        Ok(())
    }

    fn zero(&self, range: Range<u64>) -> block::Result<()> {
        check_span(&range, self.geometry.size)?;
        self.check_writable()?;
        Ok(self.zero_range(&range)?)
    }

    fn discard(&self, range: Range<u64>) -> block::Result<()> {
        self.zero(range)
    }

    fn flush(&self) -> block::Result<()> {
        if self.geometry.has(flag::SEND_FLUSH) {
            self.pool.with(|connection| connection.change(command::FLUSH, 0..0))?;
        }
        Ok(())
    }
}

const _: () = assert!(MAX_PAYLOAD.is_power_of_two());
