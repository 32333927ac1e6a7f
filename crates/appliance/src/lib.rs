//! The micro VM in which guest filesystems are mounted and edited; and [`xen`], that in which a guest is a domain of Xen.
//!
//! A stock Linux kernel, an initial RAM file system made here in memory with just the modules that the volumes need,
//! and the [`agent`] as its init. Every volume is one virtio disk that QEMU reads and writes over NBD from this
//! process: no partition tables, no device mapper, no network, no root.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use guest::fs::{GuestFs, MountMode, Mounter};
//! # let volumes: Vec<guest::volume::Volume> = Vec::new();
//! let mut appliance = appliance::Appliance::boot(&volumes, &appliance::BootOptions::default())?;
//! appliance.mount(volumes[0].id, "/", MountMode::ReadWrite, None)?;
//! appliance.write("/etc/motd", b"moved\n", 0o644)?;
//! appliance.trim("/")?;
//! appliance.shutdown()?;
//! # Ok(())
//! # }
//! ```

mod boot;
mod connection;
mod cpio;
mod decompress;
mod elf;
mod error;
mod files;
mod initramfs;
pub mod kernel;
mod mapped;
mod modules;
mod ntfs;
mod packages;
pub mod xen;

pub use boot::{Appliance, BootOptions, Measurements};
pub use error::{Error, Result};
