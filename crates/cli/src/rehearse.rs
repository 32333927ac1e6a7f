//! `anyvisor rehearse`.

use crate::args::Rehearse;
use crate::ask;
use crate::evidence::signing_key;
use crate::exit::{Exit, Usage};
use crate::output::{print, print_json};
use crate::progress::say;
use anyhow::{Context as _, Result};
use migrate::keys::Keys;
use rehearse::signed::{self, Key};
use rehearse::{Evidence, Grade, Options};
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Runs the command.
pub(crate) fn run(args: &Rehearse) -> Result<Exit> {
    if args.evidence.is_none() && args.signing.evidence_key.is_some() {
        return Err(Usage(
            "--evidence-key: say --evidence FILE too, where to write what it signs".to_owned(),
        )
        .into());
    }
    // Before the boot: a key that cannot be had, or a file that is there, shall not show after minutes.
    let secrets = args.access.secrets()?;
    let signed = args.evidence.as_deref().map(|file| Signed::new(file, args)).transpose()?;
    let options =
        Options { without_boot: args.without_boot, checksum: args.signing.checksum, ..options(args.timeout) };
    let open = (&args.access).into();
    let keys = Keys { given: &secrets, ask: ask::somebody() };
    let evidence = migrate::rehearsal::rehearse_path(&args.source, args.on, &open, keys, &options)?;
    if let Some(signed) = signed {
        signed.write(&evidence)?;
    }
    match args.json {
        true => print_json(&evidence)?,
        false => print(&evidence.to_string())?,
    }
    Ok(if evidence.grade > Grade::Failed { Exit::Done } else { Exit::NotBooted })
}

/// A file of evidence that is to be written.
struct Signed<'a> {
    path: &'a Path,
    key: Key,
}

impl<'a> Signed<'a> {
    fn new(path: &'a Path, args: &Rehearse) -> Result<Self> {
        if path.symlink_metadata().is_ok() {
            return Err(Usage(format!("--evidence: {} is there already", path.display())).into());
        }
        Ok(Self { path, key: signing_key(args.signing.evidence_key.as_deref())? })
    }

    fn write(&self, evidence: &Evidence) -> Result<()> {
        let document = signed::sign(evidence, &self.key).context("cannot sign the evidence")?;
        let write = || -> std::io::Result<()> {
            let mut file = File::create_new(self.path)?;
            file.write_all(document.as_bytes())?;
            file.sync_all()
        };
        write().with_context(|| format!("cannot write {}", self.path.display()))
    }
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
