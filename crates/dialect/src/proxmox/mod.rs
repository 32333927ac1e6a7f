//! Proxmox VE's `qemu-server` configurations: `key: value` lines, and what stands in sections after them.
//!
//! There is a manual page, qm.conf(5), for the keys; for the form of the file it is what `qemu-server` reads and writes.
//! A value is often a list of options between commas, of which the first may go without a name.
//!
//! * [`DIALECT`]: the `.conf` itself, both ways. [`IMPORT`]: a script for the host that creates the machine and imports its
//!   disks into a storage.

mod boot;
mod document;
mod drives;
mod error;
pub mod import;
mod nics;
mod options;
mod read;
mod render;
mod settings;
mod system;

pub use error::Error;
pub use import::DIALECT as IMPORT;
pub use read::parse;
pub use render::render;
pub(crate) use settings::drive_key;

use crate::dialects::{Dialect, Head};

/// The longest file that is read, in bytes: Proxmox itself keeps no longer one.
pub const MAX_SIZE: usize = 4 << 20;

/// What a machine's kept properties are of.
const PROPERTIES: &str = "proxmox";

/// The dialect.
pub static DIALECT: Dialect = Dialect {
    name: "proxmox",
    description: "a Proxmox VE configuration (.conf)",
    ending: "conf",
    executable: false,
    recognise,
    parse: Some(|bytes| Ok(parse(bytes)?)),
    render: Some(render),
};

/// Keys by which a file is recognised; a number at the end does not count.
const TELLING: [&str; 14] = [
    "scsihw", "ostype", "smbios", "vmgenid", "bootdisk", "net", "scsi", "virtio", "ide", "sata", "efidisk",
    "sockets", "cores", "memory",
];

/// Whether at least two lines begin with keys of a configuration.
fn recognise(head: &Head<'_>) -> bool {
    let is_telling = |line: &&str| {
        let key = line.split_once(": ").map(|(key, _)| key.trim_end_matches(|c: char| c.is_ascii_digit()));
        key.is_some_and(|key| TELLING.contains(&key))
    };
    !head.bytes.contains(&0) && head.text.lines().filter(is_telling).nth(1).is_some()
}
