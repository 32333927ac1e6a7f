//! The text of a new descriptor, in the order and spelling in which VMware writes it: [`render`] ("Virtual Disk Format
//! 5.0", The Descriptor File).

use super::NewDisk;
use crate::vmdk::descriptor::geometry;
use std::fmt::Write;
use uuid::Uuid;

/// The first line of every descriptor. VMware's products want it exactly so.
const FIRST: &str = "# Disk DescriptorFile\nversion=1\nencoding=\"UTF-8\"\n";
/// `parentCID` of a disk without a parent. No disk has it as its own.
const NO_PARENT: u32 = u32::MAX;
/// The virtual hardware that has disks of any size: ESXi 5.5's. Smaller disks are for older products too.
const LARGE_DISK_HARDWARE: u32 = 10;
const HARDWARE: u32 = 7;
/// Sectors of the largest disk that older hardware has: 2 TiB less 512 bytes.
const LARGEST_OF_OLD_HARDWARE: u64 = u32::MAX as u64;

/// What a delta records of its parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ParentLink {
    /// The parent's content ID.
    pub(super) content_id: u32,
    /// Where the parent is.
    pub(super) hint: String,
}

/// The random numbers of a new disk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Identity {
    /// Of the disk, for as long as it exists; the last four bytes of the first change with its content.
    content: Uuid,
    disk: Uuid,
}

impl Identity {
    /// New numbers.
    pub(super) fn new() -> Self {
        Self { content: Uuid::new_v4(), disk: Uuid::new_v4() }
    }

    /// The content ID: the end of the long one, as VMware has it. Never that which says that there is no parent,
    /// nor the one below it, with which disks begin that nobody wrote.
    fn content_id(&self) -> u32 {
        (self.content.as_u128() as u32).min(NO_PARENT - 2)
    }

    fn long_content_id(&self) -> String {
        format!("{:024x}{:08x}", self.content.as_u128() >> 32, self.content_id())
    }

    /// VMware's disks have numbers of its own registered range (NAA 6, company 0x000c29).
    fn uuid(&self) -> String {
        let mut bytes = *self.disk.as_bytes();
        let [first, second, third, fourth, ..] = &mut bytes;
        (*first, *second, *third, *fourth) = (0x60, 0x00, 0xc2, 0x90 | *fourth & 0x0f);
        let words: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let (left, right) = words.split_at(8);
        format!("{}-{}", left.join(" "), right.join(" "))
    }
}

/// An extent of a new disk.
#[derive(Clone, Debug)]
pub(super) struct NewExtent {
    /// Its length in sectors.
    pub(super) sectors: u64,
    /// `SPARSE`, `FLAT` or `VMFS`.
    pub(super) kind: &'static str,
    /// Its file.
    pub(super) file: String,
}

