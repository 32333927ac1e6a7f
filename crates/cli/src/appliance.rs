//! `anyvisor appliance`.

use crate::args::{Appliance, ApplianceCommand};
use crate::exit::Exit;
use crate::progress::say;
use anyhow::Result;

/// Runs the command.
pub(crate) fn run(args: &Appliance) -> Result<Exit> {
    match args.command {
        ApplianceCommand::Install => {
            say("fetching a kernel for the appliance");
            let kernel = appliance::kernel::install()?;
            say(&format!("the appliance uses Linux {} at {}", kernel.version, kernel.image.display()));
            Ok(Exit::Done)
        }
    }
}
