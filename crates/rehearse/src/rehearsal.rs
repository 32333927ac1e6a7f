//! A rehearsal from disks to evidence: [`rehearse`].

use crate::cause::{self, Cause};
use crate::drivers::DriverCheck;
use crate::error::Error;
use crate::evidence::{
    self, Booted, DiskContents, Evidence, Failed, GuestIdentity, Hardware, JudgedBy, Outcome, Preparation,
    Run, Timings,
};
use crate::facts::Facts;
use crate::prepare::{Aim, Seen};
use crate::run::{self, ReportAt};
use crate::unlock::Typist;
use crate::watch::{Verdict, Watch};
use crate::{hardware, instrument, prepare, text, xen};
use block::{BlockRead, BlockWrite, Overlay, OverlayOptions};
use guest::volume::Secret;
use jiff::Timestamp;
use machine::Machine;
use profile::{Grade, Profile, Rehearsal};
use qemu::{Accelerator, Backend, Binary, Vm};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a guest may take to come up, with KVM and without.
const TIMEOUT_KVM: Duration = Duration::from_secs(120);
const TIMEOUT_TCG: Duration = Duration::from_secs(300);
/// How many times as long it takes under Xen, which has to come up first.
const XEN_TAKES: u32 = 2;
/// How many lines of Xen's console an error carries.
const HOST_LINES: usize = 16;
/// How many lines of the console evidence carries.
const CONSOLE_LINES: usize = 600;

/// Hears what a rehearsal is doing, a line at a time.
pub type Progress = Arc<dyn Fn(&str) + Send + Sync>;

/// What is rehearsed. Its disks are only read.
#[derive(Clone)]
pub struct Subject<'a> {
    /// The machine, adapted to the profile.
    pub machine: &'a Machine,
    /// Its disks, in the machine's order.
    pub disks: &'a [Arc<dyn BlockRead>],
    /// What is known of the disks' contents, for the evidence.
    pub contents: Vec<DiskContents>,
    /// What unlocks its encrypted volumes. It is handed to nothing but their headers and, a passphrase, to the guest's
    /// console where the guest asks for one.
    pub secrets: &'a [Secret],
    /// Whether the guest is taken as it is, not converted for the profile: a negative control.
    pub control: bool,
}

