//! Guests that ask for a passphrase while they start: [`Typist`] recognises the prompt and says what to type.
//!
//! It knows neither QEMU nor the clock; both come as arguments. Each prompt is answered once, a prompt that comes again with
//! the next passphrase, and all prompts together a bounded number of times: a guest may ask for ever.

use crate::text;
use guest::volume::Secret;
use std::collections::BTreeMap;
use std::time::Duration;

/// What stands in a line that asks for a passphrase, and waits for it.
const PROMPTS: &[&str] = &[
    // cryptsetup-initramfs of Debian and Ubuntu, before and since 2018.
    "Please unlock disk ",
    "Unlocking the disk ",
    // systemd-cryptsetup, in an initramfs of dracut's or mkinitcpio's too.
    "Please enter passphrase for disk ",
    // cryptsetup itself: mkinitcpio's hook, Alpine's mkinitfs, SLES 11; RHEL 5; GRUB, of an encrypted /boot.
    "Enter passphrase for ",
    "Enter LUKS passphrase",
    // dracut without systemd, as in RHEL 6.
    "Password (/dev/",
    "Password for /dev/",
];
/// How a line ends in which somebody has begun to type.
const ECHO: &[char] = &['*', '•'];

/// How long a prompt stands before it is answered: a program may print it before it listens.
const SETTLE: Duration = Duration::from_secs(2);
/// How long nothing may come after a prompt that is not answered until it is certain that the guest waits for it: systemd
/// also asks for volumes that it starts without.
const QUIET: Duration = Duration::from_secs(30);
/// How many prompts are answered.
const MOST_ANSWERS: u32 = 16;

/// A prompt that is not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    /// The prompt.
    pub(crate) line: String,
    /// Whether passphrases were typed there, and did not fit.
    pub(crate) refused: bool,
    /// Whether nothing else came for so long that nothing will.
    pub(crate) is_certain: bool,
}

/// Answers prompts on a guest's console. It is not printed: it knows what a guest may have shown.
pub(crate) struct Typist<'a> {
    passphrases: Vec<&'a [u8]>,
    /// The console as it was seen last, and since when it is so.
    seen: (String, Duration),
    /// How many lines of it ask, and since when.
    asked: (usize, Duration),
    /// How many lines of it asked when the last one was dealt with.
    dealt_with: usize,
    /// How often each prompt was answered since the guest's last reset.
    answers: BTreeMap<String, usize>,
    resets: u32,
    typed: u32,
}

impl<'a> Typist<'a> {
    /// One that knows the passphrases among `secrets`; key files are not typed.
    pub(crate) fn new(secrets: &'a [Secret]) -> Self {
        let passphrases =
            secrets.iter().filter_map(Secret::typed).filter(|typed| !typed.is_empty()).collect();
        Self {
            passphrases,
            seen: (String::new(), Duration::ZERO),
            asked: (0, Duration::ZERO),
            dealt_with: 0,
            answers: BTreeMap::new(),
            resets: 0,
            typed: 0,
        }
    }

    /// How many prompts were answered.
    pub(crate) fn typed(&self) -> u32 {
        self.typed
    }

