//! A rehearsal from disks to evidence: [`rehearse`].

use crate::cause::{self, Cause};
use crate::error::Error;
use crate::evidence::{Booted, Evidence, Failed, JudgedBy, Outcome, Timings};
use crate::facts::Facts;
use crate::run::{self, Run};
use crate::watch::{Verdict, Watch};
use crate::{hardware, prepare, text};
use block::{BlockRead, BlockWrite, Overlay, OverlayOptions};
use machine::Machine;
use profile::Profile;
use qemu::{Accelerator, Backend};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a guest may take to come up, with KVM and without.
const TIMEOUT_KVM: Duration = Duration::from_secs(120);
const TIMEOUT_TCG: Duration = Duration::from_secs(300);
/// How many lines of the console a failure carries.
const TAIL: usize = 25;

/// Hears what a rehearsal is doing, a line at a time.
pub type Progress = Arc<dyn Fn(&str) + Send + Sync>;

/// What may be chosen about a rehearsal.
#[derive(Clone, Default)]
pub struct Options {
    /// How long the guest may take from the start of the machine; by default 120 s with KVM and 300 s without.
    pub timeout: Option<Duration>,
    /// A file with the variables that UEFI firmware starts with, in the form of the host's own firmware. It is
    /// copied. By default the firmware starts with its own.
    pub nvram: Option<PathBuf>,
    /// Hears what is being done.
    pub progress: Option<Progress>,
}

impl Options {
    fn say(&self, line: &str) {
        tracing::debug!("{line}");
        if let Some(progress) = &self.progress {
            progress(line);
        }
    }
}

/// Boots `machine` on the hardware of `profile`, with `disks` as its disks in the machine's order, and says what came
/// of it. The machine must have been adapted to the profile. The disks are only read.
///
/// # Errors
/// [`Error`] when the rehearsal cannot be held. A guest that does not boot is evidence, not an error.
pub fn rehearse(
    disks: &[Arc<dyn BlockRead>],
    machine: &Machine,
    profile: &'static Profile,
    options: &Options,
) -> Result<Evidence, Error> {
    let binary = qemu::Binary::find().map_err(Error::Qemu)?;
    let choice = prepare::accelerator(&binary)?;
    let directory = tempfile::Builder::new().prefix("anyvisor-").tempdir().map_err(Error::Directory)?;
    let overlays: Vec<Arc<dyn BlockWrite>> = disks
        .iter()
        .map(|disk| Arc::new(Overlay::new(Arc::clone(disk), OverlayOptions::new(directory.path()))) as _)
        .collect();
    let socket = directory.path().join("nbd.sock");
    let name = |index: usize| format!("disk{}", index + 1);
    let backends = (0..disks.len()).map(|index| Backend::nbd(&socket, name(index))).collect();
    let vm = hardware::vm(machine, profile, choice.accelerator, backends, options.nvram.as_deref())?;

    options.say("preparing the guest's report in a throwaway overlay");
    let start = Instant::now();
    let preparation = prepare::prepare(&overlays);
    let prepare = start.elapsed().as_secs_f64();

    let server = overlays.into_iter().enumerate().fold(nbd::Server::new(), |server, (index, overlay)| {
        server.export(name(index), nbd::Export::Writable(overlay))
    });
    let _serving = server.listen(&socket).map_err(Error::Serve)?;
    let timeout = options.timeout.unwrap_or(default_timeout(choice.accelerator));
    options.say(&format!("booting {} on {} ({})", machine.name, profile.name, choice.accelerator));
    let run =
        run::run(&binary, &vm, Watch::new(timeout, preparation.report.is_some())).map_err(Error::Qemu)?;

    let facts = match &run.verdict {
        Verdict::Reported(facts) => Some((**facts).clone()),
        _ => None,
    };
    Ok(Evidence {
        profile: profile.id.clone(),
        profile_version: profile.version,
        accelerator: choice.accelerator,
        accelerator_reason: choice.reason,
        qemu: binary.version().to_string(),
        hardware: hardware::summary(&vm),
        preparation,
        timings: timings(prepare, run.elapsed.as_secs_f64(), facts.as_ref()),
        outcome: outcome(run, machine, profile),
    })
}

fn default_timeout(accelerator: Accelerator) -> Duration {
    match accelerator {
        Accelerator::Kvm => TIMEOUT_KVM,
        Accelerator::Tcg => TIMEOUT_TCG,
    }
}

