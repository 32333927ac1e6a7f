//! The two copies of the header ([MS-VHDX] section 2.2.2): [`Headers`].

use super::Reason;
use super::file::{File, MIB, checksum, structure};
use crate::bytes::Stored;
use crate::error::Result;
use uuid::Uuid;
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Where the copies stand, in bytes.
pub(super) const OFFSETS: [u64; 2] = [64 << 10, 128 << 10];
/// Where the space for the headers and region tables ends, in bytes: nothing else stands before.
pub(super) const SECTION: u64 = MIB;

const SIGNATURE: [u8; 4] = *b"head";

/// One copy of the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct Header {
    signature: [u8; 4],
    checksum: U32,
    /// The copy with the greater number is the current one.
    pub(super) sequence_number: U64,
    /// Changes whenever the file is opened and then written.
    pub(super) file_write_guid: [u8; 16],
    /// Changes whenever what the guest reads changes: by it a child knows its parent.
    pub(super) data_write_guid: [u8; 16],
    /// What entries of the log must carry to be valid; nil when nothing has to be replayed.
    pub(super) log_guid: [u8; 16],
    log_version: U16,
    version: U16,
    log_length: U32,
    log_offset: U64,
    reserved: [u8; 4016],
}

const _: () = assert!(size_of::<Header>() == 4096);

/// Where the log is, in bytes of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LogPlace {
    pub(super) offset: u64,
    pub(super) length: u64,
}

impl Header {
    /// The header of a new file, with fresh identifiers.
    pub(super) fn new(log: LogPlace) -> Self {
        let fresh = || Uuid::new_v4().to_bytes_le();
        Self {
            signature: SIGNATURE,
            checksum: 0.into(),
            sequence_number: 0.into(),
            file_write_guid: fresh(),
            data_write_guid: fresh(),
            log_guid: [0; 16],
            log_version: 0.into(),
            version: 1.into(),
            log_length: (log.length as u32).into(),
            log_offset: log.offset.into(),
            reserved: [0; 4016],
        }
    }

    /// The header as it stands in the file with this sequence number.
    pub(super) fn numbered(mut self, sequence_number: u64) -> Self {
        self.sequence_number = sequence_number.into();
        self.checksum = 0.into();
        self.checksum = checksum(self.as_bytes()).into();
        self
    }

    /// Gives the header a new file write GUID, as whoever opens the file to write to it must (section 2.2.2.1).
    pub(super) fn renew(&mut self) {
        self.file_write_guid = Uuid::new_v4().to_bytes_le();
    }

    /// Says that the log's entries with this identifier have to be replayed, and that what the guest reads is then new.
    pub(super) fn begin(&mut self, log_guid: [u8; 16]) {
        self.log_guid = log_guid;
        self.log_version = 0.into();
        self.data_write_guid = Uuid::new_v4().to_bytes_le();
    }

    /// Whether the log has to be replayed.
    pub(super) fn is_dirty(&self) -> bool {
        self.log_guid != [0; 16]
    }

    /// What a child of this image records of it, as text: the data write GUID.
    pub(super) fn content_id(&self) -> String {
        Uuid::from_bytes_le(self.data_write_guid).to_string()
    }

    /// Where the log is, if one can be there.
    pub(super) fn log(&self, file: &dyn File) -> Result<LogPlace> {
        let (offset, length) = (self.log_offset.get(), u64::from(self.log_length.get()));
        let aligned = offset.is_multiple_of(MIB) && length.is_multiple_of(MIB);
        if !aligned || offset < SECTION || length == 0 || !file.holds(offset, length) {
            return Err(file.damaged(offset, Reason::LogPlace { offset, length }));
        }
        Ok(LogPlace { offset, length })
    }

    fn check(&self, file: &dyn File, offset: u64) -> Result<()> {
        let (version, log_version) = (self.version.get(), self.log_version.get());
        if version != 1 {
            return Err(file.damaged(offset + 66, Reason::Version { version }));
        }
        if self.is_dirty() && log_version != 0 {
            return Err(file.damaged(offset + 64, Reason::LogVersion { version: log_version }));
        }
        Ok(())
    }
}

/// The header, as far as its copies are valid.
#[derive(Clone, Copy, Debug)]
pub(super) struct Headers {
    copies: [Option<Header>; 2],
    current: usize,
    header: Header,
}

impl Headers {
    /// Reads both copies and finds the current one.
    pub(super) fn read(file: &dyn File) -> Result<Self> {
        let mut copies = [None, None];
        for (copy, offset) in copies.iter_mut().zip(OFFSETS) {
            *copy = read_copy(file, offset)?;
        }
        let (current, header) = match copies {
            [Some(first), Some(second)] => {
                match first.sequence_number.get().cmp(&second.sequence_number.get()) {
                    std::cmp::Ordering::Greater => (0, first),
                    std::cmp::Ordering::Less => (1, second),
                    // Some writers leave two identical copies, which the specification does not foresee.
                    std::cmp::Ordering::Equal if first == second => (0, first),
                    std::cmp::Ordering::Equal => return Err(file.damaged(64 << 10, Reason::NoHeader)),
                }
            }
            [Some(first), None] => (0, first),
            [None, Some(second)] => (1, second),
            [None, None] => return Err(file.damaged(64 << 10, Reason::NoHeader)),
        };
        header.check(file, if current == 0 { OFFSETS[0] } else { OFFSETS[1] })?;
        Ok(Self { copies, current, header })
    }

    /// The current header.
    pub(super) fn current(&self) -> &Header {
        &self.header
    }

    /// Where copies stand that are damaged, in bytes.
    pub(super) fn damaged(&self) -> impl Iterator<Item = u64> {
        OFFSETS.into_iter().zip(self.copies).filter(|(_, copy)| copy.is_none()).map(|(offset, _)| offset)
    }

    /// Changes the header: the copy that is not current is written, durably, and becomes the current one
    /// (section 2.2.2.1). What was written before is durable then too, and not before.
    pub(super) fn update(&mut self, file: &Stored<'_>, change: impl FnOnce(&mut Header)) -> Result<()> {
        let mut header = self.header;
        change(&mut header);
        let header = header.numbered(self.header.sequence_number.get().wrapping_add(1));
        let next = 1 - self.current;
        let offset = if next == 0 { OFFSETS[0] } else { OFFSETS[1] };
        file.write(header.as_bytes(), offset)?;
        file.flush()?;
        if let Some(copy) = self.copies.get_mut(next) {
            *copy = Some(header);
        }
        (self.current, self.header) = (next, header);
        Ok(())
    }
}

/// The copy at `offset`; `None` when it is damaged.
fn read_copy(file: &dyn File, offset: u64) -> Result<Option<Header>> {
    let bytes = file.part("header", offset, size_of::<Header>() as u64)?;
    let header = structure::<Header>(&bytes, 0).filter(|header| header.signature == SIGNATURE);
    Ok(header.filter(|header| header.checksum.get() == checksum(&bytes)))
}
