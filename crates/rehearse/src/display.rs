//! [`Evidence`] for people: a short table.

use crate::drivers::{CheckedDriver, DriverCheck, DriverPlace};
use crate::evidence::{Evidence, Failed, Hardware, JudgedBy, Outcome, Preparation, Run, Timings};
use crate::facts::Facts;
use crate::text;
use std::fmt;

/// How many lines of the console are shown of a guest that did not boot.
const TAIL: usize = 25;

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.outcome {
            Outcome::Booted(_) => headline(f, self)?,
            Outcome::Static => headline(f, self)?,
            Outcome::Failed(failed) if self.run.is_none() => {
                writeln!(f, "would not boot on {}: {}", self.profile, failed.cause)?;
            }
            Outcome::Failed(failed) => writeln!(f, "did not boot on {}: {}", self.profile, failed.cause)?,
        }
        row(f, "grade", &format!("{}: {}", self.grade, self.grade.meaning()))?;
        if self.control {
            row(f, "control", "the guest was taken as it is, not converted for this hypervisor")?;
        }
        if let Outcome::Failed(Failed { cause, line, .. }) = &self.outcome {
            line.iter().try_for_each(|line| row(f, "sign", line))?;
            cause.remedy().iter().try_for_each(|remedy| row(f, "remedy", remedy))?;
        }
        if let Some(facts) = self.facts() {
            rows_of_facts(f, facts)?;
        }
        if let Some(drivers) = &self.drivers {
            rows_of_drivers(f, drivers)?;
        }
        if let Some(reason) = &self.not_booted {
            row(f, "not booted", reason)?;
        }
        if let Some(run) = &self.run {
            rows_of_run(f, run, &self.outcome)?;
        }
        match (&self.outcome, &self.run) {
            (Outcome::Booted(booted), _) => {
                booted.concerns.iter().try_for_each(|concern| row(f, "look at", concern))
            }
            (Outcome::Failed(_), Some(run)) => {
                writeln!(f, "the console's last lines:")?;
                let before = run.console.len().saturating_sub(TAIL);
                run.console.iter().skip(before).try_for_each(|line| writeln!(f, "  | {line}"))
            }
            (Outcome::Failed(_), None) | (Outcome::Static, _) => Ok(()),
        }
    }
}

fn headline(f: &mut fmt::Formatter<'_>, evidence: &Evidence) -> fmt::Result {
    let system = evidence.guest.os.as_deref().unwrap_or("the guest");
    writeln!(f, "{} on {}: {}", evidence.grade, evidence.profile, text::line(system))
}

fn rows_of_drivers(f: &mut fmt::Formatter<'_>, check: &DriverCheck) -> fmt::Result {
    for device in &check.devices {
        let drivers: Vec<String> = device.drivers.iter().map(driver).collect();
        row(f, "drivers", &format!("{}: {}", device.id, drivers.join(", ")))?;
    }
    check.problems().try_for_each(|problem| row(f, "missing", &problem))?;
    check.notes.iter().try_for_each(|note| row(f, "note", note))
}

fn driver(driver: &CheckedDriver) -> String {
    let place = match driver.place {
        DriverPlace::Builtin => "in the kernel",
        DriverPlace::Initramfs => "in the initramfs",
        DriverPlace::Modules => "among the modules",
        DriverPlace::Missing => "missing",
    };
    format!("{} {place}", driver.module)
}

fn rows_of_run(f: &mut fmt::Formatter<'_>, run: &Run, outcome: &Outcome) -> fmt::Result {
    row(f, "timings", &timings(&run.timings))?;
    row(f, "machine", &hardware(&run.hardware))?;
    if !run.hardware.stand_ins.is_empty() {
        row(f, "stand-ins", &run.hardware.stand_ins.join(", "))?;
    }
    if run.passphrases_typed > 0 {
        row(f, "unlocked", &format!("passphrases typed at the console: {}", run.passphrases_typed))?;
    }
    row(f, "run by", &format!("{} with {}", run.hypervisor, run.accelerator))?;
    row(f, "judged by", &judgement(outcome, &run.preparation))
}

