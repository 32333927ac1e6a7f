//! The server's side of the negotiation: "Newstyle negotiation" and "Option types".

use super::{Export, Exports, Served};
use crate::error::{Error, Result};
use crate::protocol::{
    Greeting, InfoBlockSize, InfoExport, MAX_PAYLOAD, OptionHeader, OptionReplyHeader, allocation, flag,
    handshake, info, option, reply,
};
use std::io::{self, Read, Write};
use std::sync::Arc;
use zerocopy::{FromZeros, IntoBytes};

/// The longest option data that is looked at, in bytes. The longest option that anyone needs names an export and a
/// few contexts.
const MAX_OPTION: u32 = 16 << 10;
/// How many options a client may send: enough to ask for everything about every export.
const MAX_OPTIONS: usize = 10_000;
/// The number of the `base:allocation` context.
pub(super) const ALLOCATION_ID: u32 = 1;
/// The block size at which nothing is read twice, in bytes.
const PREFERRED_BLOCK: u32 = 4096;

/// What was agreed on.
pub(super) struct Agreed {
    pub(super) served: Arc<Served>,
    pub(super) structured: bool,
    /// Whether `base:allocation` may be asked for.
    pub(super) allocation: bool,
}

/// A negotiation under way.
struct Negotiation<'a, S> {
    stream: &'a mut S,
    exports: &'a Exports,
    no_zeroes: bool,
    structured: bool,
    /// The export for which `base:allocation` was chosen.
    allocation_of: Option<String>,
}

/// What follows an option.
enum Next {
    /// Another option.
    Option,
    /// The transmission.
    Transmission(Arc<Served>),
    /// Nothing: the client leaves, or cannot be answered.
    End,
}

/// Negotiates with a client; `None` when it leaves without choosing an export.
pub(super) fn negotiate(stream: &mut (impl Read + Write), exports: &Exports) -> Result<Option<Agreed>> {
    let mut negotiation =
        Negotiation { stream, exports, no_zeroes: false, structured: false, allocation_of: None };
    negotiation.greet()?;
    for _ in 0..MAX_OPTIONS {
        match negotiation.option()? {
            Next::Option => {}
            Next::End => return Ok(None),
            Next::Transmission(served) => {
                return Ok(Some(Agreed {
                    structured: negotiation.structured,
                    allocation: negotiation.allocation_of.as_ref() == Some(&served.name),
                    served,
                }));
            }
        }
    }
    Err(Error::Protocol { reason: "too many options" })
}

