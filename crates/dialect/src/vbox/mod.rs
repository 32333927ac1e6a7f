//! VirtualBox's machine settings (`.vbox`), both ways.
//!
//! Oracle's `VirtualBox-settings.xsd` names the elements; it lags behind the program, so what is here also follows the
//! files of VirtualBox 3.1 (settings 1.9) to 7.2 (1.19), and its user manual where it says something. A setting that
//! nothing here reads is kept as a [`Property`](machine::Property) by its path below `Machine`; the few that mean no
//! harm are written back.
//!
//! A disk is attached by the identifier of a medium, and the media registry in the same file says which file that is: a
//! tree of images, each below the one that it holds the differences to. What is attached is read, with its chain below
//! it; what the snapshots attach stays behind.

mod boot;
mod document;
mod error;
mod extra;
mod media;
mod names;
mod network;
mod read;
mod render;
mod settings;
mod storage;

pub use error::{Error, Result};
pub use render::{medium_id, render};

use crate::Parsed;
use crate::dialects::{Dialect, ParseError};

/// The longest file that is read, in bytes: a machine with a hundred snapshots has some hundreds of kilobytes.
pub const MAX_SIZE: usize = 16 << 20;

/// The dialect.
pub static DIALECT: Dialect = Dialect {
    name: "vbox",
    description: "VirtualBox's settings of a machine (.vbox)",
    ending: "vbox",
    executable: false,
    recognise: |head| head.xml_root() == Some("VirtualBox"),
    parse: Some(|bytes| parse(bytes).map_err(ParseError::from)),
    render: Some(render),
};

impl From<Error> for ParseError {
    fn from(error: Error) -> Self {
        let remedy = error.remedy();
        Self::new(error, remedy)
    }
}

/// Reads a `.vbox` file.
///
/// # Errors
/// When the bytes are no such file, when the machine or a disk of it is encrypted, or when a value that the machine
/// depends on (processors, memory) is not what it should be.
pub fn parse(bytes: &[u8]) -> Result<Parsed> {
    let text = document::text(bytes)?;
    let tree = document::tree(text)?;
    let machine = document::machine(&tree)?;
    read::read(&machine)
}

/// The images of hard disks that a `.vbox` file registers, those of its snapshots and of the disks below them too; none when it
/// cannot be read.
pub fn hard_disks(bytes: &[u8]) -> Vec<String> {
    let tree = document::text(bytes).and_then(document::tree);
    let Ok(tree) = tree else { return Vec::new() };
    let disks = tree.descendants().filter(|node| node.tag_name().name() == "HardDisk");
    disks.filter_map(|disk| disk.attribute("location").map(str::to_owned)).collect()
}
