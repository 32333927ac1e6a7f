//! What proc(5) tells of processes: who descends from whom, and how much memory each has.

use std::collections::BTreeMap;
use std::fs;

/// A process at one moment. Memory is in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    /// Its id.
    pub(crate) id: u32,
    /// Its name, as `comm` has it.
    pub(crate) name: String,
    /// What is resident, shared pages counted in full.
    pub(crate) resident: u64,
    /// What is resident, shared pages divided among those who share them.
    pub(crate) proportional: u64,
    /// The most that was ever resident.
    pub(crate) high_water: u64,
}

/// All processes below `ancestor`, at this moment. A process that ends while it is looked at is left out.
pub(crate) fn descendants(ancestor: u32) -> Vec<Process> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for id in fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|entry| number(&entry)) {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        if let Some(parent) = parent(&stat) {
            children.entry(parent).or_default().push(id);
        }
    }
    let mut found = Vec::new();
    let mut ids = vec![ancestor];
    while let Some(id) = ids.pop() {
        // Taken out: a process id that was given anew in the meantime cannot make a circle.
        let below = children.remove(&id).unwrap_or_default();
        found.extend(below.iter().filter_map(|id| look(*id)));
        ids.extend(below);
    }
    found
}

/// The most that was ever resident of the process `id`, in bytes; `None` when it has ended.
pub(crate) fn high_water(id: u32) -> Option<u64> {
    kib(&fs::read_to_string(format!("/proc/{id}/status")).ok()?, "VmHWM:")
}

/// The processor time of all children that have ended and been waited for, with theirs, in clock ticks.
pub(crate) fn ended_childrens_ticks() -> u64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // cutime and cstime.
    field(&stat, 16).unwrap_or(0) + field(&stat, 17).unwrap_or(0)
}

/// The processor time of the whole host since it started, in clock ticks, idle time and waiting left out.
pub(crate) fn host_ticks() -> u64 {
    busy(&fs::read_to_string("/proc/stat").unwrap_or_default())
}

/// The first line of `/proc/stat`: user, nice, system, then idle and iowait, then irq, softirq and steal. What comes
/// behind them, guests' time, is already in the first two.
fn busy(stat: &str) -> u64 {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu ")).unwrap_or_default();
    let ticks = line.split_whitespace().take(8).enumerate();
    ticks
        .filter(|(index, _)| !matches!(index, 3 | 4))
        .filter_map(|(_, ticks)| ticks.parse::<u64>().ok())
        .sum()
}

fn number(entry: &fs::DirEntry) -> Option<u32> {
    entry.file_name().to_str()?.parse().ok()
}

fn look(id: u32) -> Option<Process> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let rollup = fs::read_to_string(format!("/proc/{id}/smaps_rollup")).unwrap_or_default();
    let resident = kib(&status, "VmRSS:").unwrap_or(0);
    Some(Process {
        id,
        name: status.lines().next()?.strip_prefix("Name:")?.trim().to_owned(),
        resident,
        // A process of another user's does not tell; then shared pages count in full.
        proportional: kib(&rollup, "Pss:").unwrap_or(resident),
        high_water: kib(&status, "VmHWM:").unwrap_or(0),
    })
}

/// Field 4 of `/proc/PID/stat`.
fn parent(stat: &str) -> Option<u32> {
    field(stat, 4).and_then(|parent| u32::try_from(parent).ok())
}

/// A field of `/proc/PID/stat`, from 3 on as proc(5) numbers them. The second is a name in parentheses that may hold
/// anything.
fn field(stat: &str, number: usize) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.split_whitespace().nth(number.checked_sub(3)?)?.parse().ok()
}

/// A line such as `VmRSS:    123 kB`, in bytes.
fn kib(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    value.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_name_may_hold_parentheses_and_spaces() {
        let stat = "7 (a) b (c)) S 5 7 7 0 -1 4194560 1 2 3 4 10 20 30 40 20 0";
        assert_eq!((parent(stat), field(stat, 16), field(stat, 17)), (Some(5), Some(30), Some(40)));
        assert_eq!(parent("garbage"), None);
    }

    #[test]
    fn idle_time_is_not_busy() {
        assert_eq!(busy("cpu  1 2 3 1000 1000 4 5 6 7 8\ncpu0 1 1 1 1 1 1 1 1\n"), 21);
        assert_eq!(busy(""), 0);
    }

    #[test]
    fn reads_sizes() {
        assert_eq!(kib("Name:\tx\nVmRSS:\t  12 kB\n", "VmRSS:"), Some(12 << 10));
        assert_eq!(kib("VmRSS:\t12 pages\n", "VmRSS:"), None);
    }

    #[test]
    fn grandchildren_are_found() {
        let mut child = Command::new("sh")
            .args(["-c", "exec 3<&0; cat <&3 & echo; wait"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // The line comes after the grandchild was started, which lives until its input is closed.
        std::io::Read::read(child.stdout.as_mut().unwrap(), &mut [0; 1]).unwrap();
        let found = descendants(std::process::id());
        assert!(found.iter().any(|process| process.id == child.id() && process.resident > 0), "{found:?}");
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
