//! Microsoft Hyper-V: what it stores of a machine, read; and what makes one, written.
//!
//! * [`VMCX`]: the binary `.vmcx` of Windows Server 2016 and later. [`XML`]: the `.xml` of those before it. Both hold the
//!   same tree of properties.
//! * [`POWERSHELL`]: a script that creates the machine on a Hyper-V host. [`JSON`]: the same facts as data, which can be
//!   read again.
//!
//! Everything goes through [`Facts`]: a machine in Hyper-V's own terms.

mod container;
mod devices;
mod drives;
mod error;
mod facts;
pub mod json;
mod plan;
pub mod powershell;
mod read;
mod settings;
mod tree;
pub mod vmcx;
pub mod xml;

pub use error::Error;
pub use facts::{
    BootDevice, ComPort, Controller, Facts, HardDrive, KeptProperty, NetworkAdapter, RemovableDrive,
    RemovableDriveKind, SecureBoot, StartupDevice,
};
pub use json::DIALECT as JSON;
pub use powershell::DIALECT as POWERSHELL;
pub use tree::{Tree, Value};
pub use vmcx::DIALECT as VMCX;
pub use xml::DIALECT as XML;
