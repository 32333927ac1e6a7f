//! `anyvisor evidence`.

use crate::args::{Evidence, EvidenceCommand, Verify};
use crate::exit::{Exit, chain};
use crate::output::{clean, print, print_json};
use anyhow::{Context as _, Result};
use rehearse::Grade;
use rehearse::signed::{self, Key, PublicKey, Refused, Signed};
use serde::Serialize;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Runs the command.
pub(crate) fn run(args: &Evidence) -> Result<Exit> {
    match &args.command {
        EvidenceCommand::Verify(verify) => run_verify(verify),
    }
}

/// The key with which evidence is signed: the one in `file`, else the user's own.
pub(crate) fn signing_key(file: Option<&Path>) -> Result<Key> {
    Ok(match file {
        Some(path) => Key::read(path)?,
        None => Key::own()?,
    })
}

/// Who signed, as far as it is known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Standing {
    /// The key that was named is the signer's.
    Named,
    /// Another key was named.
    Another,
    /// It is the user's own key.
    Own,
    /// Nothing is known of the key.
    Unknown,
}

impl Standing {
    fn of(signer: PublicKey, named: Option<PublicKey>) -> Self {
        match named {
            Some(named) if named == signer => Self::Named,
            Some(_) => Self::Another,
            None if Key::own_if_any().is_some_and(|own| own.public() == signer) => Self::Own,
            None => Self::Unknown,
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Named => "the key that was given",
            Self::Another => "not the key that was given",
            Self::Own => "your own key",
            Self::Unknown => {
                "an unknown signer: whoever holds that key vouches for it; --key says whom you believe"
            }
        }
    }
}

/// What is to be said of a file.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case", tag = "result")]
enum Line {
    /// Its signature holds.
    Holds {
        file: PathBuf,
        signer: String,
        standing: Standing,
        grade: Grade,
        control: bool,
        guest: String,
        os: Option<String>,
        profile: String,
        profile_version: u32,
        finished: String,
    },
    /// It is no evidence with a signature that holds.
    Refused { file: PathBuf, why: String },
}

fn run_verify(args: &Verify) -> Result<Exit> {
    let named = args.key.as_deref().map(PublicKey::find).transpose()?;
    let mut lines = Vec::new();
    for file in &args.files {
        let document = read(file).with_context(|| format!("cannot read {}", file.display()))?;
        lines.push(line(file, signed::verify(&document), named));
    }
    match args.json {
        true => print_json(&lines)?,
        false => lines.iter().try_for_each(|line| print(&text(line)))?,
    }
    let holds = |line: &Line| matches!(line, Line::Holds { standing, .. } if *standing != Standing::Another);
    Ok(if lines.iter().all(holds) { Exit::Done } else { Exit::Refused })
}

/// As much of a file as is looked at, and a byte more.
fn read(file: &Path) -> std::io::Result<Vec<u8>> {
    let mut document = Vec::new();
    File::open(file)?.take(signed::LARGEST as u64 + 1).read_to_end(&mut document)?;
    Ok(document)
}

fn line(file: &Path, verified: Result<Signed, Refused>, named: Option<PublicKey>) -> Line {
    let file = file.to_path_buf();
    match verified {
        Ok(Signed { evidence, signer }) => Line::Holds {
            file,
            signer: signer.to_string(),
            standing: Standing::of(signer, named),
            grade: evidence.grade,
            control: evidence.control,
            guest: evidence.guest.name,
            os: evidence.guest.os,
            profile: evidence.profile,
            profile_version: evidence.profile_version,
            finished: evidence.finished.to_string(),
        },
        Err(refused) => Line::Refused { file, why: chain(&refused.into()) },
    }
}

fn text(line: &Line) -> String {
    match line {
        Line::Refused { file, why } => format!("✗ {}: {}\n", file.display(), clean(why)),
        Line::Holds {
            file,
            signer,
            standing,
            grade,
            control,
            guest,
            os,
            profile,
            profile_version,
            finished,
        } => {
            let mark = if *standing == Standing::Another { '✗' } else { '✓' };
            let control = if *control { " (a control: not converted for it)" } else { "" };
            let os = os.as_deref().unwrap_or("an unknown system");
            format!(
                "{mark} {}: unchanged since it was signed\n  signer     {signer}\n             {}\n  grade      {grade}: {}\n  \
                 guest      {}, {}\n  profile    {}, version {profile_version}{control}\n  finished   {finished}\n",
                file.display(),
                standing.text(),
                grade.meaning(),
                clean(guest),
                clean(os),
                clean(profile),
            )
        }
    }
}
