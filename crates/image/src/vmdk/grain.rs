//! Compressed grains: [`Inflater`].

use super::Reason;
use super::header::{Geometry, SECTOR};
use super::marker::{MARKER, Marker};
use crate::bytes::Bytes;
use crate::cache::Cache;
use crate::error::Result;
use crate::source::Source;
use libdeflater::{DecompressionError, Decompressor};
use std::sync::{Arc, Mutex, PoisonError};
use zerocopy::FromBytes;

/// How many bytes of decompressed grains are kept for readers that want less than a grain.
const CACHE_BYTES: u64 = 2 << 20;

/// Where a compressed grain is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packed {
    /// Which grain.
    pub(super) grain: u64,
    /// Its place in the file, in bytes: that of its marker where there are markers.
    pub(super) offset: u64,
    /// How many bytes to read at once: up to where the next grain starts, or a guess.
    pub(super) span: u64,
}

/// Reads compressed grains, by any number of threads at once.
pub(super) struct Inflater {
    grain: u64,
    capacity: u64,
    /// Whether markers say which grain it is, and how long.
    markers: bool,
    /// What threads use in turn: a decompressor and the compressed bytes.
    tools: Mutex<Vec<Tools>>,
    cache: Cache<Arc<[u8]>>,
}

struct Tools {
    decompressor: Decompressor,
    packed: Vec<u8>,
}

impl Inflater {
    pub(super) fn new(geometry: &Geometry) -> Self {
        Self {
            grain: geometry.grain,
            capacity: geometry.capacity,
            markers: geometry.markers,
            tools: Mutex::default(),
            cache: Cache::new((CACHE_BYTES / geometry.grain) as usize),
        }
    }

    /// The most bytes that a marker and its grain may take: deflate expands what it cannot compress by less
    /// than this.
    pub(super) fn most(&self) -> u64 {
        self.grain + self.grain / 8 + SECTOR
    }

    /// Fills `buf` with the bytes from `start` of a grain. Whole grains go straight to `buf`; what is asked for
    /// in parts is kept for the next part.
    pub(super) fn read(&self, source: &Source, packed: Packed, start: u64, buf: &mut [u8]) -> Result<()> {
        let whole = start == 0 && buf.len() as u64 == self.grain;
        if whole && self.cache.get(packed.grain).is_none() {
            return self.inflate(source, packed, buf);
        }
        let grain = self.cache.get_or_make(packed.grain, || -> Result<_> {
            let mut grain = vec![0; self.grain as usize];
            self.inflate(source, packed, &mut grain)?;
            Ok(Arc::<[u8]>::from(grain))
        })?;
        if let Some(part) = grain.get(start as usize..).and_then(|rest| rest.get(..buf.len())) {
            buf.copy_from_slice(part);
        }
        Ok(())
    }

    /// Decompresses one grain into `out`, which is as long as a grain.
    fn inflate(&self, source: &Source, packed: Packed, out: &mut [u8]) -> Result<()> {
        let mut tools = self.take();
        let result = self.inflate_with(&mut tools, source, packed, out);
        self.tools.lock().unwrap_or_else(PoisonError::into_inner).push(tools);
        result.unwrap_or_else(|reason| Err(source.error(Some(packed.offset), reason)))
    }

    fn take(&self) -> Tools {
        let kept = self.tools.lock().unwrap_or_else(PoisonError::into_inner).pop();
        kept.unwrap_or_else(|| Tools { decompressor: Decompressor::new(), packed: Vec::new() })
    }

    fn inflate_with(
        &self,
        tools: &mut Tools,
        source: &Source,
        packed: Packed,
        out: &mut [u8],
    ) -> Result<Result<()>, Reason> {
        let Packed { grain, offset, span } = packed;
        let outside = Reason::GrainOutside { grain, sector: offset / SECTOR };
        let available =
            source.size().checked_sub(offset).filter(|rest| *rest >= MARKER as u64).ok_or(outside.clone())?;
        if let Err(error) = fill(&mut tools.packed, source, offset, span.min(available)) {
            return Ok(Err(error));
        }
        if !self.markers {
            // The zlib stream says itself where it ends.
            return self.decompress(&mut tools.decompressor, grain, &tools.packed, out).map(Ok);
        }
        let length = self.marked_length(grain, &tools.packed)?;
        if length > available {
            return Err(outside);
        }
        if length > tools.packed.len() as u64
            && let Err(error) = fill(&mut tools.packed, source, offset, length)
        {
            return Ok(Err(error));
        }
        let data = tools.packed.get(MARKER..length as usize).ok_or(outside)?;
        self.decompress(&mut tools.decompressor, grain, data, out).map(Ok)
    }

    /// How long `grain` and its marker are, with which `packed` begins.
    fn marked_length(&self, grain: u64, packed: &[u8]) -> Result<u64, Reason> {
        let (marker, _) =
            Marker::ref_from_prefix(packed).map_err(|_| Reason::Truncated { what: "marker of a grain" })?;
        let (lba, size) = (marker.value.get(), marker.size.get());
        if lba.checked_mul(SECTOR) != Some(grain * self.grain) {
            return Err(Reason::MarkerMismatch { grain, lba });
        }
        let length = MARKER as u64 + u64::from(size);
        if length > self.most() {
            return Err(Reason::GrainTooLarge { grain, size });
        }
        Ok(length)
    }

    fn decompress(
        &self,
        decompressor: &mut Decompressor,
        grain: u64,
        data: &[u8],
        out: &mut [u8],
    ) -> Result<(), Reason> {
        let actual = decompressor.zlib_decompress(data, out).map_err(|error| match error {
            DecompressionError::BadData | DecompressionError::InsufficientSpace => Reason::Inflate { grain },
        })?;
        // The last grain may end where the disk does.
        let expected = (self.capacity - grain * self.grain).min(self.grain) as usize;
        if actual < expected {
            return Err(Reason::ShortGrain { grain, actual, expected });
        }
        if let Some(rest) = out.get_mut(actual..) {
            rest.fill(0);
        }
        Ok(())
    }
}

fn fill(buffer: &mut Vec<u8>, source: &Source, offset: u64, length: u64) -> Result<()> {
    buffer.resize(length as usize, 0);
    source.read(buffer, offset)
}
