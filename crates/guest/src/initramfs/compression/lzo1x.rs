//! LZO1X, as Linux describes what its decoder understands (`Documentation/staging/lzo.rst`), without the run-length
//! extension, which no archive uses.
//!
//! A stream is a row of instructions. Each copies bytes that stand somewhat earlier in the output, and says how many
//! literals (bytes of the stream itself) follow it. That number is part of what the next instruction means.

/// The longest way back of the instruction that has one byte for it, and the start of the one that follows a long run.
const NEAR: usize = 2048;
/// Where the distances of the farthest instruction start; exactly there, it ends the stream.
const FAR: usize = 16 << 10;

/// Why a stream cannot be unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Damage {
    /// The stream ends within an instruction, or without the one that ends it.
    #[error("the stream ends before its end mark")]
    Truncated,
    /// More comes out than its container says.
    #[error("it unpacks to more than the {limit} bytes that its block has")]
    TooLong {
        /// What its container says, in bytes.
        limit: usize,
    },
    /// A copy from before the start of the output.
    #[error("byte {at} of the output is to be copied from {distance} bytes before it")]
    Distance {
        /// How much was unpacked by then, in bytes.
        at: usize,
        /// How far back the copy reaches, in bytes.
        distance: usize,
    },
    /// The end mark is not the last thing, or not what an end mark looks like.
    #[error("the end mark is not at the end of the stream")]
    EndMark,
}

/// How many literals the last instruction brought: the two smallest kinds of instruction mean something else after each.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Literals {
    None,
    /// One to three.
    Few,
    /// Four and more.
    Many,
}

impl Literals {
    fn of(count: usize) -> Self {
        match count {
            0 => Self::None,
            1..=3 => Self::Few,
            _ => Self::Many,
        }
    }
}

/// Unpacks a stream to the end of `output`, by no more than `limit` bytes.
///
/// # Errors
/// See [`Damage`].
pub(super) fn unpack(stream: &[u8], output: &mut Vec<u8>, limit: usize) -> Result<(), Damage> {
    let start = output.len();
    let mut decoder = Decoder { stream, output, start, limit };
    let mut literals = decoder.first_literals()?;
    while let Some(next) = decoder.instruction(literals)? {
        literals = next;
    }
    if decoder.stream.is_empty() { Ok(()) } else { Err(Damage::EndMark) }
}

struct Decoder<'a> {
    /// What is not yet read.
    stream: &'a [u8],
    output: &'a mut Vec<u8>,
    /// Where this stream's output starts.
    start: usize,
    limit: usize,
}

