//! Xen's `xl.cfg`, and the `xm` configurations before it.
//!
//! The syntax and the keys follow xl.cfg(5), xl-disk-configuration(5), xl-network-configuration(5) and
//! xen-vbd-interface(7); the older spellings what xl still takes (`file:/disk,xvda,w`, `builder = "hvm"`). An `xm`
//! configuration is a Python program: one that computes something is refused, as xl does.

mod disk;
mod error;
mod parse;
mod render;
mod serial;
mod syntax;
mod vif;

pub(crate) use disk::place;
pub use error::Error;
pub use parse::{MAX_SIZE, parse};
pub use render::render;

use crate::dialects::{Dialect, Head, ParseError};

/// The dialect.
pub static DIALECT: Dialect = Dialect {
    name: "xl",
    description: "a Xen configuration (xl.cfg)",
    ending: "cfg",
    executable: false,
    recognise,
    parse: Some(|bytes| parse(bytes).map_err(ParseError::from)),
    render: Some(render),
};

/// Keys of which every configuration has some.
const TELLING: [&str; 9] =
    ["builder", "type", "kernel", "bootloader", "memory", "vcpus", "disk", "vif", "on_reboot"];

/// Whether at least two lines set what configurations of Xen's set.
fn recognise(head: &Head<'_>) -> bool {
    let sets = |key: &&&str| {
        head.text.lines().any(|line| {
            line.trim_start().strip_prefix(**key).is_some_and(|rest| {
                let value = rest.trim_start().strip_prefix('=').map(str::trim_start);
                value.is_some_and(|value| {
                    value.starts_with(['"', '\'', '[', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9'])
                })
            })
        })
    };
    TELLING.iter().filter(sets).count() >= 2
}
