//! `anyvisor disk`: virtual disks by themselves, in every format.

mod args;
mod check;
mod checksum;
mod compare;
mod convert;
mod create;
mod info;
mod map;
mod resize;
mod serve;
mod size;
pub(crate) use size::parse as size;
mod source;
mod watched;

use crate::exit::Exit;
use anyhow::Result;
pub(crate) use args::Disk;
use args::DiskCommand;

/// Runs the command.
pub(crate) fn run(disk: &Disk) -> Result<Exit> {
    match &disk.command {
        DiskCommand::Convert(args) => convert::run(args),
        DiskCommand::Info(args) => info::run(args),
        DiskCommand::Map(args) => map::run(args),
        DiskCommand::Check(args) => check::run(args),
        DiskCommand::Create(args) => create::run(args),
        DiskCommand::Compare(args) => Ok(compare::run(args)),
        DiskCommand::Checksum(args) => checksum::run(args),
        DiskCommand::Resize(args) => resize::run(args),
        DiskCommand::Serve(args) => serve::run(args),
    }
}
