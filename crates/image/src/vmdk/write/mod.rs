//! New VMDKs: one layout for each way in which a disk's data is kept ("Virtual Disk Format 5.0").
//!
//! A disk whose size is not a multiple of 512 bytes is rounded up to one, and not to whole grains: what a guest finds at
//! the end of its disk (the second partition table) stays at its end. QEMU does the same.

mod descriptor;
mod flat;
mod hosted;
mod packer;
mod sparse;
mod stream;

use super::header::SECTOR;
use crate::copy::Layout;
use crate::create::{Compression, NewImage};
use crate::error::{Error, Result};
use descriptor::{Identity, ParentLink};
use flat::FlatLayout;
use hosted::HostedLayout;
use stream::StreamLayout;
use uuid::Uuid;

/// The variants that are written, as descriptors call them.
pub(super) const SUBFORMATS: &[&str] =
    &[MONOLITHIC_SPARSE, MONOLITHIC_FLAT, SPLIT_SPARSE, SPLIT_FLAT, STREAM_OPTIMIZED, VMFS];
const MONOLITHIC_SPARSE: &str = "monolithicSparse";
const MONOLITHIC_FLAT: &str = "monolithicFlat";
const SPLIT_SPARSE: &str = "twoGbMaxExtentSparse";
const SPLIT_FLAT: &str = "twoGbMaxExtentFlat";
const STREAM_OPTIMIZED: &str = "streamOptimized";
const VMFS: &str = "vmfs";

/// The largest extent of a split disk, in bytes: 2 GiB less 1 MiB, as VMware's products make it.
const SPLIT: u64 = 2047 << 20;
/// The most extents of a split disk that is written: each is an open file meanwhile, and 1,024 are usually allowed.
const MAX_SPLITS: u64 = 512;
/// The largest disk that is written in grains, in bytes: 128 TiB, the most that is read again.
pub(super) const MAX_SPARSE: u64 = 128 << 40;
/// How the names of descriptors end.
const ENDING: &str = ".vmdk";

/// The layout of a new VMDK of a disk of `size` bytes in the file `name`.
///
/// # Errors
/// [`Error::Option`], [`Error::TooLarge`].
pub(super) fn create(size: u64, name: &str, new: &NewImage) -> Result<Box<dyn Layout>> {
    let subformat = new.subformat()?;
    new.refuse_cluster_size()?;
    new.refuse_data_file()?;
    if name.contains(['"', '\n', '\r', '\0']) {
        return Err(new.refused("file names with quotation marks or line breaks"));
    }
    match new.compression {
        None => {}
        Some(Compression::Zlib) if subformat == STREAM_OPTIMIZED => {}
        Some(_) => return Err(new.refused(format!("such compression in its subformat {subformat}"))),
    }
    let in_grains = matches!(subformat, MONOLITHIC_SPARSE | SPLIT_SPARSE | STREAM_OPTIMIZED);
    if new.preallocate && in_grains {
        return Err(new.refused(format!("preallocation in its subformat {subformat}")));
    }
    let sectors = size.div_ceil(SECTOR);
    let largest = if in_grains { MAX_SPARSE } else { crate::MAX_VIRTUAL_SIZE };
    if sectors > largest / SECTOR {
        return Err(Error::TooLarge { size, format: "a VMDK" });
    }
    let split = matches!(subformat, SPLIT_SPARSE | SPLIT_FLAT);
    if split && size.div_ceil(SPLIT) > MAX_SPLITS {
        return Err(Error::TooLarge { size, format: "a VMDK in extents of 2 GB" });
    }
    let disk = NewDisk {
        name: name.to_owned(),
        sectors,
        subformat,
        parent: parent(sectors, subformat, new)?,
        identifier: new.identifier,
    };
    Ok(match subformat {
        MONOLITHIC_SPARSE | SPLIT_SPARSE => Box::new(HostedLayout::new(disk)),
        STREAM_OPTIMIZED => Box::new(StreamLayout::new(disk)),
        _ => Box::new(FlatLayout::new(disk, new.preallocate)),
    })
}

