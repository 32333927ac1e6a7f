//! What a new qcow2 image is to be, checked against what the format can: [`Plan`].

use super::super::geometry::{Geometry, MAX_L1};
use super::header;
use crate::copy::Place;
use crate::create::{Compression, NewImage};
use crate::error::{Error, Result};

/// Bits of a cluster's size: QEMU's own choice.
const CLUSTER_BITS: u32 = 16;
/// The sizes of a cluster that the format knows, as powers of two.
const ALL_CLUSTER_BITS: std::ops::RangeInclusive<u32> = 9..=21;

/// Where the guest's data goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Data {
    /// Behind what there is, as it comes.
    Next,
    /// Every byte of the disk to its own place behind this one.
    Fixed(Place),
}

/// What a new image is to be.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) name: String,
    /// The disk's size in bytes: whole sectors, which is what QEMU counts in.
    pub(super) size: u64,
    pub(super) geometry: Geometry,
    pub(super) compression: Option<Compression>,
    pub(super) preallocate: bool,
    /// The name of the file that takes the guest's data.
    pub(super) data_file: Option<String>,
    pub(super) backing: Option<Backing>,
    pub(super) data: Data,
}

/// The image below, as the header names it.
#[derive(Debug)]
pub(super) struct Backing {
    pub(super) name: String,
    /// By QEMU's name for it.
    pub(super) format: &'static str,
    /// The size of its disk in bytes.
    pub(super) size: u64,
}

impl Plan {
    pub(super) fn new(size: u64, name: &str, new: &NewImage) -> Result<Self> {
        let too_large = || Error::TooLarge { size, format: "qcow2" };
        let size = size.checked_next_multiple_of(512).ok_or_else(too_large)?;
        let geometry = geometry(size, new)?.ok_or_else(too_large)?;
        new.subformat()?;
        check(new, geometry)?;
        let backing = new.parent.as_ref().map(|parent| Backing {
            name: parent.name.clone(),
            format: if parent.format == "vhd" { "vpc" } else { parent.format },
            size: parent.virtual_size,
        });
        let mut plan = Self {
            name: name.to_owned(),
            size,
            geometry,
            compression: new.compression,
            preallocate: new.preallocate,
            data_file: new.data_file.then(|| data_file_name(name)),
            backing,
            data: Data::Next,
        };
        plan.data = match (&plan.data_file, plan.preallocate) {
            (Some(_), _) => Data::Fixed(Place { file: 1, offset: 0 }),
            (None, true) => Data::Fixed(Place::first(plan.data_start())),
            (None, false) => Data::Next,
        };
        if header::length(&plan) > geometry.cluster() {
            let what = format!("room for the parent's name in a cluster of {} bytes", geometry.cluster());
            return Err(new.refused(what));
        }
        Ok(plan)
    }

    pub(super) fn files(&self) -> Vec<String> {
        std::iter::once(&self.name).chain(&self.data_file).cloned().collect()
    }

    /// How many entries the L1 table has.
    pub(super) fn l1_entries(&self) -> u64 {
        self.geometry.l1_entries(self.size).max(1)
    }

    /// Where the file's first byte behind the header and the L1 table is.
    pub(super) fn data_start(&self) -> u64 {
        let cluster = self.geometry.cluster();
        cluster + (self.l1_entries() * 8).next_multiple_of(cluster)
    }

    /// How many bytes from there on are the disk's from the start.
    pub(super) fn reserved_bytes(&self) -> u64 {
        match self.data {
            Data::Fixed(Place { file: 0, .. }) => self.size.next_multiple_of(self.geometry.cluster()),
            _ => 0,
        }
    }

    /// How many bytes of the disk the parent may hold.
    pub(super) fn parent_size(&self) -> u64 {
        self.backing.as_ref().map_or(0, |backing| backing.size.min(self.size))
    }
}

/// The clusters that are wanted, or the smallest from the usual ones on that can hold so large a disk; `None` when
/// they cannot.
fn geometry(size: u64, new: &NewImage) -> Result<Option<Geometry>> {
    let of = |cluster_bits| Geometry { cluster_bits, extended_l2: false };
    let holds = |geometry: &Geometry| geometry.l1_entries(size) * 8 <= MAX_L1;
    let Some(wanted) = new.cluster_size else {
        return Ok((CLUSTER_BITS..=*ALL_CLUSTER_BITS.end()).map(of).find(holds));
    };
    let bits = wanted.trailing_zeros();
    if !wanted.is_power_of_two() || !ALL_CLUSTER_BITS.contains(&bits) {
        return Err(
            new.refused(format!("clusters of {wanted} bytes; powers of two from 512 to 2097152 will do"))
        );
    }
    Ok(Some(of(bits)).filter(holds))
}

