//! libvirt domain XML (<https://libvirt.org/formatdomain.html>), of KVM, Xen and whatever else libvirt drives.
//!
//! There is no versioned specification: what is here follows libvirt's documentation of the format, its schema and the
//! definitions that its own tests hold. What [`parse()`] finds no place for in a [`Machine`](machine::Machine) is a
//! [`Property`](machine::Property), and [`render()`] puts back those that mean the same on any host.

mod kept;
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

/// libosinfo's element in a domain's metadata: its namespace.
const LIBOSINFO: &str = "http://libosinfo.org/xmlns/libvirt/domain/1.0";

/// libosinfo's short identifier for a URL in the metadata, where the URL follows from it.
fn short_name(url: &str) -> Option<String> {
    let (_, path) = url.split_once("://")?;
    let short: String = path.split('/').skip(1).collect();
    (crate::guest_os::libosinfo_url(&short).as_deref() == Some(url)).then_some(short)
}
