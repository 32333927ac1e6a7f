//! `ova.xml`: what XenServer, XCP-ng and their XVA archives say of a virtual machine.
//!
//! It is a value of XML-RPC: the version of the exporter, and the records of the objects that belong to the machine (VM, VBD,
//! VIF, VDI, network, SR), which name each other by `Ref:` and a number. There is no specification beside the XenAPI
//! reference of the records' fields; what is here follows xapi's own import and export. The archive around it is
//! [`package`](crate::package)'s.

mod parse;
mod records;
mod render;
mod value;

pub use parse::{Error, MAX_SIZE, parse};
pub use render::{render, vdi_reference};

use crate::dialects::{Dialect, ParseError};

/// The dialect.
pub static DIALECT: Dialect = Dialect {
    name: "xva",
    description: "the description in an XVA (ova.xml)",
    ending: "xml",
    executable: false,
    recognise: |head| {
        let says = |text| head.text.contains(text);
        head.xml_root() == Some("value") && says("export_vsn") && says("objects")
    },
    parse: Some(|bytes| parse(bytes).map_err(ParseError::from)),
    render: Some(render),
};
