//! What stands where in an image, and what is wrong with that: [`Survey`].

use super::blocks::UNUSED;
use super::footer::{FOOTER, Footer, Footers, Kind, SECTOR};
use super::header::{HEADER, Header};
use crate::bytes::Bytes;
use crate::check::{Finding, Severity};
use crate::error::Result;
use std::ops::Range;
use std::path::Path;
use zerocopy::FromBytes;
use zerocopy::big_endian::U32;

/// How much of the table is read at once, in bytes.
const PIECE: u64 = 64 << 10;

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The last footer is not there, or damaged; the copy at the start is not.
    LastFooter {
        /// Where it should be, in bytes.
        offset: u64,
    },
    /// The copy of the footer at the start is not there, or damaged.
    FirstFooter,
    /// The two footers are of different images.
    OtherFooter,
    /// A name of the parent lies outside the file.
    Locator {
        /// Which of the eight.
        index: usize,
    },
    /// A block lies outside the file.
    Outside {
        block: u64,
        /// Where its entry is, in bytes.
        entry: u64,
    },
    /// What begins here lies where something else does.
    Overlap {
        what: What,
        /// Where, in bytes.
        offset: u64,
    },
    /// Nothing uses these bytes.
    Leak {
        /// Which bytes.
        range: Range<u64>,
    },
}

/// What a part of the file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    FirstFooter,
    Header,
    Name,
    Table,
    Block(u64),
    LastFooter,
}

impl std::fmt::Display for What {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::FirstFooter => "the copy of the footer",
            Self::Header => "the dynamic disk header",
            Self::Name => "a name of the parent",
            Self::Table => "the block allocation table",
            Self::Block(block) => return write!(formatter, "block {block}"),
            Self::LastFooter => "the footer",
        })
    }
}

impl Trouble {
    /// Whether it does harm.
    pub(super) fn is_damage(&self) -> bool {
        !matches!(self, Self::Leak { .. })
    }

    /// As it is told.
    pub(super) fn finding(&self, path: &Path, repaired: bool) -> Finding {
        let (offset, what) = match self {
            Self::LastFooter { offset } => (*offset, "the footer is missing or damaged".to_owned()),
            Self::FirstFooter => (0, "the copy of the footer is missing or damaged".to_owned()),
            Self::OtherFooter => (0, "the copy of the footer is that of another image".to_owned()),
            Self::Locator { index } => (FOOTER, format!("the parent locator {index} leads outside the file")),
            Self::Outside { block, entry } => (*entry, format!("block {block} lies outside the file")),
            Self::Overlap { what, offset } => (*offset, format!("{what} lies where something else does")),
            Self::Leak { range } => {
                (range.start, format!("{} bytes are used by nothing", range.end - range.start))
            }
        };
        let severity = if self.is_damage() { Severity::Damage } else { Severity::Leak };
        Finding { severity, path: path.to_path_buf(), offset: Some(offset), what, repaired }
    }
}

/// Which parts of the file are used for what.
pub(super) struct Survey {
    pub(super) footer: Footer,
    pub(super) footers: Footers,
    /// `None` for a fixed image.
    pub(super) header: Option<Header>,
    /// Where what is used ends, not counting the last footer, in bytes.
    pub(super) end: u64,
    /// Where what stands next behind the table begins, in bytes.
    pub(super) behind_table: u64,
}

impl Survey {
    /// Looks at the image in `file` and tells `see` of every trouble. The guest's data is not read.
    pub(super) fn take(file: &impl Bytes, see: &mut dyn FnMut(Trouble)) -> Result<Self> {
        let (footers, footer) = (Footers::read(file)?, Footer::read(file)?);
        if footer.kind == Kind::Fixed {
            return Ok(Self::of_fixed(file, footers, footer, see));
        }
        let header = Header::read(file, &footer)?;
        let behind = footers.last.as_ref().map_or(file.size(), |last| last.offset);
        look_at_footers(&footers, &footer, behind, see);
        let mut parts = parts(file, &header, see);
        if footers.last.is_some() {
            parts.push((behind..behind + FOOTER, What::LastFooter));
        }
        let blocks = blocks(file, &header, footer.size, see)?;
        let unit = header.bitmap() + header.block;
        let all = Merged::new(parts, blocks, unit, file.size());
        let (mut end, mut behind_table) = (0, u64::MAX);
        let mut reached = 0;
        for (range, what) in all {
            if range.start < reached {
                see(Trouble::Overlap { what, offset: range.start });
            } else if range.start - reached >= unit {
                see(Trouble::Leak { range: reached..range.start });
            }
            reached = reached.max(range.end);
            end = if what == What::LastFooter { end } else { reached };
            if what != What::Table && range.start >= header.table_offset {
                behind_table = behind_table.min(range.start);
            }
        }
        Ok(Self { footer, footers, header: Some(header), end, behind_table })
    }

