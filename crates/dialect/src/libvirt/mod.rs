//! libvirt domain XML (<https://libvirt.org/formatdomain.html>), of KVM, Xen and whatever else libvirt drives.
//!
//! There is no versioned specification: what is here follows libvirt's documentation of the format, its schema and the
//! definitions that its own tests hold. What [`parse()`] finds no place for in a [`Machine`](machine::Machine) is a
//! [`Property`](machine::Property).

mod parse;
mod render;

pub use parse::{Error, MAX_SIZE, parse};
pub use render::render;
pub(crate) use render::{network_loss, plain_serial};

use crate::dialects::{Dialect, ParseError};

/// The dialect.
pub static DIALECT: Dialect = Dialect {
    name: "libvirt",
    description: "a libvirt domain (XML)",
    ending: "xml",
    executable: false,
    recognise: |head| head.xml_root() == Some("domain"),
    parse: Some(|bytes| parse(bytes).map_err(ParseError::from)),
    render: Some(render),
};