/// The descriptor of `disk`, which is made of `extents`; `thin` when its flat file has holes and ESXi is to know.
pub(super) fn render(disk: &NewDisk, extents: &[NewExtent], identity: &Identity, thin: bool) -> String {
    let mut text = FIRST.to_owned();
    let parent = disk.parent.as_ref();
    let mut line = |what: std::fmt::Arguments<'_>| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{what}");
    };
    line(format_args!("CID={:08x}", identity.content_id()));
    line(format_args!("parentCID={:08x}", parent.map_or(NO_PARENT, |parent| parent.content_id)));
    line(format_args!("createType=\"{}\"", disk.subformat));
    if let Some(parent) = parent {
        line(format_args!("parentFileNameHint=\"{}\"", parent.hint));
    }
    line(format_args!("\n# Extent description"));
    for NewExtent { sectors, kind, file } in extents {
        let offset = if *kind == "FLAT" { " 0" } else { "" };
        line(format_args!("RW {sectors} {kind} \"{file}\"{offset}"));
    }
    let (cylinders, heads, track) = geometry(disk.sectors);
    let hardware = if disk.sectors > LARGEST_OF_OLD_HARDWARE { LARGE_DISK_HARDWARE } else { HARDWARE };
    line(format_args!("\n# The Disk Data Base \n#DDB\n"));
    line(format_args!("ddb.adapterType = \"lsilogic\""));
    line(format_args!("ddb.geometry.cylinders = \"{cylinders}\""));
    line(format_args!("ddb.geometry.heads = \"{heads}\""));
    line(format_args!("ddb.geometry.sectors = \"{track}\""));
    line(format_args!("ddb.longContentID = \"{}\"", identity.long_content_id()));
    if thin {
        line(format_args!("ddb.thinProvisioned = \"1\""));
    }
    line(format_args!("ddb.uuid = \"{}\"", identity.uuid()));
    if let Some(identifier) = disk.identifier {
        line(format_args!("ddb.uuid.image = \"{identifier}\""));
    }
    line(format_args!("ddb.virtualHWVersion = \"{hardware}\""));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vmdk::descriptor::Descriptor;

    fn disk(sectors: u64, parent: Option<ParentLink>) -> NewDisk {
        NewDisk { name: "disk.vmdk".to_owned(), sectors, subformat: "vmfs", parent, identifier: None }
    }

    #[test]
    fn a_descriptor_is_what_vmware_would_write() {
        let identity = Identity {
            content: Uuid::from_u128(0xc493_b057_f416_b953_4001_df44_0172_e8a4),
            disk: Uuid::from_u128(0x1111_1118_5d08_def2_a014_2e05_949d_d838),
        };
        let extent = NewExtent { sectors: 4096, kind: "VMFS", file: "disk-flat.vmdk".to_owned() };
        let text = render(&disk(4096, None), &[extent], &identity, true);
        let expected = "# Disk DescriptorFile\n\
            version=1\n\
            encoding=\"UTF-8\"\n\
            CID=0172e8a4\n\
            parentCID=ffffffff\n\
            createType=\"vmfs\"\n\
            \n\
            # Extent description\n\
            RW 4096 VMFS \"disk-flat.vmdk\"\n\
            \n\
            # The Disk Data Base \n\
            #DDB\n\
            \n\
            ddb.adapterType = \"lsilogic\"\n\
            ddb.geometry.cylinders = \"2\"\n\
            ddb.geometry.heads = \"64\"\n\
            ddb.geometry.sectors = \"32\"\n\
            ddb.longContentID = \"c493b057f416b9534001df440172e8a4\"\n\
            ddb.thinProvisioned = \"1\"\n\
            ddb.uuid = \"60 00 c2 98 5d 08 de f2-a0 14 2e 05 94 9d d8 38\"\n\
            ddb.virtualHWVersion = \"7\"\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn what_is_written_is_read() {
        let parent = ParentLink { content_id: 0xabc, hint: "../base disk.vmdk".to_owned() };
        let extents =
            ["FLAT", "SPARSE"].map(|kind| NewExtent { sectors: 77, kind, file: format!("{kind} é.vmdk") });
        let identifier = Uuid::from_u128(1);
        let disk = NewDisk { identifier: Some(identifier), ..disk(154, Some(parent)) };
        let text = render(&disk, &extents, &Identity::new(), false);
        assert!(text.contains(&format!("ddb.uuid.image = \"{identifier}\"\n")));
        let descriptor = Descriptor::parse(text.as_bytes()).unwrap();
        assert_eq!(descriptor.parent_cid, Some(0xabc));
        assert_eq!(descriptor.parent_hint.as_deref(), Some("../base disk.vmdk"));
        assert_eq!(descriptor.create_type.as_deref(), Some("vmfs"));
        let lines: Vec<_> =
            descriptor.extents.iter().map(|line| (line.sectors, line.kind.as_str())).collect();
        assert_eq!(lines, [(77, "FLAT"), (77, "SPARSE")]);
        assert_eq!(descriptor.extents[1].file.as_deref(), Some("SPARSE é.vmdk"));
        assert_eq!(descriptor.adapter.as_deref(), Some("lsilogic"));
    }

    #[test]
    fn a_content_id_never_says_that_there_is_none() {
        let identity = Identity { content: Uuid::max(), disk: Uuid::max() };
        assert_eq!(identity.content_id(), 0xffff_fffd);
        assert!(identity.long_content_id().ends_with("fffffffd"));
    }
}