    /// A fixed image has a disk and a footer, and perhaps more between them than the disk's size says.
    fn of_fixed(file: &impl Bytes, footers: Footers, footer: Footer, see: &mut dyn FnMut(Trouble)) -> Self {
        let behind = footers.last.as_ref().map_or(file.size(), |last| last.offset);
        // A disk that goes by its geometry has more in the file than it shows.
        if behind > footer.size && footer.is_of_exact_size() {
            see(Trouble::Leak { range: footer.size..behind });
        }
        let end = footer.size;
        Self { footer, footers, header: None, end, behind_table: 0 }
    }
}

fn look_at_footers(footers: &Footers, footer: &Footer, behind: u64, see: &mut dyn FnMut(Trouble)) {
    if footer.is_copy {
        return see(Trouble::LastFooter { offset: behind });
    }
    match footers.first.as_ref().filter(|first| first.footer.is_sound()) {
        None => see(Trouble::FirstFooter),
        // A change in place may have been interrupted between the two; the last one counts.
        Some(first) if first.footer.is_of_same_image(&footer.raw) => {}
        Some(_) => see(Trouble::OtherFooter),
    }
}

/// The parts of the file but for blocks and the last footer.
fn parts(file: &impl Bytes, header: &Header, see: &mut dyn FnMut(Trouble)) -> Vec<(Range<u64>, What)> {
    let mut parts = vec![
        (0..FOOTER, What::FirstFooter),
        (header.offset..header.offset + HEADER, What::Header),
        (header.table_offset..header.table_offset + header.blocks * 4, What::Table),
    ];
    for (index, locator) in header.raw.locators.iter().enumerate() {
        let (offset, length) = (locator.offset.get(), u64::from(locator.length.get()));
        if locator.code == [0; 4] || length == 0 {
            continue;
        }
        if file.holds(offset, length) {
            parts.push((offset..offset + length, What::Name));
        } else {
            see(Trouble::Locator { index });
        }
    }
    parts
}

/// Where the blocks are that lie in the file, in sectors, and which of the disk they are; ascending.
fn blocks(
    file: &impl Bytes,
    header: &Header,
    size: u64,
    see: &mut dyn FnMut(Trouble),
) -> Result<Vec<(u32, u32)>> {
    // As soon as there are more than the file has room for, two of them overlap, and so will those that are kept.
    let most = (file.size() / header.block + 2) as usize;
    let mut found = Vec::new();
    entries(file, header, 0..header.blocks, &mut |block, sector| {
        if sector == UNUSED || found.len() > most {
            return;
        }
        let data = u64::from(sector) * SECTOR + header.bitmap();
        let needed = (size - block * header.block).min(header.block);
        if file.holds(data, needed) {
            found.push((sector, block as u32));
        } else {
            see(Trouble::Outside { block, entry: header.table_offset + block * 4 });
        }
    })?;
    found.sort_unstable();
    Ok(found)
}

/// Hands on the entries of the table for `blocks`.
pub(super) fn entries(
    file: &impl Bytes,
    header: &Header,
    blocks: Range<u64>,
    see: &mut dyn FnMut(u64, u32),
) -> Result<()> {
    let mut block = blocks.start;
    while block < blocks.end {
        let count = (blocks.end - block).min(PIECE / 4);
        let mut bytes = vec![0; count as usize * 4];
        file.read(&mut bytes, header.table_offset + block * 4)?;
        for (block, entry) in (block..).zip(<[U32]>::ref_from_bytes(&bytes).unwrap_or_default()) {
            see(block, entry.get());
        }
        block += count;
    }
    Ok(())
}

/// Parts and blocks, by where they begin.
struct Merged {
    parts: Vec<(Range<u64>, What)>,
    blocks: Vec<(u32, u32)>,
    next: (usize, usize),
    /// Bytes of a block with its bitmap.
    unit: u64,
    /// The file's length: the last block need not be whole.
    length: u64,
}

impl Merged {
    fn new(mut parts: Vec<(Range<u64>, What)>, blocks: Vec<(u32, u32)>, unit: u64, length: u64) -> Self {
        parts.sort_unstable_by_key(|(range, _)| range.start);
        Self { parts, blocks, next: (0, 0), unit, length }
    }
}

impl Iterator for Merged {
    type Item = (Range<u64>, What);

    fn next(&mut self) -> Option<Self::Item> {
        let part = self.parts.get(self.next.0);
        let block = self
            .blocks
            .get(self.next.1)
            .map(|(sector, block)| (u64::from(*sector) * SECTOR, u64::from(*block)));
        match (part, block) {
            (Some((range, what)), block) if block.is_none_or(|(start, _)| range.start <= start) => {
                self.next.0 += 1;
                Some((range.clone(), *what))
            }
            (_, Some((start, block))) => {
                self.next.1 += 1;
                Some((start..(start + self.unit).min(self.length), What::Block(block)))
            }
            _ => None,
        }
    }
}
