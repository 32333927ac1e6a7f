//! Rehearsals: a guest is booted on the virtual hardware of the hypervisor that it is to move to, and says itself
//! how it is.
//!
//! [`rehearse`] gives the guest throwaway overlays over its disks, served over NBD: nothing of the guest is copied,
//! and nothing that was given is written. In the overlays only, a small report is added, which the guest sends
//! over a second serial port once it is up: kernel, root device and the driver under it, network cards, addresses,
//! failed units, the time of each stage. What comes back is [`Evidence`]; for a guest that does not boot, with the
//! likely cause and the console's last lines.
//!
//! The guest's files are looked at too: whether the kernel that starts finds the drivers of the profile's devices
//! ([`DriverCheck`]). Where QEMU lacks a device, or no boot is wanted, that is all that there is.
//!
//! A guest that no report can be added to is judged by the login prompt on its console, and the evidence says so.

mod cause;
mod display;
mod drivers;
mod error;
mod evidence;
mod facts;
mod hardware;
mod instrument;
mod prepare;
mod rehearsal;
mod report;
mod run;
pub mod signed;
mod text;
mod unlock;
mod watch;
mod xen;

pub use cause::Cause;
pub use drivers::{CheckedDevice, CheckedDriver, ChosenBy, DriverCheck, DriverPlace};
pub use error::{Error, Result};
pub use evidence::{
    Booted, DiskContents, Evidence, FORMAT, Failed, GuestIdentity, Hardware, JudgedBy, Outcome, Preparation,
    Run, Timings,
};
pub use facts::{Address, BlockDevice, Facts, NetworkCard, Root, RootDisk, Target};
pub use instrument::Init;
pub use profile::Grade;
pub use rehearsal::{Options, Progress, Subject, is_rehearsable, rehearse};
pub use report::ReportError;
