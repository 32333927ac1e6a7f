//! The alphabets of RFC 1951, section 3.2.5: which symbol, and which extra bits, stand for a length or a distance.

/// Symbols of the literal and length alphabet: 256 bytes, the end of the block, 29 lengths, and two that never
/// occur but have codewords in the fixed code.
pub(super) const LITERALS: usize = 288;
/// Symbols of the distance alphabet that may occur.
pub(super) const DISTANCES: usize = 30;
/// The symbol that ends a block.
pub(super) const END_OF_BLOCK: usize = 256;
/// The shortest match that has a symbol.
pub(super) const MIN_MATCH: usize = 3;
/// The longest match that has a symbol.
pub(super) const MAX_MATCH: usize = 258;

/// The lengths from 3 to 258, less three: the first symbol's place in the alphabet is 257.
pub(super) const LENGTHS: [Coded; 256] = lengths();

/// A value as its symbol and its extra bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Coded {
    pub(super) symbol: u16,
    /// How many extra bits follow the symbol.
    pub(super) extra: u16,
    /// What they say.
    pub(super) bits: u16,
}

/// How many extra bits follow a length's symbol.
pub(super) const fn length_extra(symbol: usize) -> u32 {
    match symbol {
        265..=284 => (symbol as u32 - 261) / 4,
        _ => 0,
    }
}

/// How many extra bits follow a distance's symbol.
pub(super) const fn distance_extra(symbol: usize) -> u32 {
    match symbol {
        4..DISTANCES => symbol as u32 / 2 - 1,
        _ => 0,
    }
}

/// The symbol of a distance from 1 to 32,768.
pub(super) const fn distance_symbol(distance: usize) -> usize {
    let less = distance - 1;
    if less < 2 {
        return less;
    }
    // Two symbols for each power of two: the bit below the highest one says which.
    let power = less.ilog2();
    2 * power as usize + ((less >> (power - 1)) & 1)
}

/// What the extra bits of a distance say, whose symbol has `extra` of them.
pub(super) const fn distance_bits(distance: usize, extra: u32) -> usize {
    (distance - 1) & ((1 << extra) - 1)
}

const fn lengths() -> [Coded; 256] {
    let mut table = [Coded { symbol: 0, extra: 0, bits: 0 }; 256];
    let mut symbol = 257;
    let mut place = 0;
    while symbol < 285 {
        let extra = length_extra(symbol);
        let mut bits = 0;
        while bits < 1 << extra {
            // The last symbol but one stops short: 258 has a symbol of its own.
            if place < 255 {
                table[place] = Coded { symbol: symbol as u16, extra: extra as u16, bits };
            }
            place += 1;
            bits += 1;
        }
        symbol += 1;
    }
    table[255] = Coded { symbol: 285, extra: 0, bits: 0 };
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines of the two tables of section 3.2.5: symbol, extra bits, first and last value.
    const LENGTH_LINES: [(u16, u16, usize, usize); 8] = [
        (257, 0, 3, 3),
        (264, 0, 10, 10),
        (265, 1, 11, 12),
        (268, 1, 17, 18),
        (269, 2, 19, 22),
        (280, 4, 115, 130),
        (284, 5, 227, 257),
        (285, 0, 258, 258),
    ];
    const DISTANCE_LINES: [(usize, u32, usize, usize); 8] = [
        (0, 0, 1, 1),
        (3, 0, 4, 4),
        (4, 1, 5, 6),
        (9, 3, 25, 32),
        (10, 4, 33, 48),
        (23, 10, 3073, 4096),
        (24, 11, 4097, 6144),
        (29, 13, 24_577, 32_768),
    ];

    #[test]
    fn lengths_have_the_symbols_of_the_specification() {
        for (symbol, extra, first, last) in LENGTH_LINES {
            for length in [first, last] {
                let bits = (length - first) as u16;
                assert_eq!(LENGTHS[length - MIN_MATCH], Coded { symbol, extra, bits }, "{length}");
            }
        }
    }

    #[test]
    fn distances_have_the_symbols_of_the_specification() {
        for (symbol, extra, first, last) in DISTANCE_LINES {
            for distance in [first, last] {
                assert_eq!(distance_symbol(distance), symbol, "{distance}");
                assert_eq!(distance_extra(symbol), extra, "{distance}");
                assert_eq!(distance_bits(distance, extra), distance - first, "{distance}");
            }
        }
    }
}