    /// What to type now into the console with this plain text, `now` after the guest's start; without the key that ends
    /// it.
    pub(crate) fn look(&mut self, now: Duration, console: &str, resets: u32) -> Option<&'a [u8]> {
        if resets != self.resets {
            // A guest that starts again asks again.
            self.resets = resets;
            self.answers.clear();
        }
        if self.seen.0 != console {
            self.seen = (console.to_owned(), now);
        }
        let (count, line) = prompts(console);
        if self.asked.0 != count {
            self.asked = (count, now);
        }
        // The console's beginning is forgotten at times.
        self.dealt_with = self.dealt_with.min(count);
        let line = line.filter(|_| count > self.dealt_with)?;
        if line.ends_with(ECHO) {
            // Drawn anew, with what was typed.
            self.dealt_with = count;
            return None;
        }
        if now < self.asked.1 + SETTLE || self.typed >= MOST_ANSWERS {
            return None;
        }
        let answers = self.answers.entry(line).or_default();
        let passphrase = *self.passphrases.get(*answers)?;
        *answers += 1;
        self.typed += 1;
        self.dealt_with = count;
        Some(passphrase)
    }

    /// The prompt that the guest waits at, and that has no answer.
    pub(crate) fn waiting(&self, now: Duration) -> Option<Waiting> {
        let (count, line) = prompts(&self.seen.0);
        let line = line.filter(|_| count > self.dealt_with)?;
        let answers = self.answers.get(&line).copied().unwrap_or_default();
        let has_answer = answers < self.passphrases.len() && self.typed < MOST_ANSWERS;
        (!has_answer).then(|| Waiting { line, refused: answers > 0, is_certain: now >= self.seen.1 + QUIET })
    }

    /// A console without what was typed: a guest may show it. What came before the first prompt cannot have it, and stays as
    /// it is.
    pub(crate) fn conceal(&self, console: &str) -> String {
        let asked = PROMPTS.iter().filter_map(|prompt| console.find(prompt)).min().unwrap_or(0);
        let (before, after) = console.split_at_checked(asked).unwrap_or(("", console));
        format!("{before}{}", self.conceal_line(after))
    }

    /// A line of a console without what was typed.
    pub(crate) fn conceal_line(&self, line: &str) -> String {
        let typed = self.passphrases.iter().filter(|_| self.typed > 0);
        typed.fold(line.to_owned(), |line, typed| line.replace(&*String::from_utf8_lossy(typed), "…"))
    }
}

