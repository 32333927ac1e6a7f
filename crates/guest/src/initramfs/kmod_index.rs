//! The binary indices of kmod (`modules.dep.bin`, `modules.alias.bin`): what `modprobe` looks modules up in.
//!
//! The layout is documented in kmod's `libkmod/libkmod-index.c`: a trie whose arcs are labelled with characters, where
//! a node with a single child is merged with it into a prefix. Numbers are big-endian; a node is pointed at by its
//! offset in the file, with flags in the highest bits that say which of its parts are present.

use std::collections::BTreeMap;

const MAGIC: u32 = 0xB007_F457;
/// Version 2.1.
const VERSION: u32 = 0x0002_0001;
const HAS_PREFIX: u32 = 0x8000_0000;
const HAS_VALUES: u32 = 0x4000_0000;
const HAS_CHILDREN: u32 = 0x2000_0000;
/// Offsets have 28 bits.
const MAX_OFFSET: usize = 0x0FFF_FFFF;

/// A trie that grows by insertion.
#[derive(Default)]
struct Node {
    /// What follows the arc that leads here, before the next branch.
    prefix: Vec<u8>,
    /// Values by insertion, the first one foremost.
    values: Vec<(u32, String)>,
    children: BTreeMap<u8, Node>,
}

impl Node {
    fn insert(&mut self, key: &[u8], priority: u32, value: &str) {
        let common = self.prefix.iter().zip(key).take_while(|(a, b)| a == b).count();
        if common < self.prefix.len() {
            self.split(common);
        }
        match key.get(common..).and_then(<[u8]>::split_first) {
            None => self.values.push((priority, value.into())),
            Some((first, rest)) => self
                .children
                .entry(*first)
                .or_insert_with(|| Node { prefix: rest.to_vec(), ..Node::default() })
                .insert(rest, priority, value),
        }
    }

    /// Makes the first `length` characters of the prefix a node of their own, above this one.
    fn split(&mut self, length: usize) {
        let mut rest = self.prefix.split_off(length);
        let arc = rest.remove(0);
        let above = Node { prefix: std::mem::take(&mut self.prefix), ..Node::default() };
        let mut below = std::mem::replace(self, above);
        below.prefix = rest;
        self.children.insert(arc, below);
    }

    /// Writes the node behind its children; answers with its offset and flags.
    fn write(&self, out: &mut Vec<u8>) -> u32 {
        let children: Vec<_> = self.children.iter().map(|(&arc, child)| (arc, child.write(out))).collect();
        let mut pointer = u32::try_from(out.len()).unwrap_or(u32::MAX);
        if !self.prefix.is_empty() {
            out.extend(&self.prefix);
            out.push(0);
            pointer |= HAS_PREFIX;
        }
        if let (Some((first, _)), Some((last, _))) = (children.first(), children.last()) {
            out.extend([*first, *last]);
            for arc in *first..=*last {
                let child = children.iter().find(|(own, _)| *own == arc).map_or(0, |(_, pointer)| *pointer);
                out.extend(child.to_be_bytes());
            }
            pointer |= HAS_CHILDREN;
        }
        if !self.values.is_empty() {
            out.extend((self.values.len() as u32).to_be_bytes());
            for (priority, value) in &self.values {
                out.extend(priority.to_be_bytes());
                out.extend(value.bytes());
                out.push(0);
            }
            pointer |= HAS_VALUES;
        }
        pointer
    }
}

/// Writes an index of `entries`, keys with their values; of equal keys the first counts most. Keys and values are 7-bit
/// ASCII without NUL: others are left out, as `depmod` refuses them. `None` when the index would grow beyond what the
/// format can address.
pub fn write<'a>(entries: impl IntoIterator<Item = (&'a str, &'a str)>) -> Option<Vec<u8>> {
    let mut root = Node::default();
    let plain = |text: &str| text.bytes().all(|byte| (1..128).contains(&byte));
    for (priority, (key, value)) in (0u32..).zip(entries) {
        if key.len() <= 4096 && plain(key) && plain(value) {
            root.insert(key.as_bytes(), priority, value);
        }
    }
    let mut out = [MAGIC.to_be_bytes(), VERSION.to_be_bytes(), [0; 4]].concat();
    let pointer = root.write(&mut out);
    out.get_mut(8..12)?.copy_from_slice(&pointer.to_be_bytes());
    (out.len() <= MAX_OFFSET).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Reads an index back, as the format's description says.
    fn read(index: &[u8]) -> Vec<(String, String)> {
        let u32_at = |at: usize| u32::from_be_bytes(index[at..at + 4].try_into().unwrap());
        assert_eq!((u32_at(0), u32_at(4)), (MAGIC, VERSION));
        let text_at = |at: usize| {
            let end = at + index[at..].iter().position(|&byte| byte == 0).unwrap();
            (String::from_utf8(index[at..end].to_vec()).unwrap(), end + 1)
        };
        let mut found = Vec::new();
        let mut todo = vec![(u32_at(8), String::new())];
        while let Some((pointer, mut key)) = todo.pop() {
            let mut at = (pointer & 0x0FFF_FFFF) as usize;
            if pointer & HAS_PREFIX != 0 {
                let (prefix, next) = text_at(at);
                key += &prefix;
                at = next;
            }
            if pointer & HAS_CHILDREN != 0 {
                let (first, last) = (index[at], index[at + 1]);
                at += 2;
                for arc in first..=last {
                    if u32_at(at) != 0 {
                        todo.push((u32_at(at), format!("{key}{}", char::from(arc))));
                    }
                    at += 4;
                }
            }
            if pointer & HAS_VALUES != 0 {
                let count = u32_at(at);
                at += 4;
                for _ in 0..count {
                    let (value, next) = text_at(at + 4);
                    found.push((key.clone(), value));
                    at = next;
                }
            }
        }
        found.sort();
        found
    }

    proptest! {
        #[test]
        fn holds_every_entry(entries in proptest::collection::vec(("[ab_*]{0,6}", "[a-c]{0,3}"), 0..40)) {
            let index = write(entries.iter().map(|(k, v)| (k.as_str(), v.as_str()))).unwrap();
            let mut expected = entries;
            expected.sort();
            prop_assert_eq!(read(&index), expected);
        }
    }
}