impl Decoder<'_> {
    fn byte(&mut self) -> Result<usize, Damage> {
        let (byte, rest) = self.stream.split_first().ok_or(Damage::Truncated)?;
        self.stream = rest;
        Ok(usize::from(*byte))
    }

    /// Two bytes, the low one first.
    fn word(&mut self) -> Result<usize, Damage> {
        Ok(self.byte()? | self.byte()? << 8)
    }

    /// A length of which an instruction has the bits of `mask`; when they are zero, bytes follow: each zero stands for 255
    /// more, and the first other one is added.
    fn length(&mut self, instruction: usize, mask: usize) -> Result<usize, Damage> {
        match instruction & mask {
            0 => {
                let zeroes = self.stream.iter().take_while(|byte| **byte == 0).count();
                self.stream = self.stream.get(zeroes..).unwrap_or_default();
                Ok(mask + zeroes.saturating_mul(255) + self.byte()?)
            }
            bits => Ok(bits),
        }
    }

    /// The first byte has an encoding of its own: there is nothing yet to copy.
    fn first_literals(&mut self) -> Result<Literals, Damage> {
        match self.stream.first().map(|first| usize::from(*first)) {
            Some(first @ 18..) => {
                self.byte()?;
                self.literals(first - 17)
            }
            _ => Ok(Literals::None),
        }
    }

    /// Carries one instruction out; `None` when it was the end mark.
    fn instruction(&mut self, before: Literals) -> Result<Option<Literals>, Damage> {
        let code = self.byte()?;
        let (length, distance, literals) = match code {
            0..16 if before == Literals::None => {
                let count = 3 + self.length(code, 15)?;
                return self.literals(count).map(Some);
            }
            0..16 => {
                let distance = (self.byte()? << 2) + (code >> 2) + 1;
                let many = before == Literals::Many;
                if many { (3, NEAR + distance, code & 3) } else { (2, distance, code & 3) }
            }
            16..32 => {
                let length = 2 + self.length(code, 7)?;
                let word = self.word()?;
                let distance = FAR + ((code & 8) << 11) + (word >> 2);
                if distance == FAR {
                    return if length == 3 { Ok(None) } else { Err(Damage::EndMark) };
                }
                (length, distance, word & 3)
            }
            32..64 => {
                let length = 2 + self.length(code, 31)?;
                let word = self.word()?;
                (length, (word >> 2) + 1, word & 3)
            }
            _ => {
                let distance = (self.byte()? << 3) + (code >> 2 & 7) + 1;
                (1 + (code >> 5), distance, code & 3)
            }
        };
        self.copy(length, distance)?;
        self.literals(literals).map(Some)
    }

    fn room(&self, count: usize) -> Result<(), Damage> {
        let left = self.limit.saturating_sub(self.output.len() - self.start);
        if count <= left { Ok(()) } else { Err(Damage::TooLong { limit: self.limit }) }
    }

    /// Takes `count` bytes of the stream over.
    fn literals(&mut self, count: usize) -> Result<Literals, Damage> {
        self.room(count)?;
        let (literals, rest) = self.stream.split_at_checked(count).ok_or(Damage::Truncated)?;
        self.output.extend_from_slice(literals);
        self.stream = rest;
        Ok(Literals::of(count))
    }

    /// Repeats what stands `distance` bytes before the end; where that is less than `length`, what is copied is copied
    /// again.
    fn copy(&mut self, length: usize, distance: usize) -> Result<(), Damage> {
        self.room(length)?;
        let at = self.output.len() - self.start;
        if distance > at {
            return Err(Damage::Distance { at, distance });
        }
        let from = self.output.len() - distance;
        let mut left = length;
        while left > 0 {
            // What repeats grows with every round.
            let count = left.min(self.output.len() - from);
            self.output.extend_from_within(from..from + count);
            left -= count;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const END: [u8; 3] = [0x11, 0, 0];

    fn unpacked(stream: &[u8], limit: usize) -> Result<Vec<u8>, Damage> {
        let mut output = b"before".to_vec();
        unpack(stream, &mut output, limit)?;
        Ok(output.split_off(6))
    }

    fn stream(parts: &[&[u8]]) -> Vec<u8> {
        [&parts.concat()[..], &END].concat()
    }

    #[test]
    fn every_kind_of_instruction_is_known() {
        // Four literals; five bytes from 4 back and one literal; two bytes from 2 back, for few literals precede.
        let near = stream(&[&[21], b"abcd", &[0x8D, 0, b'e', 0x04, 0]]);
        assert_eq!(unpacked(&near, 99).unwrap(), b"abcdabcdaeae");
        // A run of one byte, its length in three bytes: 2 + 31 + 255 + 7.
        let run = stream(&[&[18, b'x', 0x20, 0, 7, 0, 0]]);
        assert_eq!(unpacked(&run, 999).unwrap(), [b'x'; 296]);
        // A long run of literals: 3 + 15 + 255 × 65 + 227; three bytes from 2049 back; three from 16,385.
        let literals: Vec<u8> = (0..16_820u32).map(|n| (n % 251) as u8).collect();
        let far = stream(&[&[0], &[0; 65], &[227], &literals, &[0, 0], &[0x11, 4, 0]]);
        let mut expected = literals;
        for distance in [2049, 16_385] {
            let from = expected.len() - distance;
            expected.extend_from_within(from..from + 3);
        }
        assert_eq!(unpacked(&far, 99_999).unwrap(), expected);
        assert_eq!(unpacked(&END, 0).unwrap(), b"");
    }

    #[test]
    fn damage_is_named() {
        assert_eq!(unpacked(b"", 9), Err(Damage::Truncated));
        assert_eq!(unpacked(&[21, b'a'], 9), Err(Damage::Truncated));
        assert_eq!(unpacked(&stream(&[&[21], b"abcd"]), 3), Err(Damage::TooLong { limit: 3 }));
        // What stands before this stream's output is out of reach.
        assert_eq!(
            unpacked(&stream(&[&[18, b'a', 0x40, 1]]), 99),
            Err(Damage::Distance { at: 1, distance: 9 })
        );
        assert_eq!(unpacked(&stream(&[&END]), 9), Err(Damage::EndMark));
        assert_eq!(unpacked(&[18, b'a', 0x12, 0, 0], 9), Err(Damage::EndMark));
    }

    proptest! {
        #[test]
        fn anything_is_unpacked_within_its_bounds_or_refused(
            stream in proptest::collection::vec(any::<u8>(), 0..2048),
            limit in 0usize..4096,
        ) {
            let mut output = Vec::new();
            let _ = unpack(&stream, &mut output, limit);
            prop_assert!(output.len() <= limit);
        }

        /// Small numbers are the instructions with the rarest meanings.
        #[test]
        fn so_are_the_rarer_instructions(stream in proptest::collection::vec(0u8..40, 0..512)) {
            let mut output = Vec::new();
            let _ = unpack(&stream, &mut output, 1 << 16);
            prop_assert!(output.len() <= 1 << 16);
        }
    }
}
