//! Compressed clusters (QEMU `block/qcow.c`: `decompress_cluster`): deflate without a header. [`Unpacker`].

use super::Reason;
use crate::bytes::Bytes;
use crate::cache::Cache;
use crate::error::Result;
use crate::source::Source;
use libdeflater::Decompressor;
use std::sync::{Arc, Mutex, PoisonError};

/// How many bytes of decompressed clusters are kept for readers that want less than a cluster.
const CACHE_BYTES: u64 = 4 << 20;

/// Where a compressed cluster is in the file, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packed {
    /// Which cluster of the disk.
    pub(super) cluster: u64,
    pub(super) offset: u64,
    pub(super) length: u64,
}

/// Reads compressed clusters, by any number of threads at once.
pub(super) struct Unpacker {
    /// Bytes of a cluster.
    cluster: u64,
    tools: Mutex<Vec<Tools>>,
    cache: Cache<Arc<[u8]>>,
}

struct Tools {
    decompressor: Decompressor,
    packed: Vec<u8>,
}

impl Unpacker {
    /// For clusters of `cluster` bytes.
    pub(super) fn new(cluster: u64) -> Self {
        Self { cluster, tools: Mutex::default(), cache: Cache::new((CACHE_BYTES / cluster) as usize) }
    }

    /// Fills `buf` with the bytes from `start` of a cluster. Whole clusters go straight to `buf`.
    pub(super) fn read(&self, source: &Source, packed: Packed, start: u64, buf: &mut [u8]) -> Result<()> {
        if start == 0 && buf.len() as u64 == self.cluster && self.cache.get(packed.cluster).is_none() {
            return self.unpack(source, packed, buf);
        }
        let cluster = self.cache.get_or_make(packed.cluster, || -> Result<_> {
            let mut cluster = vec![0; self.cluster as usize];
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
        let unpacked = read.map(|()| {
            let length = tools.decompressor.deflate_decompress(&tools.packed, out);
            length.is_ok_and(|length| length == out.len())
        });
        self.tools.lock().unwrap_or_else(PoisonError::into_inner).push(tools);
        if unpacked? {
            return Ok(());
        }
        Err(source.error(Some(packed.offset), Reason::Inflate { cluster: packed.cluster }))
    }
}
