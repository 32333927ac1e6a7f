//! The init of the appliance: sets the machine up, then serves the host's requests until the host hangs up.
//!
//! It is the only process, apart from the driver of an NTFS volume. It never exits while the machine should run: the
//! kernel panics when init does, and that is how a failure here ends the machine (`panic=-1`, `-no-reboot`).

mod failure;
mod files;
mod machine;
mod mounts;
mod serve;
mod tree;
mod xattr;

use agent::Setup;
use std::io::BufReader;
use std::process::ExitCode;

fn main() -> ExitCode {
    match run() {
        Ok(()) => machine::power_off(),
        Err(error) => {
            machine::say(&format!("agent: {error}"));
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn run() -> std::io::Result<()> {
    machine::mount_basics()?;
    let setup: Setup = serde_json::from_slice(&std::fs::read(agent::SETUP)?)?;
    machine::load(&setup.modules);
    let port = machine::open_channel(agent::CHANNEL)?;
    let mut reader = BufReader::with_capacity(32 << 10, port.try_clone()?);
    serve::serve(&mut reader, &port)
}
