//! Cylinders, heads and sectors ("Virtual Hard Disk Image Format Specification", Appendix: CHS Calculation).

use super::footer::SECTOR;
use zerocopy::big_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// What an ATA disk of the time could say of itself at most, in sectors.
const MAX_SECTORS: u64 = 65_535 * 16 * 255;

/// The footer's disk geometry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct Geometry {
    cylinders: U16,
    heads: u8,
    sectors_per_track: u8,
}

impl Geometry {
    /// The geometry that the specification computes for a disk of `size` bytes. It says at most what the disk has, and
    /// at most 127 GiB.
    pub(super) fn of(size: u64) -> Self {
        let sectors = (size / SECTOR).min(MAX_SECTORS);
        let (heads, sectors_per_track) = if sectors > 65_535 * 16 * 63 {
            (16, 255)
        } else {
            let tracks = sectors / 17;
            let heads = tracks.div_ceil(1024).max(4);
            if heads <= 16 && tracks < heads * 1024 {
                (heads, 17)
            } else if sectors / 31 < 16 * 1024 {
                (16, 31)
            } else {
                (16, 63)
            }
        };
        let cylinders = sectors / sectors_per_track / heads;
        Self {
            cylinders: (cylinders as u16).into(),
            heads: heads as u8,
            sectors_per_track: sectors_per_track as u8,
        }
    }

    /// The disk's size in bytes; `None` where the geometry says nothing: it is empty, or the most that there is.
    pub(super) fn size(&self) -> Option<u64> {
        let tracks = u64::from(self.cylinders.get()) * u64::from(self.heads);
        let sectors = tracks * u64::from(self.sectors_per_track);
        (sectors != 0 && sectors != MAX_SECTORS).then_some(sectors * SECTOR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn geometries_are_those_of_other_products() {
        // From images of Windows 10, XenServer, and Hyper-V: the size in bytes, and what their footers say.
        for (size, expected) in [
            (4 << 20, [0, 0x78, 4, 0x11]),
            (16 << 20, [1, 0xe1, 4, 0x11]),
            (136_365_211_648, [0xfe, 0xfe, 0x10, 0xff]),
        ] {
            assert_eq!(Geometry::of(size).as_bytes(), expected, "{size}");
        }
        assert_eq!(Geometry::of(2040 << 30).as_bytes(), [0xff, 0xff, 16, 255]);
        assert_eq!(Geometry::of(2040 << 30).size(), None);
        assert_eq!(Geometry::of(0).size(), None);
    }

    #[test]
    fn a_geometry_never_says_more_than_the_disk_has() {
        for size in (0..2_u64 << 30).step_by(7_654_321).chain((0..200 << 30).step_by(987_654_321)) {
            let geometry = Geometry::of(size);
            assert!(geometry.size().unwrap_or(0) <= size);
            let lost = size - geometry.size().unwrap_or(0).min(size);
            assert!(geometry.size().is_none() || lost < 16 * 255 * 512 + 512, "{size}");
        }
    }
}
