//! What compresses the clusters of a new image ([`packers`]; QEMU `docs/interop/qcow2.rst`, "Compressed Clusters
//! Descriptor").

use super::super::geometry::Geometry;
use crate::copy::{Packer, Packers};
use crate::create::Compression;
use crate::deflate::Deflater;
use std::io;

/// How hard zstd looks.
const ZSTD_LEVEL: i32 = 3;

/// Packers for clusters of this geometry.
pub(super) fn packers(compression: Compression, geometry: Geometry) -> Packers {
    let size = geometry.cluster() as usize;
    Box::new(move || match compression {
        Compression::Zlib => Box::new(ClusterPacker { size, padded: Vec::new(), pack: Deflater::new() }),
        Compression::Zstd => Box::new(ClusterPacker { size, padded: Vec::new(), pack: Zstd::default() }),
    })
}

/// A way to compress.
trait Pack {
    /// Adds `data`, compressed, to the end of `packed`, when that takes at most `limit` bytes. Otherwise answers
    /// `false`, with `packed` as it was.
    fn pack(&mut self, data: &[u8], limit: usize, packed: &mut Vec<u8>) -> io::Result<bool>;
}

/// Compresses whole clusters.
struct ClusterPacker<P> {
    /// Bytes of a cluster.
    size: usize,
    /// The disk's last cluster, with zeroes up to a whole one.
    padded: Vec<u8>,
    pack: P,
}

impl<P: Pack> Packer for ClusterPacker<P> {
    fn pack(&mut self, _start: u64, data: &[u8], packed: &mut Vec<u8>) -> io::Result<bool> {
        let limit = self.size - 1;
        if data.len() == self.size {
            return self.pack.pack(data, limit, packed);
        }
        self.padded.clear();
        self.padded.extend_from_slice(data);
        self.padded.resize(self.size, 0);
        self.pack.pack(&self.padded, limit, packed)
    }
}

impl Pack for Deflater {
    fn pack(&mut self, data: &[u8], limit: usize, packed: &mut Vec<u8>) -> io::Result<bool> {
        Ok(self.compress(data, limit, packed))
    }
}

/// Zstandard, a frame a cluster.
#[derive(Default)]
struct Zstd(Option<zstd::bulk::Compressor<'static>>);

impl Pack for Zstd {
    fn pack(&mut self, data: &[u8], limit: usize, packed: &mut Vec<u8>) -> io::Result<bool> {
        let compressor = match &mut self.0 {
            Some(compressor) => compressor,
            none => none.insert(zstd::bulk::Compressor::new(ZSTD_LEVEL)?),
        };
        let before = packed.len();
        packed.resize(before + limit, 0);
        // The one reason for which this fails is that there is too little room.
        let written = compressor.compress_to_buffer(data, packed.get_mut(before..).unwrap_or_default());
        packed.truncate(before + written.as_ref().copied().unwrap_or(0));
        Ok(written.is_ok())
    }
}
