//! One block (RFC 1951, section 3.2.3): stored, with the fixed codes or with its own, whichever is shortest.

use super::bits::BitWriter;
use super::huffman;
use super::parse::Sequence;
use super::split::Stretch;
use super::symbols::{
    DISTANCES, END_OF_BLOCK, LENGTHS, LITERALS, MIN_MATCH, distance_bits, distance_extra, distance_symbol,
    length_extra,
};

/// The longest codeword that we make: four of them fit between two flushes of a [`BitWriter`].
const LIMIT: usize = 14;
/// Bits of a block's header: whether it is the last one, and its type.
const HEADER: usize = 3;
/// The most bytes of a stored block.
const STORED: usize = 65_535;
/// The order in which the lengths of the code length code are written (section 3.2.7).
const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// Writes blocks.
pub(super) struct BlockWriter {
    fixed: Codes,
    own: Codes,
    header: CodeLengths,
}

/// A code for each of the two alphabets.
struct Codes {
    literal_lengths: [u8; LITERALS],
    distance_lengths: [u8; DISTANCES],
}

/// How the codes of a block are described (section 3.2.7).
struct CodeLengths {
    /// Symbols of the code length alphabet, with their extra bits.
    items: Vec<(u8, u8)>,
    lengths: [u8; 19],
    codewords: [u16; 19],
    /// How many literal and length codes there are.
    literals: usize,
    /// How many distance codes there are.
    distances: usize,
    /// How many lengths of the code length code are written.
    ordered: usize,
}

impl BlockWriter {
    pub(super) fn new() -> Self {
        Self { fixed: Codes::fixed(), own: Codes::fixed(), header: CodeLengths::new() }
    }

    /// Appends a stretch of `data`, unless the result would be longer than `limit` bits; answers with whether
    /// it was not.
    pub(super) fn write(
        &mut self,
        bits: &mut BitWriter<'_>,
        data: &[u8],
        sequences: &[Sequence],
        stretch: &mut Stretch,
        last: bool,
        limit: usize,
    ) -> bool {
        stretch.symbols.literals[END_OF_BLOCK] = 1;
        let symbols = &stretch.symbols;
        huffman::lengths(&symbols.literals, LIMIT, &mut self.own.literal_lengths);
        huffman::lengths(&symbols.distances, LIMIT, &mut self.own.distance_lengths);
        let header = self.header.describe(&self.own);
        let extra = extra_bits(stretch);
        let own = HEADER + header + self.own.bits(stretch) + extra;
        let fixed = HEADER + self.fixed.bits(stretch) + extra;
        let stored = stored_bits(bits.position(), stretch.bytes.len());
        let least = own.min(fixed).min(stored);
        if bits.position() + least > limit {
            return false;
        }
        bits.reserve(least);
        let bytes = data.get(stretch.bytes.clone()).unwrap_or_default();
        if stored == least {
            write_stored(bits, bytes, last);
        } else {
            let codes = if fixed == least { &self.fixed } else { &self.own };
            bits.add(u64::from(last), 1);
            bits.add(if fixed == least { 1 } else { 2 }, 2);
            if fixed != least {
                self.header.write(bits);
            }
            let sequences = sequences.get(stretch.sequences.clone()).unwrap_or_default();
            codes.write(bits, bytes, sequences);
        }
        true
    }
}

/// The extra bits of a stretch's lengths and distances.
fn extra_bits(stretch: &Stretch) -> usize {
    let lengths = stretch.symbols.literals.iter().enumerate().skip(END_OF_BLOCK + 1);
    let distances = stretch.symbols.distances.iter().enumerate();
    let lengths: u32 = lengths.map(|(symbol, count)| count * length_extra(symbol)).sum();
    let distances: u32 = distances.map(|(symbol, count)| count * distance_extra(symbol)).sum();
    (lengths + distances) as usize
}

