//! The client's side of the negotiation: "Newstyle negotiation" and "Option types".

use super::Geometry;
use crate::error::{Error, Result};
use crate::protocol::{
    Greeting, InfoBlockSize, InfoExport, MAX_PAYLOAD, OptionHeader, OptionReplyHeader, allocation, handshake,
    info, option, reply,
};
use std::io::{self, Read, Write};
use zerocopy::{FromBytes, FromZeros, IntoBytes};

/// The longest answer to an option that is read, in bytes: more than a string and what belongs to it.
const MAX_REPLY: u32 = 16 << 10;
/// How many answers an option may have.
const MAX_REPLIES: usize = 1000;

/// What was agreed on.
#[derive(Debug)]
pub(super) struct Agreed {
    pub(super) geometry: Geometry,
    pub(super) structured: bool,
    /// The number of the `base:allocation` context, if the server has one.
    pub(super) allocation: Option<u32>,
}

/// One answer to an option.
struct Answer {
    kind: u32,
    data: Vec<u8>,
}

/// How an option ended.
enum End {
    Acknowledged,
    Refused { kind: u32, message: String },
}

struct Negotiation<'a, S> {
    stream: &'a mut S,
    export: &'a str,
    no_zeroes: bool,
}

/// Negotiates with a server for `export`.
pub(super) fn negotiate(stream: &mut (impl Read + Write), export: &str) -> Result<Agreed> {
    let mut negotiation = Negotiation { stream, export, no_zeroes: false };
    negotiation.greet()?;
    let structured = negotiation.structured_reply()?;
    let allocation = if structured { negotiation.allocation()? } else { None };
    let geometry = negotiation.go()?;
    Ok(Agreed { geometry, structured, allocation })
}