/// Refuses what does not go together.
fn check(new: &NewImage, geometry: Geometry) -> Result<()> {
    let whole = geometry.cluster() <= super::LARGEST_UNIT;
    let refused = match (new.compression.is_some(), new.parent.is_some(), new.data_file, new.preallocate) {
        (true, _, true, _) => "compressed clusters in a data file",
        (true, _, _, true) => "room to reserve for compressed clusters",
        (_, true, true, _) => "data file over a parent: it has to hold all of the disk",
        (_, true, _, true) => "room to reserve over a parent: it would hide the parent's data",
        (true, ..) if !whole => "writer for compressed clusters of more than 1 MiB",
        (_, true, ..) if !whole => "writer for clusters of more than 1 MiB over a parent",
        _ => return Ok(()),
    };
    Err(new.refused(refused))
}

/// What the data file of the image called `name` is called.
fn data_file_name(name: &str) -> String {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let stem = if stem.is_empty() { name } else { stem };
    // An image that is itself called so keeps its name.
    if name.ends_with(".raw") { format!("{stem}.data.raw") } else { format!("{stem}.raw") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::create::NewParent;

    fn parent() -> NewParent {
        NewParent {
            name: "base.qcow2".to_owned(),
            absolute: "/vm/base.qcow2".to_owned(),
            format: "qcow2",
            content_id: None,
            virtual_size: 1 << 20,
            modified: 0,
        }
    }

    #[test]
    fn clusters_grow_with_the_disk_and_then_there_is_an_end() {
        let bits = |size| Plan::new(size, "x", &NewImage::qcow2()).map(|plan| plan.geometry.cluster_bits);
        assert_eq!(bits(0).unwrap(), 16);
        assert_eq!(bits(1 << 51).unwrap(), 16);
        assert_eq!(bits((1 << 51) + 1).unwrap(), 17);
        assert_eq!(bits(1 << 61).unwrap(), 21);
        for size in [(1 << 61) + 1, u64::MAX] {
            assert!(matches!(bits(size), Err(Error::TooLarge { .. })));
        }
        let small = NewImage { cluster_size: Some(512), ..NewImage::qcow2() };
        assert!(Plan::new(128 << 30, "x", &small).is_ok());
        assert!(matches!(Plan::new((128 << 30) + 1, "x", &small), Err(Error::TooLarge { .. })));
    }

    #[test]
    fn what_the_format_cannot_is_refused_with_the_reason() {
        let refused = |new: NewImage| Plan::new(1 << 20, "x", &new).unwrap_err().to_string();
        let new = NewImage::qcow2;
        let zlib = Some(Compression::Zlib);
        for (new, reason) in [
            (NewImage { cluster_size: Some(3000), ..new() }, "clusters of 3000 bytes"),
            (NewImage { cluster_size: Some(256), ..new() }, "clusters of 256 bytes"),
            (NewImage { cluster_size: Some(4 << 20), ..new() }, "clusters of 4194304 bytes"),
            (NewImage { compression: zlib, data_file: true, ..new() }, "compressed clusters in a data file"),
            (NewImage { compression: zlib, preallocate: true, ..new() }, "room to reserve"),
            (NewImage { compression: zlib, cluster_size: Some(2 << 20), ..new() }, "more than 1 MiB"),
            (NewImage { parent: Some(parent()), data_file: true, ..new() }, "data file over a parent"),
            (
                NewImage { parent: Some(parent()), preallocate: true, ..new() },
                "room to reserve over a parent",
            ),
            (NewImage { parent: Some(parent()), cluster_size: Some(2 << 20), ..new() }, "over a parent"),
            (NewImage { subformat: Some("v1".to_owned()), ..new() }, "subformat v1"),
        ] {
            let message = refused(new);
            assert!(message.contains(reason), "{message}");
        }
        let name = "x".repeat(500);
        let long = NewParent { name, ..parent() };
        let new = NewImage { parent: Some(long), cluster_size: Some(512), ..new() };
        assert!(refused(new).contains("room for the parent's name in a cluster of 512 bytes"));
    }

    #[test]
    fn the_data_file_stands_beside_the_image() {
        assert_eq!(data_file_name("disk.qcow2"), "disk.raw");
        assert_eq!(data_file_name("disk"), "disk.raw");
        assert_eq!(data_file_name("disk.raw"), "disk.data.raw");
        assert_eq!(data_file_name(".qcow2"), ".qcow2.raw");
    }
}
