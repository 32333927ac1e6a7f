//! `anyvisor disk`: virtual disks by themselves, in every format.

mod args;
mod convert;
mod info;
mod resize;
mod size;
mod source;

use crate::exit::Exit;
use anyhow::Result;
pub(crate) use args::Disk;
use args::DiskCommand;

/// Runs the command.
pub(crate) fn run(disk: &Disk) -> Result<Exit> {
    match &disk.command {
        DiskCommand::Convert(args) => convert::run(args),
        DiskCommand::Info(args) => info::run(args),
        DiskCommand::Resize(args) => resize::run(args),
    }
}