fn outcome(run: Run, machine: &Machine, profile: &Profile) -> Outcome {
    let console = text::plain(&run.console);
    let booted = |judged_by, facts, concerns| {
        let grade = profile.rehearsal.as_ref().map(|rehearsal| rehearsal.grade.clone()).unwrap_or_default();
        Outcome::Booted(Booted { grade, judged_by, facts, concerns })
    };
    let failed = |cause, line, facts| {
        Outcome::Failed(Failed { cause, line, facts, console_tail: text::tail(&console, TAIL) })
    };
    match run.verdict {
        Verdict::Reported(facts) if facts.is_emergency() => {
            failed(Cause::EmergencyMode, cause::missing_for_emergency(&console), Some(*facts))
        }
        Verdict::Reported(facts) => {
            let concerns = concerns(&facts, machine);
            booted(JudgedBy::Report, Some(*facts), concerns)
        }
        Verdict::LoginPrompt(damaged) => {
            let concerns = damaged.map(|error| error.to_string()).into_iter().collect();
            booted(JudgedBy::Console, None, concerns)
        }
        Verdict::Failed(cause, line) => failed(cause, line, None),
    }
}

/// What an administrator should look at in a guest that came up.
fn concerns(facts: &Facts, machine: &Machine) -> Vec<String> {
    let mut concerns = Vec::new();
    for nic in &machine.nics {
        let Some(mac) = nic.mac else { continue };
        if !facts.nics.iter().any(|found| found.mac.eq_ignore_ascii_case(&mac.to_string())) {
            concerns.push(format!("the guest has no driver for {} ({mac})", nic.id));
        }
    }
    if facts.disks.len() < machine.disks.len() {
        concerns.push(format!("the guest sees {} of its {} disks", facts.disks.len(), machine.disks.len()));
    }
    for unit in &facts.failed_units {
        concerns.push(format!("the unit {unit} failed"));
    }
    if facts.login.is_none() {
        concerns.push("nothing asks for a login".to_string());
    }
    if let Some(default) = facts.targets.first().filter(|target| target.state != "active") {
        concerns.push(format!("the default target {} was not reached", default.unit));
    }
    concerns
}

fn timings(prepare: f64, run: f64, facts: Option<&Facts>) -> Timings {
    let init = facts.and_then(|facts| facts.init_seconds);
    let multi_user = facts.and_then(|facts| facts.reached_after("multi-user.target"));
    Timings {
        prepare,
        // The report is sent at once: the kernel started its uptime before the report came.
        firmware_to_kernel: facts
            .and_then(|facts| facts.uptime_seconds)
            .map(|uptime| (run - uptime).max(0.0)),
        kernel_to_init: init,
        init_to_multi_user: init.zip(multi_user).map(|(init, reached)| (reached - init).max(0.0)),
        run,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::{NetworkCard, Target};

    #[test]
    fn timings_come_from_the_guests_own_stamps() {
        let facts = Facts {
            init_seconds: Some(7.0),
            uptime_seconds: Some(16.0),
            targets: vec![Target {
                unit: "multi-user.target".into(),
                state: "active".into(),
                seconds: Some(14.0),
            }],
            ..Facts::default()
        };
        let timings = timings(3.0, 20.0, Some(&facts));
        assert_eq!((timings.firmware_to_kernel, timings.kernel_to_init), (Some(4.0), Some(7.0)));
        assert_eq!(timings.init_to_multi_user, Some(7.0));
    }

    #[test]
    fn a_card_without_a_driver_is_a_concern() {
        let mac: machine::MacAddress = "00:0c:29:4c:5b:6a".parse().unwrap();
        let machine = Machine {
            nics: vec![machine::Nic {
                id: "nic1".into(),
                model: machine::NicModel::Virtio,
                mac: Some(mac),
                connected: true,
                ..machine::Nic::default()
            }],
            ..Machine::default()
        };
        let mut facts = Facts { login: Some("agetty".into()), ..Facts::default() };
        assert_eq!(concerns(&facts, &machine), ["the guest has no driver for nic1 (00:0c:29:4c:5b:6a)"]);
        facts.nics.push(NetworkCard { mac: "00:0C:29:4C:5B:6A".into(), ..NetworkCard::default() });
        assert!(concerns(&facts, &machine).is_empty());
    }
}