impl<S: Read + Write> Negotiation<'_, S> {
    fn greet(&mut self) -> Result<()> {
        let mut greeting = Greeting::new_zeroed();
        self.receive(greeting.as_mut_bytes())?;
        if greeting.magic.get() != handshake::NBDMAGIC {
            return Err(Error::Unexpected { expected: "an NBD greeting", found: greeting.magic.get() });
        }
        let flags = greeting.flags.get();
        if greeting.style.get() != handshake::IHAVEOPT || flags & handshake::FIXED_NEWSTYLE == 0 {
            return Err(Error::OldServer);
        }
        self.no_zeroes = flags & handshake::NO_ZEROES != 0;
        let answer = u32::from(flags & (handshake::FIXED_NEWSTYLE | handshake::NO_ZEROES));
        self.send(&answer.to_be_bytes())
    }

    fn structured_reply(&mut self) -> Result<bool> {
        let end = self.option(option::STRUCTURED_REPLY, &[], |_| Ok(()))?;
        Ok(matches!(end, End::Acknowledged))
    }

    fn allocation(&mut self) -> Result<Option<u32>> {
        let mut data = string(self.export);
        data.extend_from_slice(&1_u32.to_be_bytes());
        data.extend_from_slice(&string(allocation::NAME));
        let mut id = None;
        let end = self.option(option::SET_META_CONTEXT, &data, |answer| {
            if answer.kind == reply::META_CONTEXT
                && let Some((number, name)) = answer.data.split_first_chunk::<4>()
                && name == allocation::NAME.as_bytes()
            {
                id = Some(u32::from_be_bytes(*number));
            }
            Ok(())
        })?;
        Ok(if matches!(end, End::Acknowledged) { id } else { None })
    }

    /// Chooses the export, the old way when the server does not know the new one.
    fn go(&mut self) -> Result<Geometry> {
        let mut data = string(self.export);
        data.extend_from_slice(&1_u16.to_be_bytes());
        data.extend_from_slice(&info::BLOCK_SIZE.to_be_bytes());
        let (mut export, mut block_size) = (None, None);
        let end = self.option(option::GO, &data, |answer| {
            if answer.kind != reply::INFO {
                return Ok(());
            }
            let Some(kind) = answer.data.first_chunk::<2>() else {
                return Err(Error::Protocol { reason: "information without its kind" });
            };
            match u16::from_be_bytes(*kind) {
                info::EXPORT => export = Some(layout::<InfoExport>(&answer.data)?),
                info::BLOCK_SIZE => block_size = Some(layout::<InfoBlockSize>(&answer.data)?),
                _ => {}
            }
            Ok(())
        })?;
        match end {
            End::Acknowledged => {
                let export = export.ok_or(Error::Protocol { reason: "the size of the export is missing" })?;
                geometry(export.size.get(), export.flags.get(), block_size.as_ref())
            }
            End::Refused { kind: reply::ERR_UNSUP, .. } => self.export_name(),
            End::Refused { kind, message } => Err(Error::Refused {
                option: "the choice",
                export: self.export.to_owned(),
                reply: reply::name(kind),
                message,
            }),
        }
    }

    /// `NBD_OPT_EXPORT_NAME`: the server hangs up when it has no such export.
    fn export_name(&mut self) -> Result<Geometry> {
        self.send_option(option::EXPORT_NAME, self.export.as_bytes())?;
        let mut answer = [0; 10];
        self.receive(&mut answer)?;
        if !self.no_zeroes {
            self.receive(&mut [0; handshake::ZEROES])?;
        }
        let [s0, s1, s2, s3, s4, s5, s6, s7, f0, f1] = answer;
        geometry(u64::from_be_bytes([s0, s1, s2, s3, s4, s5, s6, s7]), u16::from_be_bytes([f0, f1]), None)
    }

    /// Sends an option and gives every answer but the last to `take`.
    fn option(
        &mut self,
        number: u32,
        data: &[u8],
        mut take: impl FnMut(Answer) -> Result<()>,
    ) -> Result<End> {
        self.send_option(number, data)?;
        for _ in 0..MAX_REPLIES {
            let answer = self.answer(number)?;
            if answer.kind == reply::ACK {
                return Ok(End::Acknowledged);
            }
            if answer.kind & reply::ERROR != 0 {
                let message = String::from_utf8_lossy(&answer.data).into_owned();
                return Ok(End::Refused { kind: answer.kind, message });
            }
            take(answer)?;
        }
        Err(Error::Protocol { reason: "an option has no end of answers" })
    }

    fn send_option(&mut self, number: u32, data: &[u8]) -> Result<()> {
        let header = OptionHeader {
            magic: handshake::IHAVEOPT.into(),
            option: number.into(),
            length: (data.len() as u32).into(),
        };
        self.send(&[header.as_bytes(), data].concat())
    }

    fn answer(&mut self, number: u32) -> Result<Answer> {
        let mut header = OptionReplyHeader::new_zeroed();
        self.receive(header.as_mut_bytes())?;
        if header.magic.get() != handshake::REPLY_MAGIC {
            let found = header.magic.get();
            return Err(Error::Unexpected { expected: "the magic of an answer to an option", found });
        }
        if header.option.get() != number {
            return Err(Error::Protocol { reason: "the answer is to another option" });
        }
        if header.length.get() > MAX_REPLY {
            return Err(Error::Protocol { reason: "the answer to an option is too long" });
        }
        let mut data = vec![0; header.length.get() as usize];
        self.receive(&mut data)?;
        Ok(Answer { kind: header.reply.get(), data })
    }

    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).map_err(broken)
    }

    fn receive(&mut self, buf: &mut [u8]) -> Result<()> {
        self.stream.read_exact(buf).map_err(broken)
    }
}

fn broken(source: io::Error) -> Error {
    Error::Connection { doing: "negotiating", source }
}

/// A string with its length in front.
fn string(text: &str) -> Vec<u8> {
    [&(text.len() as u32).to_be_bytes(), text.as_bytes()].concat()
}

fn layout<T: FromBytes>(data: &[u8]) -> Result<T> {
    T::read_from_bytes(data).map_err(|_| Error::Protocol { reason: "information of the wrong length" })
}

/// Checks what the server says of itself: "Block size constraints".
fn geometry(size: u64, flags: u16, block_size: Option<&InfoBlockSize>) -> Result<Geometry> {
    let (minimum, maximum) = match block_size {
        Some(sizes) => (sizes.minimum.get(), sizes.maximum.get()),
        None => (1, MAX_PAYLOAD),
    };
    if !minimum.is_power_of_two() || minimum > 64 << 10 {
        return Err(Error::Unexpected {
            expected: "a smallest block of up to 64 KiB",
            found: minimum.into(),
        });
    }
    // The greatest payload may be any number; whole blocks of it are used.
    let maximum = maximum.min(MAX_PAYLOAD) / minimum * minimum;
    if maximum == 0 {
        return Err(Error::Protocol { reason: "the greatest payload is smaller than the smallest block" });
    }
    Ok(Geometry { size, flags, minimum, maximum })
}
