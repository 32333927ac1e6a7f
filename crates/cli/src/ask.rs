//! Asking for a passphrase at the terminal, where there is somebody to ask.

use guest::volume::Secret;
use migrate::keys::Ask;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use std::io::{BufRead as _, IsTerminal as _, Read as _, Write as _};

/// The longest passphrase that is read, in bytes; a terminal's line is no longer.
const LONGEST: u64 = 4096;

/// Who is asked for passphrases: somebody at the terminal, when standard input is one.
pub(crate) fn somebody() -> Option<&'static Ask<'static>> {
    std::io::stdin().is_terminal().then_some(&passphrase as &Ask<'static>)
}

/// Asks for the passphrase of a volume. No answer leaves it locked.
fn passphrase(volume: &str, again: bool) -> Option<Secret> {
    let wrong = if again { "That does not fit. " } else { "" };
    let volume = crate::output::clean(volume);
    let mut talk = std::io::stderr();
    write!(talk, "{wrong}Passphrase of {volume}, which is encrypted (nothing: leave it locked): ").ok()?;
    talk.flush().ok()?;
    let line = {
        let _silent = Silent::new()?;
        let mut line = Vec::new();
        std::io::stdin().lock().take(LONGEST).read_until(b'\n', &mut line).ok()?;
        line
    };
    // The key that ended the line was not shown either.
    writeln!(talk).ok()?;
    let line = line.strip_suffix(b"\n").unwrap_or(&line);
    (!line.is_empty()).then(|| Secret::passphrase(line))
}

/// A terminal that does not show what is typed, as long as it lives.
struct Silent(Termios);

impl Silent {
    /// `None` when the terminal shows what is typed whatever it is told: nothing is asked then.
    fn new() -> Option<Self> {
        let before = tcgetattr(std::io::stdin()).ok()?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(std::io::stdin(), OptionalActions::Flush, &silent).ok()?;
        Some(Self(before))
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.0);
    }
}
