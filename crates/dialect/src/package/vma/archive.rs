//! What is where in a VMA: [`Archive`].
//!
//! The format is that of `vma_spec.txt` in Proxmox' QEMU: a header with configurations and the names and sizes of devices;
//! then extents of up to 59 clusters of 64 KiB, each with a header that says of every cluster which of its 16 blocks of
//! 4 KiB are stored; those that are not are zeroes. Numbers are big-endian, but the lengths of blobs are not. Both kinds of
//! headers have an MD5 sum of themselves, taken with the sum's own bytes as zeroes.

use block::BlockRead;
use md5::{Digest, Md5};

/// What an archive begins with.
pub(super) const MAGIC: &[u8] = b"VMA\0";
/// What an extent begins with.
const EXTENT: &[u8] = b"VMAE";
/// The header's size without its blobs.
const HEADER: usize = 12288;
/// The largest header with its blobs. A configuration has some kilobytes.
const MAX_HEADER: usize = 16 << 20;
/// Where the header's fields are.
const SUM: usize = 32;
const CONFIGURATION_NAMES: usize = 2044;
const CONFIGURATION_DATA: usize = 3068;
const DEVICES: usize = 4096;
/// The size of a device's entry.
const DEVICE: usize = 32;
/// The size of an extent's header.
const EXTENT_HEADER: usize = 512;
/// Where its sum is.
const EXTENT_SUM: usize = 24;
/// Where its clusters are.
const CLUSTERS: usize = 40;
/// A cluster, and a block of one, in bytes.
pub(super) const CLUSTER: u64 = 64 << 10;
pub(super) const BLOCK: u64 = 4 << 10;

/// Why an archive is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VmaError {
    /// It cannot be read.
    #[error("the archive cannot be read")]
    Read(#[source] block::Error),
    /// It is of another version.
    #[error("the archive is of version {version}; version 1 is read")]
    Version {
        /// Its version.
        version: u32,
    },
    /// A header is not what it was when it was written.
    #[error("the header at byte {offset} does not have the MD5 sum that it says")]
    Sum {
        /// Where the header is, in bytes.
        offset: u64,
    },
    /// A structure makes no sense or reaches past the end.
    #[error("{what} at byte {offset} makes no sense, or reaches past the archive's end")]
    Damaged {
        /// What does.
        what: &'static str,
        /// Where, in bytes.
        offset: u64,
    },
    /// Clusters are missing at the end.
    #[error("the archive is cut off: it holds {found} of the {expected} clusters of {device:?}")]
    CutOff {
        /// The device.
        device: String,
        /// How many clusters it has.
        expected: u64,
        /// How many are there.
        found: u64,
    },
    /// The configuration is missing.
    #[error("the archive holds no qemu-server.conf")]
    NoConfiguration,
}

impl VmaError {
    /// What the administrator can do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::NoConfiguration => {
                "check that it is the backup of a virtual machine, not of something else"
            }
            _ => "check that the backup was copied whole (vma verify), or make it again",
        }
    }
}

type Result<T> = std::result::Result<T, VmaError>;

/// What is where in an archive.
pub(super) struct Archive {
    /// Files of text, by name.
    pub(super) configurations: Vec<(String, Vec<u8>)>,
    /// The devices.
    pub(super) devices: Vec<DeviceIndex>,
}

/// Where a device's clusters are.
pub(super) struct DeviceIndex {
    /// Its number in the archive.
    id: u8,
    /// Its name: `drive-scsi0`.
    pub(super) name: String,
    /// Its size in bytes.
    pub(super) size: u64,
    /// Clusters with something in them, in ascending order.
    pub(super) runs: Vec<Run>,
    /// How many clusters were listed, also those without anything.
    listed: u64,
}

/// Clusters that follow each other, in the device and in the archive, with the same blocks stored of each.
pub(super) struct Run {
    /// The first cluster.
    pub(super) cluster: u32,
    /// How many there are. More than one only when all blocks are stored.
    pub(super) count: u32,
    /// Which blocks of a cluster are stored, the lowest bit for the first.
    pub(super) mask: u16,
    /// Where the first stored block is, in bytes.
    pub(super) offset: u64,
}

impl Archive {
    /// Reads the header, and the headers of all extents.
    pub(super) fn read(file: &dyn BlockRead) -> Result<Self> {
        let mut header = read(file, 0, HEADER, "the header")?;
        let version = u32_at(&header, 4).unwrap_or(0);
        if version != 1 {
            return Err(VmaError::Version { version });
        }
        let damaged = || VmaError::Damaged { what: "the header", offset: 0 };
        let size = u32_at(&header, 56).and_then(|size| usize::try_from(size).ok());
        let size = size.filter(|size| (HEADER..=MAX_HEADER).contains(size)).ok_or_else(damaged)?;
        header = read(file, 0, size, "the header")?;
        check_sum(&header, SUM, 0)?;
        let uuid: [u8; 16] = array(&header, 8).ok_or_else(damaged)?;
        let mut devices = devices(&header);
        let mut at = size as u64;
        while at < file.size() {
            at = extent(file, at, &uuid, &mut devices)?;
        }
        for device in &mut devices {
            device.finish()?;
        }
        Ok(Self { configurations: configurations(&header), devices })
    }
}

impl DeviceIndex {
    fn clusters(&self) -> u64 {
        self.size.div_ceil(CLUSTER)
    }