/// What may be chosen about a rehearsal.
#[derive(Clone, Default)]
pub struct Options {
    /// How long the guest may take from the start of the machine; by default 120 s with KVM and 300 s without.
    pub timeout: Option<Duration>,
    /// A file with the variables that UEFI firmware starts with, in the form of the host's own firmware. It is
    /// copied. By default the firmware starts with its own.
    pub nvram: Option<PathBuf>,
    /// Whether nothing is booted, and only the guest's files are looked at.
    pub without_boot: bool,
    /// Whether disks whose digests are not known are read for the evidence.
    pub checksum: bool,
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

/// Whether guests can be rehearsed on `profile` here.
///
/// # Errors
/// [`Error::NotRehearsable`] and [`Error::Xen`], which say why not.
pub fn is_rehearsable(profile: &Profile) -> Result<(), Error> {
    match &profile.rehearsal {
        Some(Rehearsal::Qemu { .. }) => Ok(()),
        Some(Rehearsal::Xen { .. }) => appliance::xen::locate().map(|_| ()).map_err(Error::Xen),
        None => Err(Error::NotRehearsable { profile: profile.id.clone() }),
    }
}

/// Boots a guest on the hardware of `profile`, in throwaway overlays over its disks, and says what came of it. Where QEMU has
/// nothing for one of its devices, or no boot is wanted, only its drivers are looked for.
///
/// # Errors
/// [`Error`] when the rehearsal cannot be held. A guest that does not boot is evidence, not an error.
pub fn rehearse(
    subject: &Subject<'_>,
    profile: &'static Profile,
    options: &Options,
) -> Result<Evidence, Error> {
    hardware::check(subject.machine, profile)?;
    let subject = &with_digests(subject, options)?;
    let machine = subject.machine;
    if options.without_boot {
        return look(subject, profile, "it was not asked for".to_string());
    }
    is_rehearsable(profile)?;
    if let Some(reason) = hardware::not_emulated(machine, profile) {
        options.say(&format!("{reason}: looking for the drivers only"));
        return look(subject, profile, reason);
    }
    let binary = Binary::find().map_err(Error::Qemu)?;
    let choice = prepare::accelerator(&binary)?;
    let directory = tempfile::Builder::new().prefix("anyvisor-").tempdir().map_err(Error::Directory)?;
    let overlays: Vec<Arc<dyn BlockWrite>> = subject
        .disks
        .iter()
        .map(|disk| Arc::new(Overlay::new(Arc::clone(disk), OverlayOptions::new(directory.path()))) as _)
        .collect();
    if subject.disks.len() != machine.disks.len() {
        return Err(Error::Disks { stated: machine.disks.len(), given: subject.disks.len() });
    }
    let bench = Bench { directory: directory.path(), overlays: &overlays, accelerator: choice.accelerator };
    let aim = |port| Aim { machine, profile, port, secrets: subject.secrets };
    options.say("preparing the guest's report in a throwaway overlay");
    let start = Instant::now();
    let stage = match &profile.rehearsal {
        Some(Rehearsal::Xen { .. }) => bench.xen(aim(xen::REPORT_PORT))?,
        _ => bench.qemu(aim(instrument::PORT), options)?,
    };
    let prepare_ms = milliseconds(start.elapsed());

    let server = overlays.iter().enumerate().fold(nbd::Server::new(), |server, (index, overlay)| {
        server.export(export(index), nbd::Export::Writable(Arc::clone(overlay)))
    });
    let server = stage.exports.into_iter().fold(server, |server, (name, export)| server.export(name, export));
    let _serving = server.listen(bench.socket()).map_err(Error::Serve)?;
    let timeout = options.timeout.unwrap_or(default_timeout(choice.accelerator, profile));
    options.say(&format!("booting {} on {} ({})", machine.name, profile.name, choice.accelerator));
    let watch = Watch::new(timeout, stage.preparation.report.is_some());
    // What is typed does not reach a domain of Xen, whose console is only passed on.
    let typed = if stage.takes_input { subject.secrets } else { &[] };
    let typist = Typist::new(typed);
    let mut seen = run::run(&binary, &stage.vm, watch, typist, stage.report).map_err(Error::Qemu)?;

    let facts = match &mut seen.verdict {
        Verdict::Reported(facts) => {
            facts.disks.retain(|disk| !xen::is_report_disk(&disk.name));
            Some(&**facts)
        }
        _ => None,
    };
    let run = Run {
        hypervisor: hypervisor(profile, &binary, &text::plain(&seen.host))?,
        accelerator: choice.accelerator,
        accelerator_reason: choice.reason,
        hardware: stage.hardware,
        preparation: stage.preparation,
        timings: timings(prepare_ms, milliseconds(seen.elapsed), facts),
        passphrases_typed: seen.typed,
        console: text::tail(&seen.console, CONSOLE_LINES),
    };
    let outcome = outcome(seen.verdict, &seen.console, machine);
    Ok(evidence(subject, profile, stage.seen, Some(run), outcome))
}

/// What a guest is readied with.
struct Bench<'a> {
    directory: &'a Path,
    overlays: &'a [Arc<dyn BlockWrite>],
    accelerator: Accelerator,
}

/// A guest that is ready, in the machine that it is to be booted in.
struct Stage {
    vm: Vm,
    hardware: Hardware,
    preparation: Preparation,
    /// What was seen in its files.
    seen: Seen,
    /// What is served besides the guest's disks.
    exports: Vec<(String, nbd::Export)>,
    report: ReportAt,
    /// Whether what is typed into its console reaches the guest.
    takes_input: bool,
}