fn row(f: &mut fmt::Formatter<'_>, name: &str, value: &str) -> fmt::Result {
    writeln!(f, "  {name:<10} {}", text::line(value))
}

fn rows_of_facts(f: &mut fmt::Formatter<'_>, facts: &Facts) -> fmt::Result {
    if let Some(kernel) = &facts.kernel {
        row(f, "kernel", kernel)?;
    }
    if facts.secure_boot == Some(true) {
        row(f, "firmware", "enforces secure boot, as the guest sees it")?;
    }
    if let Some(root) = &facts.root {
        let disks: Vec<String> =
            root.disks.iter().map(|disk| format!("{} by {}", disk.name, chain(&disk.drivers))).collect();
        row(f, "root", &format!("{} ({}) on {}", root.source, root.filesystem, disks.join(", ")))?;
    }
    for nic in &facts.nics {
        let addresses: Vec<&str> = facts.addresses_of(&nic.name).collect();
        let addresses = if addresses.is_empty() { "no address".to_string() } else { addresses.join(" ") };
        row(f, "network", &format!("{} {} by {}: {addresses}", nic.name, nic.mac, chain(&nic.drivers)))?;
    }
    let login =
        facts.login.as_deref().map_or("nothing asks for a login".into(), |name| format!("{name} waits"));
    row(f, "login", &login)?;
    if !facts.failed_units.is_empty() {
        row(f, "failed", &facts.failed_units.join(" "))?;
    }
    Ok(())
}

fn chain(drivers: &[String]) -> String {
    if drivers.is_empty() { "no driver".to_string() } else { drivers.join(" < ") }
}

fn timings(timings: &Timings) -> String {
    let stage = |name: &str, ms: Option<u64>| ms.map(|ms| format!("{name} {:.1} s", ms as f64 / 1000.0));
    let stages = [
        stage("preparation", Some(timings.prepare_ms)),
        stage("firmware and boot loader", timings.firmware_to_kernel_ms),
        stage("kernel to init", timings.kernel_to_init_ms),
        stage("init to multi-user", timings.init_to_multi_user_ms),
        stage("all of the run", Some(timings.run_ms)),
    ];
    stages.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn hardware(hardware: &Hardware) -> String {
    let devices = [hardware.disks.as_slice(), hardware.nics.as_slice()].concat().join(", ");
    let Hardware { machine, firmware, cpus, memory_mib, .. } = hardware;
    format!("{machine}, {firmware}, {cpus} CPUs, {memory_mib} MiB; {devices}")
}

fn judgement(outcome: &Outcome, preparation: &Preparation) -> String {
    let by_report = match outcome {
        Outcome::Booted(booted) => booted.judged_by == JudgedBy::Report,
        Outcome::Failed(failed) => failed.facts.is_some(),
        Outcome::Static => false,
    };
    let judge = match (by_report, outcome) {
        (true, _) => "the guest's own report",
        (false, Outcome::Booted(_)) => "a login prompt on the console",
        (false, _) => "the console",
    };
    match (&preparation.report, &preparation.reason) {
        (Some(init), _) => {
            format!("{judge} (a report was added to the throwaway overlay, started by {init})")
        }
        (None, Some(reason)) => format!("{judge} (no report could be added: {reason})"),
        (None, None) => judge.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::GuestIdentity;
    use crate::signed::tests::evidence;

    #[test]
    fn what_a_guest_says_cannot_drive_the_terminal() {
        let (hostile, plain) = ("a\u{1b}[2J\ngrade: booted\u{9b}2J", "a[2Jgrade: booted2J");
        let guest = GuestIdentity { os: Some(hostile.into()), ..evidence().guest };
        let not_booted = Some(hostile.into());
        let shown = Evidence { guest, not_booted, outcome: Outcome::Static, ..evidence() }.to_string();
        assert!(!shown.contains(['\u{1b}', '\u{9b}']), "{shown:?}");
        assert_eq!(shown.lines().filter(|line| line.ends_with(plain)).count(), 2, "{shown}");
    }
}
