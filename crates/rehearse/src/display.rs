//! [`Evidence`] for people: a short table.

use crate::evidence::{Booted, Evidence, Failed, Hardware, JudgedBy, Outcome, Preparation, Timings};
use crate::facts::Facts;
use std::fmt;

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.outcome {
            Outcome::Booted(booted) => headline(f, self, booted)?,
            Outcome::Failed(failed) => writeln!(f, "did not boot on {}: {}", self.profile, failed.cause)?,
        }
        if let Outcome::Failed(Failed { line: Some(line), .. }) = &self.outcome {
            row(f, "sign", line)?;
        }
        if let Some(facts) = self.facts() {
            rows_of_facts(f, facts)?;
        }
        row(f, "timings", &timings(&self.timings))?;
        row(f, "machine", &hardware(&self.hardware))?;
        row(f, "run by", &format!("QEMU {} with {}", self.qemu, self.accelerator))?;
        row(f, "judged by", &judgement(&self.outcome, &self.preparation))?;
        match &self.outcome {
            Outcome::Booted(booted) => {
                booted.concerns.iter().try_for_each(|concern| row(f, "look at", concern))
            }
            Outcome::Failed(failed) => {
                writeln!(f, "the console's last lines:")?;
                failed.console_tail.iter().try_for_each(|line| writeln!(f, "  | {line}"))
            }
        }
    }
}

fn headline(f: &mut fmt::Formatter<'_>, evidence: &Evidence, booted: &Booted) -> fmt::Result {
    let system = booted.facts.as_ref().and_then(|facts| facts.os_name.as_deref()).unwrap_or("the guest");
    writeln!(f, "{} on {}: {system}", booted.grade, evidence.profile)
}

fn row(f: &mut fmt::Formatter<'_>, name: &str, value: &str) -> fmt::Result {
    writeln!(f, "  {name:<10} {value}")
}

fn rows_of_facts(f: &mut fmt::Formatter<'_>, facts: &Facts) -> fmt::Result {
    if let Some(kernel) = &facts.kernel {
        row(f, "kernel", kernel)?;
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
    let stage = |name: &str, seconds: Option<f64>| seconds.map(|seconds| format!("{name} {seconds:.1} s"));
    let stages = [
        stage("preparation", Some(timings.prepare)),
        stage("firmware and boot loader", timings.firmware_to_kernel),
        stage("kernel to init", timings.kernel_to_init),
        stage("init to multi-user", timings.init_to_multi_user),
        stage("all of the run", Some(timings.run)),
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
    };
    let judge = match (by_report, outcome) {
        (true, _) => "the guest's own report",
        (false, Outcome::Booted(_)) => "a login prompt on the console",
        (false, Outcome::Failed(_)) => "the console",
    };
    match (&preparation.report, &preparation.reason) {
        (Some(init), _) => {
            format!("{judge} (a report was added to the throwaway overlay, started by {init})")
        }
        (None, Some(reason)) => format!("{judge} (no report could be added: {reason})"),
        (None, None) => judge.to_string(),
    }
}