impl Bench<'_> {
    fn socket(&self) -> PathBuf {
        self.directory.join("nbd.sock")
    }

    fn backends(&self) -> Vec<Backend> {
        (0..self.overlays.len()).map(|index| Backend::nbd(self.socket(), export(index))).collect()
    }

    /// On a machine of QEMU's own.
    fn qemu(&self, aim: Aim<'_>, options: &Options) -> Result<Stage, Error> {
        let Aim { machine, profile, .. } = aim;
        let nvram = options.nvram.as_deref();
        let vm = hardware::vm(machine, profile, self.accelerator, self.backends(), nvram)?;
        let prepared = prepare::prepare(self.overlays, aim, |fs, _, _| instrument::add_console(fs))?;
        let console_added =
            prepared.also.clone().unwrap_or_else(|| prepare::add_console_alone(self.overlays));
        let preparation = prepared.preparation(console_added);
        let hardware = hardware::summary(&vm, machine, profile);
        let (seen, exports) = (prepared.seen, Vec::new());
        Ok(Stage { vm, hardware, preparation, seen, exports, report: ReportAt::Port, takes_input: true })
    }

    /// As a domain of Xen.
    fn xen(&self, aim: Aim<'_>) -> Result<Stage, Error> {
        let prepared = prepare::prepare(self.overlays, aim, xen::find)?;
        let preparation = prepared.preparation(Vec::new());
        let unknown = prepared.reason.unwrap_or_default();
        let start = prepared.also.unwrap_or(Err(unknown)).map_err(|reason| Error::NoDomain { reason })?;
        let (backends, socket) = (self.backends(), self.socket());
        let domain = xen::stage(aim.machine, start, self.accelerator, backends, &socket, self.directory)?;
        Ok(Stage {
            vm: domain.vm,
            hardware: domain.hardware,
            preparation,
            seen: prepared.seen,
            exports: domain.exports,
            report: ReportAt::Disk(domain.report),
            takes_input: false,
        })
    }
}

/// The NBD export of a disk.
fn export(index: usize) -> String {
    format!("disk{}", index + 1)
}

/// What ran the guest, with its version.
fn hypervisor(profile: &Profile, binary: &Binary, host: &str) -> Result<String, Error> {
    let qemu = format!("QEMU {}", binary.version());
    let Some(Rehearsal::Xen { .. }) = &profile.rehearsal else { return Ok(qemu) };
    if !host.contains(appliance::xen::STARTED) {
        return Err(Error::XenStopped { last: text::tail(host, HOST_LINES).join("; ") });
    }
    let version = appliance::xen::hypervisor_version(host).unwrap_or("of an unknown version");
    Ok(format!("Xen {version} in {qemu}"))
}

/// The subject with the digests of its disks, where they are wanted and not known.
fn with_digests<'a>(subject: &Subject<'a>, options: &Options) -> Result<Subject<'a>, Error> {
    let mut subject = subject.clone();
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get());
    for (contents, disk) in subject.contents.iter_mut().zip(subject.disks) {
        if options.checksum && contents.rehearsed.is_none() {
            options.say(&format!("reading {}", contents.id));
            let digest = image::digest(&**disk, threads)
                .map_err(|source| Error::Digest { disk: contents.id.clone(), source: Box::new(source) })?;
            contents.rehearsed = Some(digest.to_hex().to_string());
        }
    }
    Ok(subject)
}

/// Looks for the drivers, and boots nothing.
fn look(subject: &Subject<'_>, profile: &Profile, not_booted: String) -> Result<Evidence, Error> {
    let guest = || subject.machine.name.clone();
    let overlay = |disk: &Arc<dyn BlockRead>| {
        let options = OverlayOptions::new(std::env::temp_dir());
        Arc::new(Overlay::new(Arc::clone(disk), options)) as Arc<dyn BlockWrite>
    };
    let overlays: Vec<_> = subject.disks.iter().map(overlay).collect();
    let aim = Aim { machine: subject.machine, profile, port: instrument::PORT, secrets: subject.secrets };
    let seen = prepare::look(&overlays, aim)?;
    let check = seen.drivers.as_ref().ok_or_else(|| Error::NoKernel { guest: guest() })?;
    let outcome = missing_driver(check, None).map_or(Outcome::Static, Outcome::Failed);
    let not_booted = Some(not_booted);
    Ok(Evidence { not_booted, ..evidence(subject, profile, seen, None, outcome) })
}

/// What a check comes to that did not pass, for a guest that said `facts` of itself.
fn missing_driver(check: &DriverCheck, facts: Option<Facts>) -> Option<Failed> {
    let line = check.problems().next()?;
    Some(Failed { cause: Cause::MissingDriver, line: Some(line), facts })
}

