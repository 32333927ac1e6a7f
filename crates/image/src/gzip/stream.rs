//! Reading a gzip stream forwards from any point whose state was kept: [`Stream`] (RFC 1952, RFC 1951).

use super::Reason;
use crate::bytes::Bytes;
use crate::error::{Error, Result};
use crate::source::Source;
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_HAS_MORE_INPUT;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

/// Deflate refers back at most so far, in bytes.
const WINDOW: usize = 32 << 10;
/// How much of the file is read at once, in bytes.
const INPUT: u64 = 64 << 10;

const FLAG_HEADER_CRC: u8 = 1 << 1;
const FLAG_EXTRA: u8 = 1 << 2;
const FLAG_NAME: u8 = 1 << 3;
const FLAG_COMMENT: u8 = 1 << 4;
const FLAGS_RESERVED: u8 = 0xe0;
const DEFLATE: u8 = 8;

/// All that is needed to go on from a point in a stream.
#[derive(Clone)]
pub(super) struct State {
    /// The next byte of the file.
    input: u64,
    /// How many bytes came out so far.
    pub(super) output: u64,
    inflater: Box<DecompressorOxide>,
    /// The last bytes that came out, used as a ring: the next one goes where `output_in_member` says.
    window: Box<[u8]>,
    output_in_member: u64,
    /// Whether a member has begun and not ended.
    in_member: bool,
}

/// What comes out of a stream.
pub(super) enum Output<'a> {
    /// So many more bytes; never empty.
    Bytes(&'a [u8]),
    /// A member ended, with the CRC-32 and the length that its trailer says.
    MemberEnd {
        /// CRC-32 of the member's bytes.
        checksum: u32,
        /// Their number modulo 2^32.
        length: u32,
    },
    /// The stream has ended.
    End,
}

/// A stream that is being read.
pub(super) struct Stream {
    source: Source,
    pub(super) state: State,
    /// Bytes of the file from `buffer_start`.
    buffer: Vec<u8>,
    buffer_start: u64,
}

impl State {
    /// The beginning of a stream.
    pub(super) fn start() -> Self {
        Self {
            input: 0,
            output: 0,
            inflater: Box::default(),
            window: vec![0; WINDOW].into_boxed_slice(),
            output_in_member: 0,
            in_member: false,
        }
    }
}

impl Stream {
    /// Reads `source` on from `state`.
    pub(super) fn new(source: Source, state: State) -> Self {
        Self { source, state, buffer: Vec::new(), buffer_start: 0 }
    }

    /// Goes on until something comes out.
    pub(super) fn advance(&mut self) -> Result<Output<'_>> {
        if !self.state.in_member && !self.begin_member()? {
            return Ok(Output::End);
        }
        loop {
            self.fill()?;
            let used = (self.state.input - self.buffer_start) as usize;
            let input = self.buffer.get(used..).unwrap_or_default();
            let more = self.buffer_start + (self.buffer.len() as u64) < self.source.size();
            let flags = if more { TINFL_FLAG_HAS_MORE_INPUT } else { 0 };
            let state = &mut self.state;
            let place = (state.output_in_member % WINDOW as u64) as usize;
            let (status, consumed, produced) =
                decompress(&mut state.inflater, input, &mut state.window, place, flags);
            state.input += consumed as u64;
            state.output += produced as u64;
            state.output_in_member += produced as u64;
            match status {
                TINFLStatus::Done | TINFLStatus::HasMoreOutput | TINFLStatus::NeedsMoreInput => {}
                TINFLStatus::FailedCannotMakeProgress => return Err(self.error(Reason::Truncated)),
                _ => return Err(self.error(Reason::Deflate)),
            }
            if produced > 0 {
                // The end of the member, if this is it, is said again by the next call.
                let bytes = self.state.window.get(place..place + produced).unwrap_or_default();
                return Ok(Output::Bytes(bytes));
            }
            if status == TINFLStatus::Done {
                return self.end_member();
            }
            if consumed == 0 && !more {
                return Err(self.error(Reason::Truncated));
            }
        }
    }

    /// Reads the header of the next member; `false` when there is none.
    fn begin_member(&mut self) -> Result<bool> {
        if self.state.input == self.source.size() || (self.state.input > 0 && self.only_zeroes_left()?) {
            return Ok(false);
        }
        if self.take()? != [0x1f, 0x8b] {
            return Err(self.error(Reason::NotAMember));
        }
        // Behind the flags: time, extra flags, operating system.
        let [method, flags, ..] = self.take::<8>()?;
        if method != DEFLATE || flags & FLAGS_RESERVED != 0 {
            return Err(self.error(Reason::Unknown { method, flags }));
        }
        if flags & FLAG_EXTRA != 0 {
            let length = u16::from_le_bytes(self.take()?);
            self.state.input += u64::from(length);
        }
        for flag in [FLAG_NAME, FLAG_COMMENT] {
            while flags & flag != 0 && self.take::<1>()? != [0] {}
        }
        if flags & FLAG_HEADER_CRC != 0 {
            self.take::<2>()?;
        }
        self.state.inflater.init();
        self.state.output_in_member = 0;
        self.state.in_member = true;
        Ok(true)
    }

    fn end_member(&mut self) -> Result<Output<'_>> {
        self.state.in_member = false;
        let checksum = u32::from_le_bytes(self.take()?);
        let length = u32::from_le_bytes(self.take()?);
        Ok(Output::MemberEnd { checksum, length })
    }

    /// Whether nothing but padding follows: tapes and some tools fill the last block with zeroes.
    fn only_zeroes_left(&mut self) -> Result<bool> {
        let start = self.state.input;
        while self.state.input < self.source.size() {
            self.fill()?;
            let used = (self.state.input - self.buffer_start) as usize;
            let rest = self.buffer.get(used..).unwrap_or_default();
            if !block::is_zero(rest) {
                self.state.input = start;
                return Ok(false);
            }
            self.state.input += rest.len() as u64;
        }
        Ok(true)
    }

    /// The next bytes of the file.
    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        for byte in &mut bytes {
            self.fill()?;
            let used = (self.state.input - self.buffer_start) as usize;
            *byte = *self.buffer.get(used).ok_or_else(|| self.error(Reason::Truncated))?;
            self.state.input += 1;
        }
        Ok(bytes)
    }

    /// Makes the next byte of the file be in the buffer, unless the file ends before it.
    fn fill(&mut self) -> Result<()> {
        let end = self.buffer_start + self.buffer.len() as u64;
        if (self.buffer_start..end).contains(&self.state.input) {
            return Ok(());
        }
        let start = self.state.input.min(self.source.size());
        if start < self.state.input {
            return Err(self.error(Reason::Truncated));
        }
        self.buffer.resize((self.source.size() - start).min(INPUT) as usize, 0);
        self.buffer_start = start;
        self.source.read(&mut self.buffer, start)
    }

    pub(super) fn error(&self, reason: Reason) -> Error {
        Error::Format {
            path: self.source.path.clone(),
            offset: Some(self.state.input),
            reason: reason.into(),
        }
    }
}