impl<S: Read + Write> Negotiation<'_, S> {
    fn greet(&mut self) -> Result<()> {
        let flags = handshake::FIXED_NEWSTYLE | handshake::NO_ZEROES;
        let greeting = Greeting {
            magic: handshake::NBDMAGIC.into(),
            style: handshake::IHAVEOPT.into(),
            flags: flags.into(),
        };
        self.send(greeting.as_bytes())?;
        let mut answer = [0; 4];
        self.receive(&mut answer)?;
        let answer = u32::from_be_bytes(answer);
        if answer & !u32::from(flags) != 0 {
            return Err(Error::Unexpected { expected: "known client flags", found: answer.into() });
        }
        self.no_zeroes = answer & u32::from(handshake::NO_ZEROES) != 0;
        Ok(())
    }

    /// Reads one option and answers it.
    fn option(&mut self) -> Result<Next> {
        let mut header = OptionHeader::new_zeroed();
        self.receive(header.as_mut_bytes())?;
        if header.magic.get() != handshake::IHAVEOPT {
            return Err(Error::Unexpected { expected: "the magic of an option", found: header.magic.get() });
        }
        let (number, length) = (header.option.get(), header.length.get());
        if length > MAX_OPTION {
            skip(self.stream, length).map_err(broken)?;
            if number == option::EXPORT_NAME {
                return Ok(Next::End);
            }
            self.reply(number, reply::ERR_TOO_BIG, b"the option is too long")?;
            return Ok(Next::Option);
        }
        let mut data = vec![0; length as usize];
        self.receive(&mut data)?;
        match number {
            option::EXPORT_NAME => return self.export_name(&data),
            option::ABORT => {
                // The client may have gone already.
                let _ = self.reply(number, reply::ACK, &[]);
                return Ok(Next::End);
            }
            option::INFO | option::GO => return self.go(number, &data),
            option::LIST => self.list(&data)?,
            option::STRUCTURED_REPLY => self.structured_reply(&data)?,
            option::LIST_META_CONTEXT | option::SET_META_CONTEXT => self.meta_context(number, &data)?,
            _ => self.reply(number, reply::ERR_UNSUP, &[])?,
        }
        Ok(Next::Option)
    }

    /// `NBD_OPT_EXPORT_NAME`, which has no answer for an unknown export but the end.
    fn export_name(&mut self, name: &[u8]) -> Result<Next> {
        let Some(served) = self.find(name) else { return Ok(Next::End) };
        let mut answer = Vec::new();
        answer.extend_from_slice(&served.export.disk().size().to_be_bytes());
        answer.extend_from_slice(&self.flags(&served.export).to_be_bytes());
        if !self.no_zeroes {
            answer.extend_from_slice(&[0; handshake::ZEROES]);
        }
        self.send(&answer)?;
        Ok(Next::Transmission(served))
    }

    /// `NBD_OPT_INFO` and `NBD_OPT_GO`.
    fn go(&mut self, number: u32, data: &[u8]) -> Result<Next> {
        let Some((name, requests)) = parse_go(data) else {
            self.reply(number, reply::ERR_INVALID, b"the option is malformed")?;
            return Ok(Next::Option);
        };
        let Some(served) = self.find(name) else {
            self.reply(number, reply::ERR_UNKNOWN, b"there is no export of this name")?;
            return Ok(Next::Option);
        };
        let export = InfoExport {
            kind: info::EXPORT.into(),
            size: served.export.disk().size().into(),
            flags: self.flags(&served.export).into(),
        };
        self.reply(number, reply::INFO, export.as_bytes())?;
        let block_size = InfoBlockSize {
            kind: info::BLOCK_SIZE.into(),
            minimum: 1.into(),
            preferred: PREFERRED_BLOCK.into(),
            maximum: MAX_PAYLOAD.into(),
        };
        self.reply(number, reply::INFO, block_size.as_bytes())?;
        if requests.contains(&info::NAME.to_be_bytes()) {
            self.reply(number, reply::INFO, &[&info::NAME.to_be_bytes(), served.name.as_bytes()].concat())?;
        }
        self.reply(number, reply::ACK, &[])?;
        Ok(if number == option::GO { Next::Transmission(served) } else { Next::Option })
    }

    fn list(&mut self, data: &[u8]) -> Result<()> {
        if !data.is_empty() {
            return self.reply(option::LIST, reply::ERR_INVALID, b"the option takes no data");
        }
        for name in self.exports.keys() {
            let entry = [&(name.len() as u32).to_be_bytes(), name.as_bytes()].concat();
            self.reply(option::LIST, reply::SERVER, &entry)?;
        }
        self.reply(option::LIST, reply::ACK, &[])
    }

    fn structured_reply(&mut self, data: &[u8]) -> Result<()> {
        if !data.is_empty() {
            return self.reply(option::STRUCTURED_REPLY, reply::ERR_INVALID, b"the option takes no data");
        }
        self.structured = true;
        self.reply(option::STRUCTURED_REPLY, reply::ACK, &[])
    }

    /// `NBD_OPT_LIST_META_CONTEXT` and `NBD_OPT_SET_META_CONTEXT`.
    fn meta_context(&mut self, number: u32, data: &[u8]) -> Result<()> {
        let set = number == option::SET_META_CONTEXT;
        if set {
            // Replaced whatever the outcome.
            self.allocation_of = None;
        }
        if !self.structured {
            return self.reply(number, reply::ERR_INVALID, b"structured replies come first");
        }
        let Some((name, queries)) = parse_meta_context(data) else {
            return self.reply(number, reply::ERR_INVALID, b"the option is malformed");
        };
        let Some(served) = self.find(name) else {
            return self.reply(number, reply::ERR_UNKNOWN, b"there is no export of this name");
        };
        let wanted = queries.iter().any(|query| *query == allocation::NAME.as_bytes());
        let listed = !set && (queries.is_empty() || queries.contains(&allocation::NAMESPACE.as_bytes()));
        if wanted || listed {
            let id = if set { ALLOCATION_ID } else { 0 };
            let context = [&id.to_be_bytes(), allocation::NAME.as_bytes()].concat();
            self.reply(number, reply::META_CONTEXT, &context)?;
        }
        if set && wanted {
            self.allocation_of = Some(served.name.clone());
        }
        self.reply(number, reply::ACK, &[])
    }

    fn find(&self, name: &[u8]) -> Option<Arc<Served>> {
        self.exports.get(std::str::from_utf8(name).ok()?).cloned()
    }

    /// The transmission flags of an export.
    fn flags(&self, export: &Export) -> u16 {
        let writing = match export {
            Export::ReadOnly(_) => flag::READ_ONLY,
            Export::Writable(_) => {
                flag::SEND_FLUSH | flag::SEND_FUA | flag::SEND_TRIM | flag::SEND_WRITE_ZEROES
            }
        };
        let fragments = if self.structured { flag::SEND_DF } else { 0 };
        flag::HAS_FLAGS | flag::CAN_MULTI_CONN | writing | fragments
    }

    fn reply(&mut self, number: u32, kind: u32, data: &[u8]) -> Result<()> {
        let header = OptionReplyHeader {
            magic: handshake::REPLY_MAGIC.into(),
            option: number.into(),
            reply: kind.into(),
            length: (data.len() as u32).into(),
        };
        self.send(&[header.as_bytes(), data].concat())
    }

    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).map_err(broken)
    }

    fn receive(&mut self, buf: &mut [u8]) -> Result<()> {
        self.stream.read_exact(buf).map_err(broken)
    }
}