/// Puts together what was seen.
fn evidence(
    subject: &Subject<'_>,
    profile: &Profile,
    seen: Seen,
    run: Option<Run>,
    outcome: Outcome,
) -> Evidence {
    let (grade, outcome) = judged(profile, run.as_ref(), seen.drivers.as_ref(), outcome);
    let mut evidence = Evidence {
        format: evidence::FORMAT,
        grade,
        control: subject.control,
        guest: GuestIdentity { name: subject.machine.name.clone(), os: seen.os },
        disks: subject.contents.clone(),
        profile: profile.id.clone(),
        profile_version: profile.version,
        release: profile.release.clone(),
        anyvisor: env!("CARGO_PKG_VERSION").to_string(),
        finished: Timestamp::now(),
        drivers: seen.drivers,
        run,
        not_booted: None,
        outcome,
    };
    if let Some(name) = evidence.facts().and_then(|facts| facts.os_name.clone()) {
        evidence.guest.os = Some(name);
    }
    evidence
}

/// What an outcome proves. A boot on stand-ins counts only when the drivers of the real devices were found.
fn judged(
    profile: &Profile,
    run: Option<&Run>,
    drivers: Option<&DriverCheck>,
    outcome: Outcome,
) -> (Grade, Outcome) {
    let booted = match outcome {
        Outcome::Booted(booted) => booted,
        Outcome::Static => return (Grade::Static, Outcome::Static),
        Outcome::Failed(failed) => return (Grade::Failed, Outcome::Failed(failed)),
    };
    let Some(run) = run else { return (Grade::Failed, Outcome::Booted(booted)) };
    let grade = ceiling(profile, run);
    if grade > Grade::BootedFallback {
        return (grade, Outcome::Booted(booted));
    }
    let failed = match drivers {
        Some(check) => missing_driver(check, booted.facts.clone()),
        None => Some(Failed { cause: Cause::MissingDriver, line: None, facts: booted.facts.clone() }),
    };
    match failed {
        Some(failed) => (Grade::Failed, Outcome::Failed(failed)),
        None => (grade, Outcome::Booted(booted)),
    }
}

/// The most that a boot can prove: what the profile says, never more than the same devices where instructions were emulated
/// (but under Xen, which is the hypervisor itself on whatever processor), and less where a stand-in took a device's place.
fn ceiling(profile: &Profile, run: &Run) -> Grade {
    let by_profile = profile.rehearsal.as_ref().map_or(Grade::Failed, |rehearsal| rehearsal.grade());
    let by_accelerator = match (run.accelerator, &profile.rehearsal) {
        (Accelerator::Kvm, _) | (_, Some(Rehearsal::Xen { .. })) => Grade::Booted,
        (Accelerator::Tcg, _) => Grade::BootedEquivalent,
    };
    let by_devices = if run.hardware.stand_ins.is_empty() { Grade::Booted } else { Grade::BootedFallback };
    by_profile.min(by_accelerator).min(by_devices)
}

fn default_timeout(accelerator: Accelerator, profile: &Profile) -> Duration {
    let alone = match accelerator {
        Accelerator::Kvm => TIMEOUT_KVM,
        Accelerator::Tcg => TIMEOUT_TCG,
    };
    match &profile.rehearsal {
        Some(Rehearsal::Xen { .. }) => alone * XEN_TAKES,
        _ => alone,
    }
}

