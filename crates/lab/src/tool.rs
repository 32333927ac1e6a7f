//! Runs other programs, and says on standard error what is being done.

use crate::{LabError, Result};
use std::fmt::Display;
use std::io::Write;
use std::process::{Command, Output, Stdio};

/// How much of a failed program's standard error an error carries, in bytes.
const OUTPUT_KEPT: usize = 4096;

/// A line of progress on standard error.
pub(crate) fn say(message: impl Display) {
    // Progress is talk: that nobody can hear it is no reason to stop.
    let _ = writeln!(std::io::stderr(), "lab: {message}");
}

/// A command with the system administration's directories in its search path, which a plain user's lacks.
pub(crate) fn command(program: &str) -> Command {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new(program);
    command.env("PATH", format!("{path}:/usr/local/sbin:/usr/sbin:/sbin")).env("LC_ALL", "C.UTF-8");
    command
}

/// A command that believes itself to be root: root runs it as it is, anyone else below `fakeroot`.
pub(crate) fn command_as_root(program: &str) -> Command {
    if is_root() {
        return command(program);
    }
    let mut command = command("fakeroot");
    command.arg("--").arg(program);
    command
}

/// Whether this process is root's.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Runs a command to its end and returns its standard output.
pub(crate) fn run(command: &mut Command) -> Result<Vec<u8>> {
    run_with_input(command, "")
}

/// As [`run`], with a short text on the command's standard input: it must fit into a pipe's buffer.
pub(crate) fn run_with_input(command: &mut Command, input: &str) -> Result<Vec<u8>> {
    let program = command.get_program().to_string_lossy().into_owned();
    let failed = |source| LabError::Start { program: program.clone(), source };
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that ended without reading says why in its status.
        let _ = stdin.write_all(input.as_bytes());
    }
    let Output { status, stdout, stderr } = child.wait_with_output().map_err(failed)?;
    if status.success() {
        return Ok(stdout);
    }
    let tail = stderr.get(stderr.len().saturating_sub(OUTPUT_KEPT)..).unwrap_or_default();
    Err(LabError::Failed { program, status, output: String::from_utf8_lossy(tail).trim_end().to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_who_and_why() {
        let error = run(command("sh").args(["-c", "echo no such luck >&2; exit 3"])).unwrap_err();
        assert_eq!(error.to_string(), "sh ended with exit status: 3:\nno such luck");
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = run(&mut command("no-such-program")).unwrap_err();
        assert!(error.to_string().contains("no-such-program"), "{error}");
    }
}
