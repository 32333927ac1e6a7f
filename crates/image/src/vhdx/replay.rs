//! A dirty log replayed without writing to the file ([`replay`], [`Replayed`]) or into the file ([`write`])
//! ([MS-VHDX] section 2.3.3).

use super::header::{Header, Headers};
use super::log::{self, Update};
use crate::bytes::Stored;
use crate::error::Result;
use crate::source::Source;
use block::{BlockRead, Extent, Extents, check_range, check_span};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// The file as it reads once its log was replayed, and how many entries were; the file itself is not changed.
pub(super) fn replay(source: Source, header: &Header) -> Result<(Source, usize)> {
    if !header.is_dirty() {
        return Ok((source, 0));
    }
    let sequence = log::active(&source, header)?;
    let mut patches = Patches::default();
    sequence.updates(&source, &mut |update| {
        patches.insert(update);
        Ok(())
    })?;
    let size = sequence.file_length.max(patches.end());
    let disk = Arc::new(Replayed { below: source.disk, patches, size });
    Ok((Source { disk, path: source.path }, sequence.len()))
}

/// Replays the log into the file, durably; answers with how many entries there were.
///
/// The header goes on to demand the replay until all of it is durable, so that it can begin again after a crash.
pub(super) fn write(file: &Stored<'_>, headers: &mut Headers) -> Result<usize> {
    if !headers.current().is_dirty() {
        return Ok(0);
    }
    let sequence = log::active(file, headers.current())?;
    headers.update(file, Header::renew)?;
    sequence.updates(file, &mut |update| match update {
        Update::Sector { offset, data } => file.write(&data, offset),
        Update::Zero { offset, length } => zero(file, offset, length),
    })?;
    file.grow(sequence.file_length)?;
    file.flush()?;
    close(file, headers)?;
    Ok(sequence.len())
}

/// Says in both copies of the header that nothing has to be replayed.
pub(super) fn close(file: &Stored<'_>, headers: &mut Headers) -> Result<()> {
    headers.update(file, |header| header.log_guid = [0; 16])?;
    headers.update(file, |_| {})
}

/// Writes zeroes; behind the file's end they need no writing.
fn zero(file: &Stored<'_>, offset: u64, length: u64) -> Result<()> {
    file.zero(offset, length)?;
    file.grow(offset.saturating_add(length))
}

/// Parts of a file that read otherwise than the file says: their ends and what is there by their starts, not
/// overlapping.
#[derive(Debug, Default)]
struct Patches(BTreeMap<u64, (u64, Patch)>);

#[derive(Clone, Debug)]
enum Patch {
    Zero,
    Sector(Arc<[u8]>),
}

impl Patches {
    /// Puts an update over all that came before. Everything starts and ends at sectors, so that none is ever cut.
    fn insert(&mut self, update: Update) {
        let (start, length) = update.place();
        let (end, patch) = match update {
            Update::Sector { data, .. } => (start + length, Patch::Sector(data.into())),
            Update::Zero { .. } => (start + length, Patch::Zero),
        };
        if start == end {
            return;
        }
        let covered: Vec<u64> = self.overlapping(&(start..end)).map(|(range, _)| range.start).collect();
        for old in covered {
            let Some((old_end, old_patch)) = self.0.remove(&old) else { continue };
            if old < start {
                self.0.insert(old, (start, old_patch.clone()));
            }
            if old_end > end {
                self.0.insert(end, (old_end, old_patch));
            }
        }
        self.0.insert(start, (end, patch));
    }

    /// The patches that have a part in `range`, in order.
    fn overlapping(&self, range: &Range<u64>) -> impl Iterator<Item = (Range<u64>, &Patch)> {
        let first = self.0.range(..=range.start).next_back().map_or(range.start, |(start, _)| *start);
        let (from, end) = (range.start, range.end);
        let found = self.0.range(first..end.max(first)).map(|(start, (end, patch))| (*start..*end, patch));
        found.filter(move |(patch, _)| patch.end > from && patch.start < end)
    }

    /// Where the last one ends, in bytes.
    fn end(&self) -> u64 {
        self.0.last_key_value().map_or(0, |(_, (end, _))| *end)
    }
}

/// A file with the updates of its log.
#[derive(Debug)]
struct Replayed<D> {
    below: D,
    patches: Patches,
    /// Bytes; not less than the file has.
    size: u64,
}

impl<D: BlockRead> Replayed<D> {
    /// What the file says of `range`; behind its end there are zeroes.
    fn extents_below(&self, range: Range<u64>, extents: &mut Extents) -> block::Result<()> {
        let end = range.end.min(self.below.size()).max(range.start);
        if range.start < end {
            extents.extend(self.below.extents(range.start..end)?);
        }
        extents.push(Extent::zero(end..range.end));
        Ok(())
    }
}

impl<D: BlockRead> BlockRead for Replayed<D> {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> block::Result<()> {
        check_range(offset, buf.len() as u64, self.size)?;
        let range = offset..offset + buf.len() as u64;
        let length = self.below.size().saturating_sub(offset).min(buf.len() as u64);
        let (inside, beyond) = buf.split_at_mut(length as usize);
        if !inside.is_empty() {
            self.below.read_at(inside, offset)?;
        }
        beyond.fill(0);
        for (place, patch) in self.patches.overlapping(&range) {
            let (start, end) = (place.start.max(range.start), place.end.min(range.end));
            let target = buf.get_mut((start - offset) as usize..(end - offset) as usize).unwrap_or_default();
            match patch {
                Patch::Zero => target.fill(0),
                Patch::Sector(data) => {
                    let part = (start - place.start) as usize..(end - place.start) as usize;
                    target.copy_from_slice(data.get(part).unwrap_or_default());
                }
            }
        }
        Ok(())
    }

    fn extents(&self, range: Range<u64>) -> block::Result<Vec<Extent>> {
        check_span(&range, self.size)?;
        let mut extents = Extents::new();
        let mut start = range.start;
        for (place, patch) in self.patches.overlapping(&range) {
            let part = place.start.max(range.start)..place.end.min(range.end);
            self.extents_below(start..part.start, &mut extents)?;
            start = part.end;
            extents.push(match patch {
                Patch::Zero => Extent::zero(part),
                Patch::Sector(_) => Extent::data(part),
            });
        }
        self.extents_below(start..range.end, &mut extents)?;
        Ok(extents.into_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use block::{MemoryDisk, conformance};

    #[test]
    fn a_replayed_file_conforms() {
        let mut bytes = conformance::sample(300_000, 3);
        let below = MemoryDisk::from_bytes(bytes.clone());
        bytes.resize(400_000, 0);
        let mut patches = Patches::default();
        let mut random = conformance::Random::new(8);
        for _ in 0..60 {
            let (offset, length) = (random.below(90) * 4096, 4096 * (1 + random.below(6)));
            let end = (offset + length) as usize;
            if random.below(2) == 0 {
                bytes[offset as usize..end].fill(0);
                patches.insert(Update::Zero { offset, length });
            } else {
                let mut data = vec![0; 4096];
                random.fill(&mut data);
                bytes[offset as usize..offset as usize + 4096].copy_from_slice(&data);
                patches.insert(Update::Sector { offset, data });
            }
        }
        let size = bytes.len() as u64;
        assert!(patches.end() <= size);
        conformance::read(&Replayed { below, patches, size }, &bytes);
    }
}
