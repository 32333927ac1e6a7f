//! The metadata region: its table and its items ([MS-VHDX] section 2.6): [`Metadata`].

use super::Reason;
use super::bat::Geometry;
use super::file::{File, structure};
use super::locator::ParentLocator;
use super::region::Region;
use crate::error::Result;
use uuid::{Uuid, uuid};
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of the table, behind which the items begin.
const TABLE: u64 = 64 << 10;
/// The longest item, in bytes.
const MAX_ITEM: u32 = 1 << 20;
const MAX_ENTRIES: u16 = 2047;
const SIGNATURE: [u8; 8] = *b"metadata";

const FILE_PARAMETERS: Uuid = uuid!("caa16737-fa36-4d43-b3b6-33f0aa44e76b");
const VIRTUAL_DISK_SIZE: Uuid = uuid!("2fa54224-cd1b-4876-b211-5dbed83bf4b8");
const VIRTUAL_DISK_ID: Uuid = uuid!("beca12ab-b2e6-4523-93ef-c309e000c746");
const LOGICAL_SECTOR_SIZE: Uuid = uuid!("8141bf1d-a96f-4709-ba47-f233a8faab5f");
const PHYSICAL_SECTOR_SIZE: Uuid = uuid!("cda348c7-445d-4471-9cc9-e9885251c556");
const PARENT_LOCATOR: Uuid = uuid!("a8d35f2d-b30b-454d-abf7-d3d84834ab0c");

/// The item is the user's, not the format's.
const IS_USER: u32 = 1 << 0;
/// The item is about the disk, and a child inherits it.
const IS_VIRTUAL_DISK: u32 = 1 << 1;
/// Whoever does not know the item must not read the image.
const IS_REQUIRED: u32 = 1 << 2;

/// Blocks stay in the file once they are there: a fixed disk (section 2.6.2.1).
const LEAVE_BLOCKS_ALLOCATED: u32 = 1 << 0;
const HAS_PARENT: u32 = 1 << 1;

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct TableHeader {
    signature: [u8; 8],
    reserved: U16,
    entry_count: U16,
    reserved2: [u8; 20],
}

#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct TableEntry {
    item_id: [u8; 16],
    /// From the beginning of the region, in bytes.
    offset: U32,
    length: U32,
    flags: U32,
    reserved2: U32,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct FileParameters {
    block_size: U32,
    flags: U32,
}

const _: () = assert!(
    size_of::<TableHeader>() == 32 && size_of::<TableEntry>() == 32 && size_of::<FileParameters>() == 8
);

/// What the metadata says of the disk, checked.
#[derive(Clone, Debug)]
pub(super) struct Metadata {
    pub(super) geometry: Geometry,
    /// Bytes of a physical sector; for people.
    pub(super) physical_sector: u32,
    /// Whether the disk is a fixed one.
    pub(super) is_fixed: bool,
    pub(super) parent: Option<ParentLocator>,
    /// Where in the file the disk's size stands, in bytes.
    pub(super) size_offset: u64,
}

impl Metadata {
    /// Reads the items of the region.
    pub(super) fn read(file: &dyn File, region: Region) -> Result<Self> {
        let items = Items::read(file, region)?;
        let parameters: FileParameters = items.fixed(FILE_PARAMETERS, "file parameters")?;
        let size: U64 = items.fixed(VIRTUAL_DISK_SIZE, "virtual disk size")?;
        let sector: U32 = items.fixed(LOGICAL_SECTOR_SIZE, "logical sector size")?;
        let physical: Option<U32> = items.fixed(PHYSICAL_SECTOR_SIZE, "physical sector size").ok();
        let flags = parameters.flags.get();
        let has_parent = flags & HAS_PARENT != 0;
        let geometry = Geometry::new(size.get(), parameters.block_size.get(), sector.get(), has_parent)
            .map_err(|reason| file.damaged(region.offset, reason))?;
        let parent = if has_parent {
            let (offset, bytes) = items.bytes(PARENT_LOCATOR, "parent locator")?;
            Some(ParentLocator::parse(&bytes).map_err(|reason| file.damaged(offset, reason))?)
        } else {
            None
        };
        let (size_offset, _) = items.bytes(VIRTUAL_DISK_SIZE, "virtual disk size")?;
        Ok(Self {
            geometry,
            physical_sector: physical.map_or(sector.get(), U32::get),
            is_fixed: flags & LEAVE_BLOCKS_ALLOCATED != 0 && !has_parent,
            parent,
            size_offset,
        })
    }
}

/// The items of a region, found by their identifiers.
struct Items<'a> {
    file: &'a dyn File,
    region: Region,
    entries: Vec<TableEntry>,
}