fn outcome(verdict: Verdict, console: &str, machine: &Machine) -> Outcome {
    let booted = |judged_by, facts, concerns| Outcome::Booted(Booted { judged_by, facts, concerns });
    let failed = |cause, line, facts| Outcome::Failed(Failed { cause, line, facts });
    match verdict {
        Verdict::Reported(facts) if facts.is_emergency() => {
            failed(Cause::EmergencyMode, cause::missing_for_emergency(console), Some(*facts))
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

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn timings(prepare_ms: u64, run_ms: u64, facts: Option<&Facts>) -> Timings {
    let init = facts.and_then(|facts| facts.init_ms);
    let multi_user = facts.and_then(|facts| facts.reached_after_ms("multi-user.target"));
    Timings {
        prepare_ms,
        // The report is sent at once: the kernel started its uptime before the report came.
        firmware_to_kernel_ms: facts
            .and_then(|facts| facts.uptime_ms)
            .map(|uptime| run_ms.saturating_sub(uptime)),
        kernel_to_init_ms: init,
        init_to_multi_user_ms: init.zip(multi_user).map(|(init, reached)| reached.saturating_sub(init)),
        run_ms,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drivers::{CheckedDevice, CheckedDriver, ChosenBy, DriverPlace};
    use crate::evidence::{Hardware, Preparation};
    use crate::facts::{NetworkCard, Target};

    #[test]
    fn timings_come_from_the_guests_own_stamps() {
        let facts = Facts {
            init_ms: Some(7000),
            uptime_ms: Some(16_000),
            targets: vec![Target {
                unit: "multi-user.target".into(),
                state: "active".into(),
                reached_ms: Some(14_000),
            }],
            ..Facts::default()
        };
        let timings = timings(3000, 20_000, Some(&facts));
        assert_eq!((timings.firmware_to_kernel_ms, timings.kernel_to_init_ms), (Some(4000), Some(7000)));
        assert_eq!(timings.init_to_multi_user_ms, Some(7000));
    }

    fn run(accelerator: Accelerator, stand_ins: &[&str]) -> Run {
        Run {
            hypervisor: "QEMU 10".into(),
            accelerator,
            accelerator_reason: String::new(),
            hardware: Hardware {
                machine: "q35".into(),
                firmware: "BIOS".into(),
                cpus: 1,
                memory_mib: 512,
                disks: Vec::new(),
                nics: Vec::new(),
                stand_ins: stand_ins.iter().map(ToString::to_string).collect(),
            },
            preparation: Preparation { report: None, reason: None, console_added: Vec::new() },
            timings: Timings::default(),
            passphrases_typed: 0,
            console: Vec::new(),
        }
    }

    #[test]
    fn nothing_is_claimed_above_what_ran() {
        let kvm = profile::find("kvm").unwrap();
        let esxi = profile::find("esxi").unwrap();
        assert_eq!(ceiling(kvm, &run(Accelerator::Kvm, &[])), Grade::Booted);
        assert_eq!(ceiling(kvm, &run(Accelerator::Tcg, &[])), Grade::BootedEquivalent);
        assert_eq!(ceiling(esxi, &run(Accelerator::Kvm, &[])), Grade::BootedEquivalent);
        assert_eq!(ceiling(esxi, &run(Accelerator::Kvm, &["disk1"])), Grade::BootedFallback);
    }

    #[test]
    fn what_the_hypervisor_does_not_have_is_never_found_in_order() {
        let (bus, hyperv) = (machine::Bus::VirtioBlk, profile::find("hyperv").unwrap());
        let attachment = machine::Attachment { bus, controller: 0, unit: 0 };
        let disk = machine::Disk { attachment, ..Default::default() };
        let machine = Machine { disks: vec![disk], ..Default::default() };
        let subject =
            Subject { machine: &machine, disks: &[], contents: Vec::new(), secrets: &[], control: true };
        let options = Options { without_boot: true, ..Options::default() };
        assert!(matches!(rehearse(&subject, hyperv, &options), Err(Error::Bus { .. })));
    }

    #[test]
    fn a_boot_on_stand_ins_counts_only_with_the_drivers_of_the_real_devices() {
        let hyperv = profile::find("hyperv").unwrap();
        let booted =
            || Outcome::Booted(Booted { judged_by: JudgedBy::Console, facts: None, concerns: Vec::new() });
        let run = run(Accelerator::Kvm, &["disk1"]);
        let driver = |problem: Option<&str>| CheckedDriver {
            module: "hv_storvsc".into(),
            modalias: "vmbus:x".into(),
            place: DriverPlace::Initramfs,
            alias: None,
            listed_in: None,
            problem: problem.map(Into::into),
        };
        let check = |problem| DriverCheck {
            kernel: "6.1".into(),
            chosen_by: ChosenBy::Newest,
            initramfs: None,
            devices: vec![CheckedDevice { id: "disk1".into(), drivers: vec![driver(problem)] }],
            notes: Vec::new(),
        };
        let (grade, outcome) = judged(hyperv, Some(&run), Some(&check(None)), booted());
        assert_eq!((grade, outcome), (Grade::BootedFallback, booted()));
        let (grade, outcome) = judged(hyperv, Some(&run), Some(&check(Some("it is not there"))), booted());
        assert_eq!(grade, Grade::Failed);
        let Outcome::Failed(failed) = outcome else { panic!() };
        assert_eq!(failed.line.as_deref(), Some("disk1: it is not there"));
        assert_eq!(judged(hyperv, Some(&run), None, booted()).0, Grade::Failed);
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
