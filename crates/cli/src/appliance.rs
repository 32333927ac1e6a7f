//! `anyvisor appliance`.

use crate::args::{Appliance, ApplianceCommand};
use crate::exit::Exit;
use crate::progress::say;
use anyhow::Result;

/// Runs the command.
pub(crate) fn run(args: &Appliance) -> Result<Exit> {
    match args.command {
        ApplianceCommand::Install { xen: true } => {
            say("fetching Xen and a kernel for its first domain");
            let host = appliance::xen::install()?;
            say(&format!("rehearsals on Xen use {}", host.hypervisor.display()));
            Ok(Exit::Done)
        }
        ApplianceCommand::Install { xen: false } => {
            say("fetching a kernel for the appliance");
            let kernel = appliance::kernel::install()?;
            say(&format!("the appliance uses Linux {} at {}", kernel.version, kernel.image.display()));
            Ok(Exit::Done)
        }
    }
}