/// What `length` bytes cost as stored blocks, when `position` bits have been written.
fn stored_bits(position: usize, length: usize) -> usize {
    let blocks = length.div_ceil(STORED).max(1);
    let first = (position + HEADER).next_multiple_of(8) - position;
    first + (blocks - 1) * 8 + blocks * 32 + length * 8
}

/// Appends stored blocks (section 3.2.4).
fn write_stored(bits: &mut BitWriter<'_>, mut bytes: &[u8], last: bool) {
    loop {
        let (block, rest) = bytes.split_at(bytes.len().min(STORED));
        bits.add(u64::from(last && rest.is_empty()), HEADER as u32);
        let length = block.len() as u16;
        bits.add_bytes(&length.to_le_bytes());
        bits.add_bytes(&(!length).to_le_bytes());
        bits.add_bytes(block);
        bytes = rest;
        if rest.is_empty() {
            return;
        }
    }
}

impl Codes {
    /// The codes of section 3.2.6.
    fn fixed() -> Self {
        let mut literal_lengths = [8; LITERALS];
        literal_lengths[144..256].fill(9);
        literal_lengths[256..280].fill(7);
        Self { literal_lengths, distance_lengths: [5; DISTANCES] }
    }

    /// What the codewords of a stretch take, the end of the block included.
    fn bits(&self, stretch: &Stretch) -> usize {
        let sum = |counts: &[u32], lengths: &[u8]| -> u32 {
            counts.iter().zip(lengths).map(|(count, length)| count * u32::from(*length)).sum()
        };
        (sum(&stretch.symbols.literals, &self.literal_lengths)
            + sum(&stretch.symbols.distances, &self.distance_lengths)) as usize
    }

    /// Appends sequences and the end of the block.
    fn write(&self, bits: &mut BitWriter<'_>, mut bytes: &[u8], sequences: &[Sequence]) {
        let mut literal_codewords = [0; LITERALS];
        let mut distance_codewords = [0; DISTANCES];
        huffman::codewords(&self.literal_lengths, &mut literal_codewords);
        huffman::codewords(&self.distance_lengths, &mut distance_codewords);
        let mut literals = [Codeword::default(); 256];
        for (symbol, codeword) in literals.iter_mut().enumerate() {
            *codeword = Codeword::new(literal_codewords[symbol], self.literal_lengths[symbol]);
        }
        let mut lengths = [Codeword::default(); 256];
        for (codeword, coded) in lengths.iter_mut().zip(&LENGTHS) {
            let symbol = usize::from(coded.symbol);
            *codeword = Codeword::new(literal_codewords[symbol], self.literal_lengths[symbol])
                .followed_by(coded.bits.into(), coded.extra.into());
        }
        let mut distances = [Codeword::default(); 32];
        for (symbol, codeword) in distances.iter_mut().enumerate().take(DISTANCES) {
            *codeword = Codeword::new(distance_codewords[symbol], self.distance_lengths[symbol]);
        }
        for sequence in sequences {
            let Some((run, rest)) = bytes.split_at_checked(sequence.literals.into()) else {
                return;
            };
            write_literals(bits, run, &literals);
            let Some(place) = usize::from(sequence.length).checked_sub(MIN_MATCH) else {
                bytes = rest;
                continue;
            };
            let distance = usize::from(sequence.distance);
            let symbol = distance_symbol(distance);
            let extra = distance_extra(symbol);
            lengths[place % 256].write(bits);
            distances[symbol % 32].followed_by(distance_bits(distance, extra) as u32, extra).write(bits);
            bits.flush();
            bytes = rest.get(sequence.length.into()..).unwrap_or_default();
        }
        Codeword::new(literal_codewords[END_OF_BLOCK], self.literal_lengths[END_OF_BLOCK]).write(bits);
        bits.flush();
    }
}

#[inline(always)]
fn write_literals(bits: &mut BitWriter<'_>, run: &[u8], codewords: &[Codeword; 256]) {
    let mut fours = run.chunks_exact(4);
    for four in &mut fours {
        for byte in four {
            codewords[usize::from(*byte)].write(bits);
        }
        bits.flush();
    }
    for byte in fours.remainder() {
        codewords[usize::from(*byte)].write(bits);
    }
    bits.flush();
}

