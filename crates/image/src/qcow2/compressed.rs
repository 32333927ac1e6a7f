//! Compressed clusters (QEMU `docs/interop/qcow2.rst`, "Compressed Clusters Descriptor"): [`Unpacker`].

use super::Reason;
use super::geometry::Geometry;
use super::header::Compression;
use crate::bytes::Bytes;
use crate::cache::Cache;
use crate::error::Result;
use crate::source::Source;
use libdeflater::Decompressor;
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};

/// How many bytes of decompressed clusters are kept for readers that want less than a cluster.
const CACHE_BYTES: u64 = 8 << 20;

/// Where a compressed cluster is in the file, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packed {
    cluster: u64,
    offset: u64,
    length: u64,
}

/// Reads compressed clusters, by any number of threads at once.
pub(super) struct Unpacker {
    geometry: Geometry,
    compression: Compression,
    tools: Mutex<Vec<Tools>>,
    cache: Cache<Arc<[u8]>>,
}

struct Tools {
    decompressor: Decompressor,
    packed: Vec<u8>,
}

impl Unpacker {
    pub(super) fn new(geometry: Geometry, compression: Compression) -> Self {
        Self {
            geometry,
            compression,
            tools: Mutex::default(),
            cache: Cache::new((CACHE_BYTES / geometry.cluster()) as usize),
        }
    }

    /// What an L2 entry with the compressed bit says, clipped to the file: the last sector need not be whole.
    pub(super) fn locate(&self, source: &Source, cluster: u64, descriptor: u64) -> Result<Packed> {
        let run = self.geometry.compressed(descriptor);
        match source.size().checked_sub(run.offset) {
            Some(available) if available > 0 => {
                Ok(Packed { cluster, offset: run.offset, length: run.length.min(available) })
            }
            _ => Err(source.error(Some(run.offset), Reason::Cluster { cluster })),
        }
    }

    /// Fills `buf` with the bytes from `start` of a cluster. Whole clusters go straight to `buf`.
    pub(super) fn read(&self, source: &Source, packed: Packed, start: u64, buf: &mut [u8]) -> Result<()> {
        let size = self.geometry.cluster() as usize;
        if start == 0 && buf.len() == size && self.cache.get(packed.cluster).is_none() {
            return self.unpack(source, packed, buf);
        }
        let cluster = self.cache.get_or_make(packed.cluster, || -> Result<_> {
            let mut cluster = vec![0; size];
            self.unpack(source, packed, &mut cluster)?;
            Ok(Arc::<[u8]>::from(cluster))
        })?;
        if let Some(part) = cluster.get(start as usize..).and_then(|rest| rest.get(..buf.len())) {
            buf.copy_from_slice(part);
        }
        Ok(())
    }

    fn unpack(&self, source: &Source, packed: Packed, out: &mut [u8]) -> Result<()> {
        let kept = self.tools.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut tools =
            kept.unwrap_or_else(|| Tools { decompressor: Decompressor::new(), packed: Vec::new() });
        tools.packed.resize(packed.length as usize, 0);
        let read = source.read(&mut tools.packed, packed.offset);
        let unpacked = read.map(|()| match self.compression {
            // What follows the data in its last sector is not looked at.
            Compression::Deflate => tools
                .decompressor
                .deflate_decompress(&tools.packed, out)
                .is_ok_and(|length| length == out.len()),
            Compression::Zstd => zstd::stream::read::Decoder::with_buffer(tools.packed.as_slice())
                .and_then(|decoder| decoder.single_frame().read_exact(out))
                .is_ok(),
        });
        self.tools.lock().unwrap_or_else(PoisonError::into_inner).push(tools);
        if unpacked? {
            return Ok(());
        }
        Err(source.error(Some(packed.offset), Reason::Inflate { cluster: packed.cluster }))
    }
}