/// Reads `length` bytes that nobody wants.
pub(super) fn skip(reader: &mut impl Read, length: u32) -> io::Result<()> {
    let length = u64::from(length);
    if io::copy(&mut reader.take(length), &mut io::sink())? < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}

fn broken(source: io::Error) -> Error {
    Error::Connection { doing: "negotiating", source }
}

/// The export's name and the kinds of information that are asked for, or `None` when malformed.
fn parse_go(data: &[u8]) -> Option<(&[u8], &[[u8; 2]])> {
    let (name, rest) = string(data)?;
    let (count, rest) = rest.split_first_chunk::<2>()?;
    let (requests, odd) = rest.as_chunks::<2>();
    (odd.is_empty() && requests.len() == usize::from(u16::from_be_bytes(*count))).then_some((name, requests))
}

/// The export's name and the queries, or `None` when malformed.
fn parse_meta_context(data: &[u8]) -> Option<(&[u8], Vec<&[u8]>)> {
    let (name, rest) = string(data)?;
    let (count, mut rest) = rest.split_first_chunk::<4>()?;
    let mut queries = Vec::new();
    for _ in 0..u32::from_be_bytes(*count) {
        // Each takes four bytes at least: the data bound the loop.
        let (query, behind) = string(rest)?;
        queries.push(query);
        rest = behind;
    }
    rest.is_empty().then_some((name, queries))
}

/// A string with its length in front, and what lies behind it.
fn string(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = data.split_first_chunk::<4>()?;
    rest.split_at_checked(u32::from_be_bytes(*length) as usize)
}
