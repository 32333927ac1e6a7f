//! The BLAKE3 digest of a disk whose parts are hashed out of order: [`Tree`].
//!
//! BLAKE3 is a binary tree over 1 KiB chunks, so that aligned subtrees can be hashed on their own and merged
//! (BLAKE3 specification, section 2.1). A digest computed this way is the ordinary one.

use super::CHUNK;
use blake3::hazmat::{ChainingValue, HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};
use blake3::{Hash, Hasher};
use std::collections::BTreeMap;
use std::ops::Range;

/// How many zeroes are hashed as one piece, in bytes: a power of two.
const ZERO_PIECE: u64 = 32 << 20;

static ZEROES: [u8; 1 << 16] = [0; 1 << 16];

/// The digest of a part of the disk.
pub(super) enum Part {
    /// Of all of it.
    Root(Hash),
    /// Of a subtree.
    Subtree(ChainingValue),
}

/// Puts the digests of parts together.
pub(super) struct Tree {
    size: u64,
    /// The subtrees that wait for their right neighbours.
    stack: Vec<ChainingValue>,
    /// Up to where the stack reaches, in bytes.
    next: u64,
    /// What came before its turn: the part's end and digest by its start.
    early: BTreeMap<u64, (u64, ChainingValue)>,
    root: Option<Hash>,
}

/// Hashes `data`, which starts at byte `start` of a disk of `size` bytes: a chunk, or what is left of the last one.
pub(super) fn hash(data: &[u8], start: u64, size: u64) -> Part {
    let mut hasher = Hasher::new();
    hasher.set_input_offset(start).update(data);
    finalize(&hasher, start..start + data.len() as u64, size)
}

/// Hashes as many zeroes as `range` has; it is one of [`zero_pieces`].
pub(super) fn hash_zeroes(range: Range<u64>, size: u64) -> Part {
    let mut hasher = Hasher::new();
    hasher.set_input_offset(range.start);
    let mut left = range.end - range.start;
    while left > 0 {
        let zeroes = ZEROES.get(..left.min(ZEROES.len() as u64) as usize).unwrap_or_default();
        hasher.update(zeroes);
        left -= zeroes.len() as u64;
    }
    finalize(&hasher, range, size)
}

fn finalize(hasher: &Hasher, range: Range<u64>, size: u64) -> Part {
    if range == (0..size) { Part::Root(hasher.finalize()) } else { Part::Subtree(hasher.finalize_non_root()) }
}

/// Cuts zeroes into subtrees: `range` starts at a multiple of [`CHUNK`] and ends at one or at the disk's end.
pub(super) fn zero_pieces(range: Range<u64>, size: u64) -> impl Iterator<Item = Range<u64>> {
    let mut start = range.start;
    std::iter::from_fn(move || {
        let left = range.end.checked_sub(start).filter(|left| *left > 0)?;
        let aligned = if start == 0 { ZERO_PIECE } else { ZERO_PIECE.min(1 << start.trailing_zeros()) };
        // Short of a power of two there is only the part at the disk's right edge.
        let length = match left {
            _ if left >= aligned => aligned,
            _ if range.end == size && left <= CHUNK => left,
            _ => 1 << left.ilog2(),
        };
        let piece = start..start + length;
        start = piece.end;
        Some(piece)
    })
}

impl Tree {
    /// The digest of a disk of `size` bytes.
    pub(super) fn new(size: u64) -> Self {
        Self { size, stack: Vec::new(), next: 0, early: BTreeMap::new(), root: None }
    }

    /// Adds a part; they may come in any order.
    pub(super) fn add(&mut self, range: Range<u64>, part: Part) {
        match part {
            Part::Root(hash) => self.root = Some(hash),
            Part::Subtree(value) => {
                self.early.insert(range.start, (range.end, value));
            }
        }
        while let Some((end, value)) = self.early.remove(&self.next) {
            self.push(value);
            self.next = end;
        }
    }

    /// Every bit that is set in the number of bytes so far is a complete subtree on the stack.
    fn push(&mut self, value: ChainingValue) {
        while self.stack.len() > self.next.count_ones() as usize {
            self.merge();
        }
        self.stack.push(value);
    }

    fn merge(&mut self) {
        if let (Some(right), Some(left)) = (self.stack.pop(), self.stack.pop()) {
            self.stack.push(merge_subtrees_non_root(&left, &right, Mode::Hash));
        }
    }

    /// The digest, once everything was added.
    pub(super) fn finish(mut self) -> Option<Hash> {
        if self.size == 0 {
            return Some(blake3::hash(&[]));
        }
        if self.root.is_some() || self.next != self.size {
            return self.root;
        }
        while self.stack.len() > 2 {
            self.merge();
        }
        match self.stack.as_slice() {
            [left, right] => Some(merge_subtrees_root(left, right, Mode::Hash)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The digest by parts, added from the last to the first.
    fn by_parts(bytes: &[u8]) -> Hash {
        let size = bytes.len() as u64;
        let mut tree = Tree::new(size);
        let starts: Vec<u64> = (0..size).step_by(CHUNK as usize).collect();
        for start in starts.into_iter().rev() {
            let end = (start + CHUNK).min(size);
            tree.add(start..end, hash(&bytes[start as usize..end as usize], start, size));
        }
        tree.finish().unwrap()
    }

    #[test]
    fn the_digest_is_the_ordinary_one() {
        for size in
            [0, 1, 1024, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 5 * CHUNK + 1025, 8 * CHUNK, 11 * CHUNK]
        {
            let bytes = block::conformance::sample(size as usize, size);
            assert_eq!(by_parts(&bytes), blake3::hash(&bytes), "{size}");
        }
    }

    #[test]
    fn zeroes_from_anywhere_to_anywhere() {
        let size = 101 * CHUNK + 700_001;
        let bytes = vec![0; size as usize];
        for (start, end) in [(0, size), (3 * CHUNK, size), (5 * CHUNK, 77 * CHUNK), (0, 64 * CHUNK)] {
            let mut tree = Tree::new(size);
            for piece in zero_pieces(start..end, size) {
                tree.add(piece.clone(), hash_zeroes(piece, size));
            }
            for start in (0..start).chain(end..size).filter(|start| start % CHUNK == 0) {
                let end = (start + CHUNK).min(size);
                tree.add(start..end, hash(&bytes[start as usize..end as usize], start, size));
            }
            assert_eq!(tree.finish().unwrap(), blake3::hash(&bytes), "{start}..{end}");
        }
        let power = 32 << 20;
        for size in [power, 2 * power, power + 1, CHUNK, 5] {
            let mut tree = Tree::new(size);
            for piece in zero_pieces(0..size, size) {
                tree.add(piece.clone(), hash_zeroes(piece, size));
            }
            assert_eq!(tree.finish().unwrap(), blake3::hash(&vec![0; size as usize]), "{size}");
        }
    }
}