impl<'a> Items<'a> {
    fn read(file: &'a dyn File, region: Region) -> Result<Self> {
        let senseless = || file.damaged(region.offset, Reason::MetadataTable);
        if region.length < TABLE {
            return Err(senseless());
        }
        let bytes = file.part("metadata table", region.offset, TABLE)?;
        let header = structure::<TableHeader>(&bytes, 0)
            .filter(|header| header.signature == SIGNATURE && header.entry_count.get() <= MAX_ENTRIES)
            .ok_or_else(senseless)?;
        let place = |number: u16| size_of::<TableHeader>() + usize::from(number) * size_of::<TableEntry>();
        let entries: Vec<TableEntry> =
            (0..header.entry_count.get()).filter_map(|number| structure(&bytes, place(number))).collect();
        let items = Self { file, region, entries };
        items.check()?;
        Ok(items)
    }

    /// Fails when there is a required item that is not known.
    fn check(&self) -> Result<()> {
        const KNOWN: [Uuid; 6] = [
            FILE_PARAMETERS,
            VIRTUAL_DISK_SIZE,
            VIRTUAL_DISK_ID,
            LOGICAL_SECTOR_SIZE,
            PHYSICAL_SECTOR_SIZE,
            PARENT_LOCATOR,
        ];
        for entry in &self.entries {
            let (id, flags) = (Uuid::from_bytes_le(entry.item_id), entry.flags.get());
            if flags & IS_REQUIRED != 0 && (flags & IS_USER != 0 || !KNOWN.contains(&id)) {
                return Err(self.file.damaged(self.region.offset, Reason::ItemUnknown { id }));
            }
        }
        Ok(())
    }

    /// The item `id`, and where in the file it stands.
    fn bytes(&self, id: Uuid, what: &'static str) -> Result<(u64, Vec<u8>)> {
        let is_it = |entry: &&TableEntry| {
            Uuid::from_bytes_le(entry.item_id) == id && entry.flags.get() & IS_USER == 0
        };
        let fail = |reason| self.file.damaged(self.region.offset, reason);
        let entry = self.entries.iter().find(is_it).ok_or_else(|| fail(Reason::ItemMissing { what }))?;
        let (offset, length) = (u64::from(entry.offset.get()), entry.length.get());
        let inside = offset >= TABLE && offset + u64::from(length) <= self.region.length;
        if !inside || length > MAX_ITEM {
            return Err(fail(Reason::Item { what }));
        }
        let place = self.region.offset + offset;
        Ok((place, self.file.part(what, place, length.into())?))
    }

    /// The item `id`, which has a length of its own.
    fn fixed<T: FromBytes>(&self, id: Uuid, what: &'static str) -> Result<T> {
        let (offset, bytes) = self.bytes(id, what)?;
        T::read_from_bytes(&bytes).map_err(|_| self.file.damaged(offset, Reason::Item { what }))
    }
}

/// The beginning of the metadata region of a new image, up to the end of its last item.
pub(super) fn region(geometry: &Geometry, is_fixed: bool, parent: Option<&ParentLocator>) -> Vec<u8> {
    let has_parent = if parent.is_some() { HAS_PARENT } else { 0 };
    let fixed = if is_fixed { LEAVE_BLOCKS_ALLOCATED } else { 0 };
    let parameters =
        FileParameters { block_size: (geometry.block() as u32).into(), flags: (has_parent | fixed).into() };
    let (file, disk) = (IS_REQUIRED, IS_REQUIRED | IS_VIRTUAL_DISK);
    let mut items = vec![
        (FILE_PARAMETERS, file, parameters.as_bytes().to_vec()),
        (VIRTUAL_DISK_SIZE, disk, geometry.size().to_le_bytes().to_vec()),
        (VIRTUAL_DISK_ID, disk, Uuid::new_v4().to_bytes_le().to_vec()),
        (LOGICAL_SECTOR_SIZE, disk, (geometry.sector() as u32).to_le_bytes().to_vec()),
        (PHYSICAL_SECTOR_SIZE, disk, 4096_u32.to_le_bytes().to_vec()),
    ];
    items.extend(parent.map(|locator| (PARENT_LOCATOR, file, locator.to_bytes())));
    let header = TableHeader {
        signature: SIGNATURE,
        reserved: 0.into(),
        entry_count: (items.len() as u16).into(),
        reserved2: [0; 20],
    };
    let (mut table, mut data) = (header.as_bytes().to_vec(), Vec::new());
    for (id, flags, item) in items {
        let entry = TableEntry {
            item_id: id.to_bytes_le(),
            offset: (TABLE as u32 + data.len() as u32).into(),
            length: (item.len() as u32).into(),
            flags: flags.into(),
            reserved2: 0.into(),
        };
        table.extend_from_slice(entry.as_bytes());
        data.extend(item);
        // The size is changed in place: no item lies across the sectors of a disk.
        data.resize(data.len().next_multiple_of(16), 0);
    }
    table.resize(TABLE as usize, 0);
    table.extend(data);
    table
}
