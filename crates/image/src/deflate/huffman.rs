//! Huffman codes of a bounded length (RFC 1951, section 3.2.2), from how often each symbol occurs.

/// The longest alphabet.
const SYMBOLS: usize = super::symbols::LITERALS;
/// The longest codeword of RFC 1951.
const LONGEST: usize = 15;

/// Finds the length of each symbol's codeword, at most `limit` bits: 0 for those that do not occur.
///
/// At least two symbols get a codeword, as zlib has it: there are decoders that take no code of fewer.
/// `2^limit` is to be no less than the number of symbols, of which there are at most 288.
pub(super) fn lengths(frequencies: &[u32], limit: usize, lengths: &mut [u8]) {
    debug_assert!(limit <= LONGEST && frequencies.len() <= SYMBOLS && frequencies.len() == lengths.len());
    lengths.fill(0);
    let mut room = [0_u64; SYMBOLS];
    let used = by_frequency(frequencies, &mut room);
    if used < 2 {
        // The one that occurs, if any, and the first of the others.
        let only = frequencies.iter().position(|frequency| *frequency > 0).unwrap_or(0);
        for symbol in [only, usize::from(only == 0)] {
            lengths[symbol] = 1;
        }
        return;
    }
    let sorted = &room[..used];
    let counts = limited(depths(sorted), limit);
    // The rarest symbols get the longest codewords.
    let mut rarest = sorted.iter();
    for (length, count) in counts.iter().enumerate().rev() {
        for entry in rarest.by_ref().take(*count as usize) {
            lengths[(*entry % 512) as usize] = length as u8;
        }
    }
}

/// Turns the lengths of a code into its codewords, as they are written: the first bit lowest.
pub(super) fn codewords(lengths: &[u8], codewords: &mut [u16]) {
    let mut next = [0_u16; LONGEST + 2];
    for length in lengths {
        next[usize::from(*length) + 1] += u16::from(*length > 0);
    }
    // The first codeword of each length follows the last one of the length before, with a zero added.
    for length in 1..next.len() {
        next[length] = (next[length] + next[length - 1]) << 1;
    }
    for (codeword, length) in codewords.iter_mut().zip(lengths) {
        if *length > 0 {
            let next = &mut next[usize::from(*length)];
            *codeword = next.reverse_bits() >> (16 - length);
            *next += 1;
        }
    }
}

/// Puts the symbols that occur in order, the rarest first, each as its frequency times 512 and itself.
fn by_frequency(frequencies: &[u32], room: &mut [u64; SYMBOLS]) -> usize {
    let mut used = 0;
    for (symbol, frequency) in frequencies.iter().enumerate() {
        if *frequency > 0 {
            room[used] = u64::from(*frequency) << 9 | symbol as u64;
            used += 1;
        }
    }
    room[..used].sort_unstable();
    used
}

/// How many symbols have a codeword of each length in the best code without a limit. The last count is of all
/// those that are longer still.
///
/// Leaves come sorted, and inner nodes are made in order of their weight: the two lightest nodes are always at
/// the front of one of two queues.
fn depths(sorted: &[u64]) -> [u32; 32] {
    let leaves = sorted.len();
    let mut weights = [0_u64; SYMBOLS];
    let mut parents = [0_u16; SYMBOLS];
    // For a leaf, its parent is only counted: an inner node has two children less the inner ones.
    let mut leaf_children = [0_u8; SYMBOLS];
    let (mut leaf, mut inner) = (0, 0);
    for node in 0..leaves - 1 {
        for _ in 0..2 {
            let take_leaf = leaf < leaves && (inner >= node || sorted[leaf] >> 9 <= weights[inner]);
            if take_leaf {
                weights[node] += sorted[leaf] >> 9;
                leaf_children[node] += 1;
                leaf += 1;
            } else {
                weights[node] += weights[inner];
                parents[inner] = node as u16;
                inner += 1;
            }
        }
    }
    let mut counts = [0; 32];
    let mut depth = [0_u8; SYMBOLS];
    // The root is the last node.
    for node in (0..leaves - 1).rev() {
        if node + 1 < leaves - 1 {
            depth[node] = depth[usize::from(parents[node])] + 1;
        }
        counts[usize::from(depth[node] + 1).min(31)] += u32::from(leaf_children[node]);
    }
    counts
}

