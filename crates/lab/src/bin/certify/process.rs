//! The programs that a row runs: none longer than a limit, and none left behind when certifying is stopped.

use anyhow::{Context as _, Result, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How often a running program is looked at.
const PACE: Duration = Duration::from_millis(100);
/// How much of what a program says is kept, in bytes: its end.
const TALK_KEPT: u64 = 2048;
/// What a shell says of a program that a signal ended.
const STOPPED_BY_SIGNAL: i32 = 130;

/// Whether somebody wants this program to end.
static STOPPED: AtomicBool = AtomicBool::new(false);

/// Whether somebody wants this program to end.
pub(crate) fn is_stopped() -> bool {
    STOPPED.load(Ordering::Relaxed)
}

/// From now on the first Ctrl-C, SIGTERM or SIGHUP makes [`is_stopped`] true, which ends what [`run`] runs. A second one ends
/// this program where it is: a guest in the making is not waited for.
pub(crate) fn listen() -> Result<()> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM]).context("cannot listen to signals")?;
    std::thread::spawn(move || {
        for _ in signals.forever() {
            if STOPPED.swap(true, Ordering::Relaxed) {
                std::process::exit(STOPPED_BY_SIGNAL);
            }
            crate::say("stopping; once more, and what is under way is left where it is");
        }
    });
    Ok(())
}

/// How a program ended, and the end of what it said on its standard error.
pub(crate) struct Ran {
    /// How it ended.
    pub(crate) status: ExitStatus,
    /// The end of what it said.
    pub(crate) talk: String,
}

/// Runs a program to its end, for as long as `limit` at most. What it starts itself has to end with it.
pub(crate) fn run(command: &mut Command, limit: Duration) -> Result<Ran> {
    let program = command.get_program().to_string_lossy().into_owned();
    let mut talk = tempfile::tempfile().context("cannot create a file for what a program says")?;
    let error = talk.try_clone().context("cannot use the file for what a program says")?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(error)
        .spawn()
        .with_context(|| format!("cannot run {program}"))?;
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().with_context(|| format!("cannot wait for {program}"))? {
            return Ok(Ran { status, talk: end_of(&mut talk)? });
        }
        let is_late = start.elapsed() >= limit;
        if is_late || is_stopped() {
            // It may have ended by itself meanwhile.
            let _ = child.kill();
            let _ = child.wait();
            match is_late {
                true => bail!(
                    "{program} did not end within {} s, and was ended: {}",
                    limit.as_secs(),
                    end_of(&mut talk)?
                ),
                false => bail!("stopped"),
            }
        }
        std::thread::sleep(PACE);
    }
}

fn end_of(talk: &mut File) -> Result<String> {
    let read = |talk: &mut File| -> std::io::Result<Vec<u8>> {
        let size = talk.metadata()?.len();
        talk.seek(SeekFrom::Start(size.saturating_sub(TALK_KEPT)))?;
        let mut end = Vec::new();
        talk.take(TALK_KEPT).read_to_end(&mut end)?;
        Ok(end)
    };
    let end = read(talk).context("cannot read what a program said")?;
    Ok(String::from_utf8_lossy(&end).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, limit: Duration) -> Result<Ran> {
        run(Command::new("sh").args(["-c", script]), limit)
    }

    #[test]
    fn the_end_of_what_a_program_says_is_kept() {
        let ran =
            shell("head -c 5000 /dev/zero | tr '\\0' x >&2; echo why >&2; exit 4", Duration::MAX).unwrap();
        assert_eq!(ran.status.code(), Some(4));
        assert!(ran.talk.ends_with("xwhy") && ran.talk.len() <= 2048, "{}", ran.talk);
    }

    #[test]
    fn a_program_that_hangs_is_ended() {
        let refused = shell("echo waiting >&2; exec sleep 600", Duration::ZERO).err().unwrap().to_string();
        assert!(refused.starts_with("sh did not end within 0 s"), "{refused}");
    }
}
