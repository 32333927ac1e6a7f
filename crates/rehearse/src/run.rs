//! One run of a guest: QEMU is started, and watched until there is a verdict.

use crate::hardware::{CONSOLE, REPORT};
use crate::watch::{Sight, Verdict, Watch};
use crate::xen;
use block::MemoryDisk;
use qemu::{Binary, Process, Vm};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often the guest is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// How much of a port's output is looked at, in bytes; more than QEMU's side of it keeps.
const KEPT: usize = 512 << 10;
/// How long QEMU may take to end.
const QUIT: Duration = Duration::from_secs(10);

/// How a run went.
pub(crate) struct Seen {
    pub(crate) verdict: Verdict,
    /// What the console received.
    pub(crate) console: String,
    /// What Xen and its first domain said, where they ran.
    pub(crate) host: String,
    /// From QEMU's start to the verdict.
    pub(crate) elapsed: Duration,
}

/// Where the guest's report comes.
pub(crate) enum ReportAt {
    /// On the machine's second serial port.
    Port,
    /// On a disk.
    Disk(Arc<MemoryDisk>),
}

/// Runs the guest until there is a verdict, then ends QEMU: the overlays are thrown away, nobody has to shut down.
pub(crate) fn run(binary: &Binary, vm: &Vm, watch: Watch, report: ReportAt) -> Result<Seen, qemu::Error> {
    let start = Instant::now();
    let mut guest =
        Guest { process: Process::start(binary, vm)?, watch, report, start, resets: 0, powered_off: false };
    let verdict = guest.wait();
    let elapsed = start.elapsed();
    let (console, host) = (guest.output(CONSOLE), guest.output(appliance::xen::HOST));
    let verdict = match verdict {
        Verdict::Failed(cause, None) => Verdict::Failed(cause, last_line(&guest.process.stderr())),
        other => other,
    };
    if let Err(error) = guest.process.quit(QUIT) {
        tracing::debug!(%error, "QEMU was killed after the rehearsal");
    }
    Ok(Seen { verdict, console, host, elapsed })
}

struct Guest {
    process: Process,
    watch: Watch,
    report: ReportAt,
    start: Instant,
    resets: u32,
    powered_off: bool,
}

impl Guest {
    fn wait(&mut self) -> Verdict {
        loop {
            let ended = self.take_event();
            let (port, console) = (self.report(), self.output(CONSOLE));
            let sight = Sight {
                elapsed: self.start.elapsed(),
                port: &port,
                console: &console,
                resets: self.resets,
                powered_off: self.powered_off,
                ended,
            };
            if let Some(verdict) = self.watch.look(sight) {
                return verdict;
            }
        }
    }

    /// Waits a moment for something to happen to the machine; says whether QEMU has ended.
    fn take_event(&mut self) -> bool {
        match self.process.qmp().wait_event(&["RESET", "SHUTDOWN"], LOOK) {
            Ok(event) if event.name == "RESET" => self.resets += 1,
            Ok(_) => self.powered_off = true,
            Err(qemu::Error::Timeout { .. }) => {}
            Err(_) => {
                // The monitor closes before the process is gone.
                return self.process.wait(QUIT).is_some();
            }
        }
        self.process.try_wait().is_some()
    }

    fn report(&self) -> String {
        match &self.report {
            ReportAt::Port => self.output(REPORT),
            ReportAt::Disk(disk) => xen::report(disk),
        }
    }

    fn output(&self, port: &str) -> String {
        self.process.console(port).map(|console| console.tail(KEPT)).unwrap_or_default()
    }
}

fn last_line(text: &str) -> Option<String> {
    crate::text::tail(&crate::text::plain(text), 1).pop()
}