    /// Takes in a cluster of which the blocks of `mask` are at `offset`.
    fn add(&mut self, cluster: u32, mask: u16, offset: u64) {
        self.listed = self.listed.saturating_add(1);
        if mask == 0 {
            return;
        }
        if let Some(last) = self.runs.last_mut()
            && mask == u16::MAX
            && last.mask == u16::MAX
            && last.cluster.checked_add(last.count) == Some(cluster)
            && last.offset.saturating_add(u64::from(last.count).saturating_mul(CLUSTER)) == offset
        {
            last.count = last.count.saturating_add(1);
            return;
        }
        self.runs.push(Run { cluster, count: 1, mask, offset });
    }

    /// Puts the runs in order. Every cluster must be there, and none twice.
    fn finish(&mut self) -> Result<()> {
        self.runs.sort_by_key(|run| run.cluster);
        let twice = self.runs.windows(2).find_map(|pair| match pair {
            [a, b] if u64::from(a.cluster) + u64::from(a.count) > u64::from(b.cluster) => Some(b.offset),
            _ => None,
        });
        if let Some(offset) = twice {
            return Err(VmaError::Damaged { what: "a cluster that is there twice,", offset });
        }
        if self.listed != self.clusters() {
            let (device, expected, found) = (self.name.clone(), self.clusters(), self.listed);
            return Err(VmaError::CutOff { device, expected, found });
        }
        Ok(())
    }
}

/// Reads the header of the extent at `at`, and answers where the next one is.
fn extent(file: &dyn BlockRead, at: u64, uuid: &[u8; 16], devices: &mut [DeviceIndex]) -> Result<u64> {
    let damaged = || VmaError::Damaged { what: "the extent", offset: at };
    let header = read(file, at, EXTENT_HEADER, "the extent")?;
    if !header.starts_with(EXTENT) || array(&header, 8).as_ref() != Some(uuid) {
        return Err(damaged());
    }
    check_sum(&header, EXTENT_SUM, at)?;
    let blocks = u64::from(u16::from_be_bytes(array(&header, 6).ok_or_else(damaged)?));
    let first = at.saturating_add(EXTENT_HEADER as u64);
    let end = first.saturating_add(blocks.saturating_mul(BLOCK));
    if end > file.size() {
        return Err(damaged());
    }
    let mut offset = first;
    for entry in header.get(CLUSTERS..).unwrap_or_default().chunks_exact(8) {
        // Which blocks are stored (16 bits), nothing (8), the device (8), the cluster (32).
        let [mask_high, mask_low, _, id, a, b, c, d] = <[u8; 8]>::try_from(entry).map_err(|_| damaged())?;
        if id == 0 {
            continue;
        }
        let (mask, cluster) = (u16::from_be_bytes([mask_high, mask_low]), u32::from_be_bytes([a, b, c, d]));
        let device = devices.iter_mut().find(|device| device.id == id).ok_or_else(damaged)?;
        if u64::from(cluster) >= device.clusters() {
            return Err(damaged());
        }
        device.add(cluster, mask, offset);
        offset = offset.saturating_add(u64::from(mask.count_ones()).saturating_mul(BLOCK));
    }
    if offset == end { Ok(end) } else { Err(damaged()) }
}

/// The devices that the header names. Number 0 is none.
fn devices(header: &[u8]) -> Vec<DeviceIndex> {
    let entries = header.get(DEVICES..HEADER).unwrap_or_default().chunks_exact(DEVICE);
    let device = |(id, entry): (u8, &[u8])| {
        let name = text(blob(header, u32_at(entry, 0)?)?);
        let size = u64::from_be_bytes(array(entry, 8)?);
        (id != 0).then_some(DeviceIndex { id, name, size, runs: Vec::new(), listed: 0 })
    };
    (0..=u8::MAX).zip(entries).filter_map(device).collect()
}

fn configurations(header: &[u8]) -> Vec<(String, Vec<u8>)> {
    let configuration = |index: usize| {
        let name = blob(header, u32_at(header, CONFIGURATION_NAMES + 4 * index)?)?;
        let data = blob(header, u32_at(header, CONFIGURATION_DATA + 4 * index)?)?;
        Some((text(name), data.to_vec()))
    };
    // The configuration is one of the first; 256 that share one blob would make a lot of it.
    (0..16).filter_map(configuration).collect()
}

/// The blob at that place in the header's buffer; place 0 is none.
fn blob(header: &[u8], place: u32) -> Option<&[u8]> {
    let (start, size) = (u32_at(header, 48)?, u32_at(header, 52)?);
    let start = usize::try_from(start).ok()?;
    let buffer = header.get(start..start.checked_add(usize::try_from(size).ok()?)?)?;
    let place = usize::try_from(place).ok().filter(|place| *place != 0)?;
    let length = usize::from(u16::from_le_bytes(array(buffer, place)?));
    buffer.get(place.checked_add(2)?..)?.get(..length)
}

/// Names end with NUL.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned()
}

fn read(file: &dyn BlockRead, offset: u64, size: usize, what: &'static str) -> Result<Vec<u8>> {
    let end = offset.checked_add(size as u64).filter(|end| *end <= file.size());
    end.ok_or(VmaError::Damaged { what, offset })?;
    let mut bytes = vec![0; size];
    file.read_at(&mut bytes, offset).map_err(VmaError::Read)?;
    Ok(bytes)
}

/// That a header has the sum that stands at `at` in it.
fn check_sum(header: &[u8], at: usize, offset: u64) -> Result<()> {
    let wrong = || VmaError::Sum { offset };
    let (before, rest) = header.split_at_checked(at).ok_or_else(wrong)?;
    let (said, after) = rest.split_at_checked(16).ok_or_else(wrong)?;
    let sum = Md5::new().chain_update(before).chain_update([0; 16]).chain_update(after).finalize();
    if sum.as_slice() == said { Ok(()) } else { Err(wrong()) }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_be_bytes)
}
