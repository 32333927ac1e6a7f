//! Serve a disk over NBD, and use a remote export as one.
//!
//! [`Server`] gives named disks to QEMU, the appliance and anything else that speaks the protocol; [`Client`] makes
//! a remote export a [`BlockRead`](block::BlockRead) and [`BlockWrite`](block::BlockWrite). Both follow the
//! [NBD protocol](https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md): fixed newstyle negotiation,
//! structured replies and the `base:allocation` context. There is no TLS: the transport is a Unix socket,
//! and whoever may open it may use it; or a port of the loopback address, which every user of the machine may use.
//!
//! Calls block; requests are served in parallel by threads. Neither side trusts the other: lengths are bounded
//! before anything is allocated, and nonsense ends the connection.

mod client;
mod error;
mod protocol;
mod server;

pub use client::Client;
pub use error::{Error, Result};
pub use server::{Export, Running, Server};
