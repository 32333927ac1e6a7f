//! Start QEMU: which accelerator works, devices to arguments, QMP, consoles. Nothing here knows why a machine is
//! started.
//!
//! ```no_run
//! # fn main() -> Result<(), qemu::Error> {
//! use std::time::Duration;
//! let binary = qemu::Binary::find()?;
//! let choice = qemu::accelerator::choose(&binary, "/boot/vmlinuz".as_ref())?;
//! let mut vm = qemu::Vm::new("q35", choice.accelerator);
//! vm.memory_mib = 1024;
//! vm.disks.push(qemu::Disk::new("virtio-blk-pci", qemu::Backend::nbd("/run/x/nbd.sock", "disk1")));
//! vm.ports.push(qemu::Port::console("console"));
//! let mut process = qemu::Process::start(&binary, &vm)?;
//! process.console("console").unwrap().wait_for(&["login: "], Duration::from_secs(120));
//! process.quit(Duration::from_secs(5))?;
//! # Ok(())
//! # }
//! ```

pub mod accelerator;
mod arguments;
mod binary;
mod console;
mod error;
pub mod firmware;
mod process;
mod qmp;
mod vm;

pub use accelerator::Accelerator;
pub use arguments::arguments;
pub use binary::Binary;
pub use console::{Console, Waited};
pub use error::{Error, Result};
pub use process::Process;
pub use qmp::{Event, Qmp};
pub use vm::{Backend, Boot, Disk, Module, Nic, Port, PortDevice, PortEnd, Vm};
