//! Why serving, or using an export, failed.

use std::io;
use std::path::PathBuf;

/// The result of an NBD operation.
pub type Result<T> = std::result::Result<T, Error>;

/// Why serving, or using an export, failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The socket cannot be made, or not be connected to.
    #[error("cannot {operation} the socket {}", path.display())]
    Socket {
        /// What was tried, as a verb: `bind`, `connect to`.
        operation: &'static str,
        /// Where the socket lies.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// A TCP port cannot be had.
    #[error("cannot serve on port {port} of the loopback address")]
    Port {
        /// The port that was asked for.
        port: u16,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The connection broke.
    #[error("the connection broke while {doing}")]
    Connection {
        /// What was going on: `negotiating`, `sending a request`, `reading a reply`.
        doing: &'static str,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The peer said something that the protocol does not allow.
    #[error("the peer broke the protocol: {reason}")]
    Protocol {
        /// Which rule it broke.
        reason: &'static str,
    },
    /// The peer sent another number than the protocol has there.
    #[error("the peer sent {found:#x} where the protocol has {expected}")]
    Unexpected {
        /// What belongs there.
        expected: &'static str,
        /// What was sent.
        found: u64,
    },
    /// The peer offers no fixed newstyle negotiation: it is too old, or no NBD server.
    #[error("the peer does not offer fixed newstyle negotiation")]
    OldServer,
    /// The server refuses an option, such as the choice of the export.
    #[error("the server refuses {option} of export {export:?}: {reply}{}", said(message))]
    Refused {
        /// Which option.
        option: &'static str,
        /// The export's name.
        export: String,
        /// The protocol's name for the answer.
        reply: &'static str,
        /// What the server added for people; may be empty.
        message: String,
    },
    /// The server could not serve a request.
    #[error("the server fails to {command} at byte {offset} of export {export:?}: {errno}{}", said(message))]
    Request {
        /// The export's name.
        export: String,
        /// What was asked for, as a verb.
        command: &'static str,
        /// Where, in bytes.
        offset: u64,
        /// The protocol's name for the error, such as `EIO`.
        errno: &'static str,
        /// What the server added for people; may be empty.
        message: String,
    },
    /// The export is read only.
    #[error("the export {export:?} is read only")]
    ReadOnly {
        /// The export's name.
        export: String,
    },
    /// A name is longer than the protocol allows.
    #[error("an export's name has {length} bytes, and 4096 are allowed")]
    NameTooLong {
        /// How long it is, in bytes.
        length: usize,
    },
}

impl From<Error> for block::Error {
    fn from(error: Error) -> Self {
        Self::backend(error)
    }
}

fn said(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(" ({message:?})") }
}