/// How many lines ask for a passphrase, and the last of them from where it does.
fn prompts(console: &str) -> (usize, Option<String>) {
    let asks = |line: &str| -> Option<String> {
        let at = PROMPTS.iter().filter_map(|prompt| line.find(prompt)).min()?;
        Some(text::field(line.get(at..)?, 200))
    };
    console.lines().filter_map(asks).fold((0, None), |(count, _), line| (count + 1, Some(line)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKS: &str = "[ 2.1] sda: sda1 sda2\nPlease unlock disk system_crypt: ";

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn secrets(passphrases: &[&str]) -> Vec<Secret> {
        passphrases.iter().map(|passphrase| Secret::passphrase(*passphrase)).collect()
    }

    #[test]
    fn every_prompt_is_recognised() {
        // As these programs print them; the second with the key that stops the echo.
        for console in [
            "Please unlock disk sda3_crypt: ",
            "\u{1f510} Please enter passphrase for disk QEMU_HARDDISK (luks-1): (press TAB for no echo) ",
            "Please enter passphrase for disk vda3 (root) on /!",
            "A password is required to access the root volume:\nEnter passphrase for /dev/sda2: ",
            "Enter passphrase for hd0,msdos1 (0d8f6a525f0e4b538a577b5b6c2d9e10): ",
            "Enter LUKS passphrase for /dev/sda2:",
            "Password (/dev/sda2): ",
        ] {
            let secrets = secrets(&["open"]);
            let mut typist = Typist::new(&secrets);
            assert_eq!(typist.look(seconds(10), console, 0), None, "too early: {console}");
            assert_eq!(typist.look(seconds(12), console, 0), Some(b"open".as_slice()), "{console}");
        }
        for console in ["debian login: ", "Enter new UNIX password: ", "Starting Dispatch Password Requests…"]
        {
            assert_eq!(prompts(console), (0, None), "{console}");
        }
    }

    #[test]
    fn a_prompt_is_answered_once_and_with_the_next_passphrase_when_it_comes_again() {
        let secrets = [secrets(&["wrong", "right"]), vec![Secret::key("contents")]].concat();
        let mut typist = Typist::new(&secrets);
        typist.look(seconds(10), ASKS, 0);
        assert_eq!(typist.look(seconds(12), ASKS, 0), Some(b"wrong".as_slice()));
        assert_eq!(typist.look(seconds(99), ASKS, 0), None);
        assert_eq!(typist.waiting(seconds(99)), None);
        let again = format!("{ASKS}\ncryptsetup: cryptsetup failed, bad password or options?\n{ASKS}");
        typist.look(seconds(100), &again, 0);
        assert_eq!(typist.look(seconds(102), &again, 0), Some(b"right".as_slice()));
        let third = format!("{again}\n{ASKS}");
        typist.look(seconds(110), &third, 0);
        assert_eq!(typist.look(seconds(200), &third, 0), None);
        let waiting = typist.waiting(seconds(200)).unwrap();
        assert!(waiting.refused && waiting.is_certain, "{waiting:?}");
        assert_eq!(waiting.line, "Please unlock disk system_crypt:");
        // After a reset the same prompt is a new one.
        let fourth = format!("{third}\n{ASKS}");
        typist.look(seconds(210), &fourth, 1);
        assert_eq!(typist.look(seconds(212), &fourth, 1), Some(b"wrong".as_slice()));
        assert_eq!(typist.typed(), 3);
    }

    #[test]
    fn what_is_typed_is_no_prompt() {
        let secrets = secrets(&["open", "other"]);
        let mut typist = Typist::new(&secrets);
        let console = "Please enter passphrase for disk sda2: ";
        typist.look(seconds(0), console, 0);
        assert!(typist.look(seconds(2), console, 0).is_some());
        let redrawn = format!("{console}\n{console}*\n{console}****");
        for later in [3, 9] {
            assert_eq!(typist.look(seconds(later), &redrawn, 0), None);
        }
        assert_eq!(typist.waiting(seconds(99)), None);
    }

    #[test]
    fn without_a_passphrase_it_is_certain_after_a_silence() {
        let keys = [Secret::key("contents")];
        let mut typist = Typist::new(&keys);
        assert_eq!(typist.look(seconds(10), ASKS, 0), None);
        assert!(!typist.waiting(seconds(39)).unwrap().is_certain);
        let waiting = typist.waiting(seconds(40)).unwrap();
        assert!(waiting.is_certain && !waiting.refused);
        // systemd goes on without a volume that may be missing.
        typist.look(seconds(41), &format!("{ASKS}\n[ OK ] Reached target Basic System\n"), 0);
        assert!(!typist.waiting(seconds(42)).unwrap().is_certain);
    }

    #[test]
    fn a_guest_that_asks_for_ever_is_not_answered_for_ever() {
        let secrets = secrets(&["open"]);
        let mut typist = Typist::new(&secrets);
        let (mut console, mut now) = (String::new(), seconds(0));
        for number in 0..100 {
            console += &format!("Enter passphrase for /dev/sd{number}: \n");
            typist.look(now, &console, 0);
            now += SETTLE;
            typist.look(now, &console, 0);
        }
        assert_eq!(typist.typed(), MOST_ANSWERS);
        assert!(typist.waiting(now + QUIET).unwrap().is_certain);
    }

    #[test]
    fn nothing_that_was_typed_is_kept() {
        let secrets = secrets(&["debian"]);
        let mut typist = Typist::new(&secrets);
        let console = "debian boots\nEnter passphrase for /dev/sda2: ";
        assert_eq!(
            typist.conceal("Enter passphrase for /dev/sda2: debian"),
            "Enter passphrase for /dev/sda2: debian"
        );
        typist.look(seconds(0), console, 0);
        typist.look(seconds(2), console, 0).unwrap();
        let echoed = format!("{console}debian\r\nNo key available");
        assert_eq!(typist.conceal(&echoed), format!("{console}…\r\nNo key available"));
        assert_eq!(typist.conceal_line("sh: debian: not found"), "sh: …: not found");
    }
}