/// What a new delta records of its parent.
fn parent(sectors: u64, subformat: &str, new: &NewImage) -> Result<Option<ParentLink>> {
    let Some(parent) = &new.parent else { return Ok(None) };
    if subformat != MONOLITHIC_SPARSE {
        return Err(new.refused(format!("parent in its subformat {subformat}")));
    }
    if parent.format != "vmdk" {
        return Err(new.refused(format!("parent in another format ({})", parent.format)));
    }
    if parent.virtual_size.div_ceil(SECTOR) != sectors {
        return Err(new.refused("parent of another size"));
    }
    if parent.name.contains(['"', '\n', '\r', '\0']) {
        return Err(new.refused("parent whose name has quotation marks or line breaks"));
    }
    let content_id = parent.content_id.as_deref().and_then(|id| u32::from_str_radix(id, 16).ok());
    let content_id = content_id.ok_or_else(|| new.refused("parent without a content ID"))?;
    Ok(Some(ParentLink { content_id, hint: parent.name.clone() }))
}

/// A disk that is to be written, whatever its subformat.
struct NewDisk {
    /// The file's name.
    name: String,
    /// The disk's size in sectors.
    sectors: u64,
    /// The subformat.
    subformat: &'static str,
    /// What it stands on.
    parent: Option<ParentLink>,
    /// The identifier by which VirtualBox knows it.
    identifier: Option<Uuid>,
}

impl NewDisk {
    /// The name of another of its files: `disk.vmdk` and `-flat` make `disk-flat.vmdk`.
    fn file(&self, suffix: &str) -> String {
        let cut = self.name.len().saturating_sub(ENDING.len());
        let base = match self.name.split_at_checked(cut) {
            Some((base, ending)) if ending.eq_ignore_ascii_case(ENDING) && !base.is_empty() => base,
            _ => &self.name,
        };
        format!("{base}{suffix}{ENDING}")
    }

    /// The lengths in sectors of the extents of which none is longer than `most` sectors. A disk has at least one.
    fn split(&self, most: u64) -> Vec<u64> {
        let count = self.sectors.div_ceil(most).max(1);
        (0..count).map(|index| (self.sectors - index * most).min(most)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vmdk::FORMAT;

    fn outcome(size: u64, name: &str, change: impl FnOnce(&mut NewImage)) -> String {
        let mut new = NewImage::new(&FORMAT);
        change(&mut new);
        create(size, name, &new).map_or_else(|error| error.to_string(), |layout| layout.files().join(" "))
    }

    #[test]
    fn files_are_named_as_vmware_names_them() {
        let with = |subformat: &'static str, name| {
            outcome(5 << 30, name, |new| new.subformat = Some(subformat.to_owned()))
        };
        assert_eq!(with("MONOLITHICSPARSE", "a.vmdk"), "a.vmdk");
        assert_eq!(with("vmfs", "a.VMDK"), "a.VMDK a-flat.vmdk");
        assert_eq!(with("monolithicFlat", "copy.img"), "copy.img copy.img-flat.vmdk");
        assert_eq!(with("twoGbMaxExtentSparse", "é.vmdk"), "é.vmdk é-s001.vmdk é-s002.vmdk é-s003.vmdk");
        assert_eq!(
            with("twoGbMaxExtentFlat", ".vmdk"),
            ".vmdk .vmdk-f001.vmdk .vmdk-f002.vmdk .vmdk-f003.vmdk"
        );
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let large = outcome(128 << 40, "a.vmdk", |_| ());
        assert_eq!(large, "a.vmdk");
        for (size, subformat) in
            [((128 << 40) + 1, "monolithicSparse"), (513 * SPLIT, "twoGbMaxExtentFlat"), (u64::MAX, "vmfs")]
        {
            let message = outcome(size, "a.vmdk", |new| new.subformat = Some(subformat.to_owned()));
            assert!(message.contains("too large for a VMDK"), "{message}");
        }
        assert!(outcome(512, "a\".vmdk", |_| ()).contains("quotation marks"));
        assert!(outcome(512, "a.vmdk", |new| new.preallocate = true).contains("preallocation"));
        assert!(
            outcome(512, "a.vmdk", |new| new.compression = Some(Compression::Zstd)).contains("compression")
        );
        assert!(
            outcome(512, "a.vmdk", |new| new.subformat = Some("seSparse".to_owned())).contains("there are")
        );
    }
}
