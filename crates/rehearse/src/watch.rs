//! When to stop waiting for a guest: [`Watch`], which looks at what has come and says how it ended.
//!
//! It knows neither QEMU nor the clock; both come as arguments.

use crate::cause::{self, Cause, Diagnosis};
use crate::facts::Facts;
use crate::report::{self, ReportError};
use crate::text;
use crate::unlock::Waiting;
use std::time::Duration;

/// How many resets are no accident: a first boot may well end in one (SELinux labels, cloud-init).
const RESETS: u32 = 4;
/// How long a report may lag behind a login prompt.
const LAG: Duration = Duration::from_secs(60);

/// What has come of a guest so far.
#[derive(Clone, Debug)]
pub(crate) struct Sight<'a> {
    /// How long it has been running.
    pub(crate) elapsed: Duration,
    /// What the report's port received.
    pub(crate) port: &'a str,
    /// What the console received, as plain lines.
    pub(crate) console: &'a str,
    /// The prompt for a passphrase that nobody answers.
    pub(crate) waiting: Option<Waiting>,
    /// How often the guest reset itself.
    pub(crate) resets: u32,
    /// Whether the guest switched itself off.
    pub(crate) powered_off: bool,
    /// Whether QEMU has ended.
    pub(crate) ended: bool,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// The guest says that it is up.
    Reported(Box<Facts>),
    /// The guest asks for a login, and no report came or was to come.
    LoginPrompt(Option<ReportError>),
    /// It does not boot: the cause, and the line of the console that told it.
    Failed(Cause, Option<String>),
}

/// Waits for a guest.
#[derive(Debug)]
pub(crate) struct Watch {
    timeout: Duration,
    expects_report: bool,
    /// Since when the console has told the same cause.
    suspicion: Option<(Cause, Duration)>,
    prompt_since: Option<Duration>,
}

impl Watch {
    pub(crate) fn new(timeout: Duration, expects_report: bool) -> Self {
        Self { timeout, expects_report, suspicion: None, prompt_since: None }
    }

    /// Says how it ended, once it has.
    pub(crate) fn look(&mut self, sight: Sight<'_>) -> Option<Verdict> {
        let damaged = match report::parse(sight.port) {
            Ok(Some(facts)) => return Some(Verdict::Reported(Box::new(facts))),
            Ok(None) => None,
            Err(error) => Some(error),
        };
        let console = sight.console;
        let diagnosis = cause::diagnose(console);
        let over = sight.elapsed >= self.timeout;
        if cause::asks_for_login(console) {
            let since = *self.prompt_since.get_or_insert(sight.elapsed);
            let lag = if self.expects_report { LAG } else { Duration::ZERO };
            if over || sight.elapsed >= since + lag {
                return Some(Verdict::LoginPrompt(damaged));
            }
        }
        if sight.ended || sight.powered_off || sight.resets >= RESETS {
            return Some(ended(&sight, diagnosis));
        }
        if let Some(waiting) = sight.waiting
            && (waiting.is_certain || over)
        {
            let cause = if waiting.refused { Cause::PassphraseRefused } else { Cause::WaitsForPassphrase };
            return Some(Verdict::Failed(cause, Some(waiting.line)));
        }
        if self.is_certain(sight.elapsed, diagnosis.as_ref()) || over {
            return Some(failed(diagnosis, console));
        }
        None
    }

    fn is_certain(&mut self, now: Duration, diagnosis: Option<&Diagnosis>) -> bool {
        let Some(diagnosis) = diagnosis else {
            self.suspicion = None;
            return false;
        };
        let since = match self.suspicion {
            Some((cause, since)) if cause == diagnosis.cause => since,
            _ => now,
        };
        self.suspicion = Some((diagnosis.cause, since));
        diagnosis.certain_after.is_some_and(|wait| now >= since + wait)
    }
}

/// A guest that is gone: the console may tell better why than the manner in which it went.
fn ended(sight: &Sight<'_>, diagnosis: Option<Diagnosis>) -> Verdict {
    let manner = if sight.resets >= RESETS {
        Cause::BootLoop
    } else if sight.powered_off {
        Cause::PoweredOff
    } else {
        Cause::MachineStopped
    };
    match diagnosis.filter(|diagnosis| diagnosis.certain_after.is_some()) {
        Some(diagnosis) => Verdict::Failed(diagnosis.cause, Some(diagnosis.line)),
        None => Verdict::Failed(manner, None),
    }
}