/// Shortens the codewords that are longer than `limit`, and lengthens others as little as is needed for that.
fn limited(counts: [u32; 32], limit: usize) -> [u32; LONGEST + 1] {
    let mut limited = [0; LONGEST + 1];
    limited[..=limit].copy_from_slice(&counts[..=limit]);
    limited[limit] += counts[limit + 1..].iter().sum::<u32>();
    // How much of the code space is taken, in codewords of the longest length.
    let taken: u32 = (1..=limit).map(|length| limited[length] << (limit - length)).sum();
    for _ in 1 << limit..taken {
        // A codeword is moved one down, and one of the longest beside it: this frees one place.
        let Some(length) = (1..limit).rev().find(|length| limited[*length] > 0) else {
            break;
        };
        limited[length] -= 1;
        limited[length + 1] += 2;
        limited[limit] -= 1;
    }
    limited
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The code space that a code takes, in codewords of `LONGEST` bits.
    fn taken(lengths: &[u8]) -> u32 {
        lengths.iter().filter(|length| **length > 0).map(|length| 1 << (LONGEST - usize::from(*length))).sum()
    }

    fn cost(frequencies: &[u32], lengths: &[u8]) -> u64 {
        frequencies.iter().zip(lengths).map(|(times, length)| u64::from(*times) * u64::from(*length)).sum()
    }

    #[test]
    fn the_example_of_the_specification() {
        let mut words = [0; 8];
        codewords(&[3, 3, 3, 3, 3, 2, 4, 4], &mut words);
        let read = [0b010, 0b011, 0b100, 0b101, 0b110, 0b00, 0b1110, 0b1111_u16];
        let written = [3, 3, 3, 3, 3, 2, 4, 4_u32].map(|length| 16 - length);
        for ((word, read), shift) in words.into_iter().zip(read).zip(written) {
            assert_eq!(word, read.reverse_bits() >> shift);
        }
    }

    #[test]
    fn one_symbol_or_none_still_make_a_code() {
        for (frequencies, expected) in
            [([0, 0, 0], [1, 1, 0]), ([9, 0, 0], [1, 1, 0]), ([0, 0, 2], [1, 0, 1]), ([0, 5, 0], [1, 1, 0])]
        {
            let mut found = [7; 3];
            lengths(&frequencies, 15, &mut found);
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn frequencies_that_grow_like_rabbits_are_held_to_the_limit() {
        let mut frequencies = [1_u32; 40];
        for index in 2..frequencies.len() {
            frequencies[index] = frequencies[index - 1] + frequencies[index - 2];
        }
        for limit in [6, 7, 14, 15] {
            let mut found = [0; 40];
            lengths(&frequencies, limit, &mut found);
            assert_eq!(found.iter().copied().max(), Some(limit as u8));
            assert_eq!(taken(&found), 1 << LONGEST);
        }
    }

    proptest! {
        #[test]
        fn a_code_is_complete_and_no_worse_than_a_flat_one(
            frequencies in prop::collection::vec(prop_oneof![Just(0_u32), 1..8_u32, 1..60_000_u32], 2..=SYMBOLS),
            limit in 9_usize..=15,
        ) {
            let mut found = vec![0; frequencies.len()];
            lengths(&frequencies, limit, &mut found);
            prop_assert_eq!(taken(&found), 1 << LONGEST);
            let used = frequencies.iter().filter(|times| **times > 0).count();
            prop_assert!(found.iter().all(|length| usize::from(*length) <= limit));
            if used >= 2 {
                prop_assert!(found.iter().zip(&frequencies).all(|(length, times)| (*length > 0) == (*times > 0)));
                let flat = used.next_power_of_two().ilog2();
                let total: u64 = frequencies.iter().map(|times| u64::from(*times)).sum();
                prop_assert!(cost(&frequencies, &found) <= total * u64::from(flat));
            }
        }
    }
}
