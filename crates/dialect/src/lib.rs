//! Descriptions of virtual machines: bytes to [`Machine`] and back, with every loss.
//!
//! * [`vmx`]: VMware's `.vmx`. [`ovf`]: DMTF's Open Virtualization Format, 0.9 to 2.x.
//! * [`hyperv`]: what Hyper-V stores of a machine, and the script that creates one.
//! * [`proxmox`]: Proxmox VE's configurations, and the script that imports a machine.
//! * [`DIALECTS`]: all of them, with how each is recognised, read and written.
//! * [`package`]: a description together with its disks, as a user names it: `.ova`, `.ovf`, `.vmx` or a lone disk.
//! * [`guest_os`]: names of systems between the hypervisors' lists.
//! * [`adapt`](mod@adapt): the same machine on another hypervisor's hardware.
//! * [`vbox`]: VirtualBox's settings. [`kubevirt`]: a VirtualMachine and its DataVolumes.
//! * [`libvirt`]: domain XML. [`xl`], [`xva`]: Xen's and XCP-ng's. [`qemu_script`]: a shell script that runs QEMU.
//! * [`openstack`]: images with their properties, and a script that uploads them.
//!
//! Every parser takes hostile bytes: it neither panics, nor recurses, nor allocates more than a small multiple of
//! its input. Names of files in a description stay text; only an [`image::Gate`] turns one into a file.

pub mod adapt;
mod base64;
mod boot_order;
mod dialects;
pub mod guest_os;
pub mod hyperv;
pub mod kubevirt;
pub mod libvirt;
pub mod naming;
pub mod openstack;
pub mod ovf;
pub mod package;
pub mod proxmox;
pub mod qemu_script;
pub mod render;
mod shell;
mod text;
mod unsaid;
pub mod vbox;
pub mod vmx;
pub mod xl;
mod xml;
pub mod xva;

pub use adapt::{Adapted, adapt};
pub use dialects::{DIALECTS, Dialect, Head, Parse, ParseError, Render, by_name, recognise};
pub use package::Package;
pub use render::{DiskFile, Network, RenderError, RenderOptions, Rendered};

use machine::{Loss, Machine};

/// A description that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    /// The machine that it describes.
    pub machine: Machine,
    /// What the description says and the machine cannot hold.
    pub losses: Vec<Loss>,
}