fn failed(diagnosis: Option<Diagnosis>, console: &str) -> Verdict {
    match diagnosis {
        Some(diagnosis) => Verdict::Failed(diagnosis.cause, Some(diagnosis.line)),
        None if console.trim().is_empty() => Verdict::Failed(Cause::Silent, None),
        None => Verdict::Failed(Cause::Hang, text::tail(console, 1).pop()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = "anyvisor-report-begin\nformat 1\nanyvisor-report-end 8 -\n";
    const PROMPT: &str = "Debian GNU/Linux 12 vm ttyS0\n\nvm login: ";

    fn sight(seconds: u64, port: &'static str, console: &'static str) -> Sight<'static> {
        let elapsed = Duration::from_secs(seconds);
        Sight { elapsed, port, console, waiting: None, resets: 0, powered_off: false, ended: false }
    }

    fn watch() -> Watch {
        Watch::new(Duration::from_secs(300), true)
    }

    #[test]
    fn a_report_ends_the_wait_whatever_the_console_says() {
        let verdict = watch().look(sight(1, REPORT, "grub rescue>"));
        assert!(matches!(verdict, Some(Verdict::Reported(_))));
    }

    #[test]
    fn a_login_prompt_counts_when_no_report_can_come() {
        let mut console_only = Watch::new(Duration::from_secs(300), false);
        assert_eq!(console_only.look(sight(1, "", PROMPT)), Some(Verdict::LoginPrompt(None)));
        let mut expecting = watch();
        assert_eq!(expecting.look(sight(1, "", PROMPT)), None);
        assert_eq!(expecting.look(sight(60, "", PROMPT)), None);
        assert_eq!(expecting.look(sight(61, "", PROMPT)), Some(Verdict::LoginPrompt(None)));
    }

    #[test]
    fn a_certain_failure_ends_the_wait_early() {
        let console = "ALERT!  /dev/sda1 does not exist.  Dropping to a shell!\n(initramfs) ";
        let mut watch = watch();
        assert_eq!(watch.look(sight(40, "", console)), None);
        let Some(Verdict::Failed(cause, line)) = watch.look(sight(41, "", console)) else { panic!() };
        assert_eq!(cause, Cause::NoRootDevice);
        assert!(line.unwrap().starts_with("ALERT!"));
    }

    #[test]
    fn emergency_mode_gets_time_to_report_its_units() {
        let mut watch = watch();
        let console = "You are in emergency mode. After logging in, type";
        assert_eq!(watch.look(sight(40, "", console)), None);
        assert_eq!(watch.look(sight(50, "", console)), None);
        assert!(matches!(watch.look(sight(51, REPORT, console)), Some(Verdict::Reported(_))));
    }

    #[test]
    fn an_uncertain_sign_only_explains_the_timeout() {
        let mut watch = watch();
        let console = "[ *** ] A start job is running for /dev/disk/by-uuid/x (1min / 1min 30s)";
        assert_eq!(watch.look(sight(299, "", console)), None);
        let verdict = watch.look(sight(300, "", console));
        assert!(matches!(verdict, Some(Verdict::Failed(Cause::NoRootDevice, Some(_)))));
    }

    #[test]
    fn without_a_sign_it_hangs_or_is_silent() {
        let hang = watch().look(sight(300, "", "Booting from Hard Disk...\n"));
        assert_eq!(hang, Some(Verdict::Failed(Cause::Hang, Some("Booting from Hard Disk...".into()))));
        assert_eq!(watch().look(sight(300, "", "\n")), Some(Verdict::Failed(Cause::Silent, None)));
    }

    #[test]
    fn a_prompt_without_an_answer_ends_the_wait_early() {
        let waiting = |refused, is_certain| {
            Some(Waiting { line: "Please unlock disk root:".into(), refused, is_certain })
        };
        let at = |seconds, waiting| Sight { waiting, ..sight(seconds, "", "Please unlock disk root: ") };
        let verdict = |cause| Some(Verdict::Failed(cause, Some("Please unlock disk root:".into())));
        assert_eq!(watch().look(at(20, waiting(false, false))), None);
        assert_eq!(watch().look(at(50, waiting(false, true))), verdict(Cause::WaitsForPassphrase));
        assert_eq!(watch().look(at(50, waiting(true, true))), verdict(Cause::PassphraseRefused));
        assert_eq!(watch().look(at(300, waiting(false, false))), verdict(Cause::WaitsForPassphrase));
        assert!(Cause::WaitsForPassphrase.remedy().unwrap().contains("--passphrase-file"));
        // The guest may have come up all the same.
        let up = Sight { port: REPORT, ..at(50, waiting(false, true)) };
        assert!(matches!(watch().look(up), Some(Verdict::Reported(_))));
    }

    #[test]
    fn how_it_went_matters_only_when_the_console_does_not_tell() {
        let gone = Sight { ended: true, ..sight(9, "", "[  1.0] Linux version 6.1\n") };
        assert_eq!(watch().look(gone.clone()), Some(Verdict::Failed(Cause::MachineStopped, None)));
        let off = Sight { powered_off: true, ..gone.clone() };
        assert_eq!(watch().look(off), Some(Verdict::Failed(Cause::PoweredOff, None)));
        let looping = Sight { resets: RESETS, ended: false, ..gone };
        assert_eq!(watch().look(looping.clone()), Some(Verdict::Failed(Cause::BootLoop, None)));
        let panicked = Sight { console: "Kernel panic - not syncing: Fatal exception", ..looping };
        assert!(matches!(watch().look(panicked), Some(Verdict::Failed(Cause::KernelPanic, Some(_)))));
    }
}