/// A codeword, and extra bits that follow it.
#[derive(Clone, Copy, Default)]
struct Codeword {
    bits: u32,
    count: u32,
}

impl Codeword {
    fn new(codeword: u16, length: u8) -> Self {
        Self { bits: codeword.into(), count: length.into() }
    }

    #[inline(always)]
    fn followed_by(self, bits: u32, count: u32) -> Self {
        Self { bits: self.bits | bits << self.count, count: self.count + count }
    }

    #[inline(always)]
    fn write(self, bits: &mut BitWriter<'_>) {
        bits.add(self.bits.into(), self.count);
    }
}

impl CodeLengths {
    fn new() -> Self {
        Self {
            items: Vec::new(),
            lengths: [0; 19],
            codewords: [0; 19],
            literals: 0,
            distances: 0,
            ordered: 0,
        }
    }

    /// Describes codes; answers with how many bits the description takes.
    fn describe(&mut self, codes: &Codes) -> usize {
        let used = |lengths: &[u8]| lengths.iter().rposition(|length| *length > 0).map_or(0, |last| last + 1);
        self.literals = used(&codes.literal_lengths).max(257);
        self.distances = used(&codes.distance_lengths).max(1);
        let mut all = [0; LITERALS + DISTANCES];
        let total = self.literals + self.distances;
        all[..self.literals].copy_from_slice(&codes.literal_lengths[..self.literals]);
        all[self.literals..total].copy_from_slice(&codes.distance_lengths[..self.distances]);
        self.items.clear();
        // Lengths run on from one code to the other.
        for run in all[..total].chunk_by(|one, other| one == other) {
            self.describe_run(run[0], run.len());
        }
        let mut frequencies = [0; 19];
        for (symbol, _) in &self.items {
            frequencies[usize::from(*symbol)] += 1;
        }
        huffman::lengths(&frequencies, 7, &mut self.lengths);
        huffman::codewords(&self.lengths, &mut self.codewords);
        self.ordered =
            ORDER.iter().rposition(|symbol| self.lengths[*symbol] > 0).map_or(4, |last| (last + 1).max(4));
        let items = self
            .items
            .iter()
            .map(|(symbol, _)| usize::from(self.lengths[usize::from(*symbol)]) + run_extra(*symbol) as usize);
        5 + 5 + 4 + 3 * self.ordered + items.sum::<usize>()
    }

    /// Describes equal lengths that follow each other.
    fn describe_run(&mut self, length: u8, mut count: usize) {
        if length == 0 {
            while count >= 11 {
                let taken = count.min(138);
                self.items.push((18, (taken - 11) as u8));
                count -= taken;
            }
            if count >= 3 {
                self.items.push((17, (count - 3) as u8));
                count = 0;
            }
        } else if count >= 4 {
            self.items.push((length, 0));
            count -= 1;
            while count >= 3 {
                let taken = count.min(6);
                self.items.push((16, (taken - 3) as u8));
                count -= taken;
            }
        }
        self.items.extend((0..count).map(|_| (length, 0)));
    }

    fn write(&self, bits: &mut BitWriter<'_>) {
        bits.add((self.literals - 257) as u64, 5);
        bits.add((self.distances - 1) as u64, 5);
        bits.add((self.ordered - 4) as u64, 4);
        bits.flush();
        for symbol in &ORDER[..self.ordered] {
            bits.add(self.lengths[*symbol].into(), 3);
            bits.flush();
        }
        for (symbol, extra) in &self.items {
            let index = usize::from(*symbol);
            bits.add(self.codewords[index].into(), self.lengths[index].into());
            bits.add((*extra).into(), run_extra(*symbol));
            bits.flush();
        }
    }
}

/// How many extra bits follow a symbol of the code length alphabet.
fn run_extra(symbol: u8) -> u32 {
    match symbol {
        16 => 2,
        17 => 3,
        18 => 7,
        _ => 0,
    }
}
