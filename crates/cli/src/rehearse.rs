//! `anyvisor rehearse`.

use crate::args::Rehearse;
use crate::exit::Exit;
use crate::output::{print, print_json};
use crate::progress::say;
use anyhow::Result;
use rehearse::{Grade, Options};
use std::sync::Arc;
use std::time::Duration;

/// Runs the command.
pub(crate) fn run(args: &Rehearse) -> Result<Exit> {
    let options = Options { without_boot: args.without_boot, ..options(args.timeout) };
    let evidence = migrate::rehearsal::rehearse_path(&args.source, args.on, &options)?;
    match args.json {
        true => print_json(&evidence)?,
        false => print(&evidence.to_string())?,
    }
    Ok(if evidence.grade > Grade::Failed { Exit::Done } else { Exit::NotBooted })
}

/// What the grades mean, for the help.
pub(crate) fn grades() -> String {
    let rows = Grade::all().map(|grade| format!("\n  {:<18} {}", grade.name(), grade.meaning()));
    format!("Grades, the best first:{}", rows.collect::<String>())
}

/// Options of a rehearsal that may take `timeout` seconds, and talks on standard error.
pub(crate) fn options(timeout: Option<u64>) -> Options {
    Options { timeout: timeout.map(Duration::from_secs), progress: Some(Arc::new(say)), ..Options::default() }
}
