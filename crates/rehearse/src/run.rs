//! One run of a guest: QEMU is started, and watched until there is a verdict.

use crate::hardware::{CONSOLE, REPORT};
use crate::text;
use crate::unlock::Typist;
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
    /// What the console received, as plain lines, without the passphrases that were typed there.
    pub(crate) console: String,
    /// How many prompts for a passphrase were answered.
    pub(crate) typed: u32,
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

/// Ends what is typed: what the key of a terminal sends, which a guest takes for the end of a line.
const ENTER: &[u8] = b"\r";

/// Runs the guest until there is a verdict, then ends QEMU: the overlays are thrown away, nobody has to shut down.
pub(crate) fn run(
    binary: &Binary,
    vm: &Vm,
    watch: Watch,
    typist: Typist<'_>,
    report: ReportAt,
) -> Result<Seen, qemu::Error> {
    let start = Instant::now();
    let process = Process::start(binary, vm)?;
    let mut guest = Guest { process, watch, typist, report, start, resets: 0, powered_off: false };
    let verdict = guest.wait();
    let elapsed = start.elapsed();
    let console = guest.typist.conceal(&guest.console());
    let host = guest.output(appliance::xen::HOST);
    let verdict = match verdict {
        Verdict::Failed(cause, None) => Verdict::Failed(cause, last_line(&guest.process.stderr())),
        Verdict::Failed(cause, Some(line)) => Verdict::Failed(cause, Some(guest.typist.conceal_line(&line))),
        other => other,
    };
    let typed = guest.typist.typed();
    if let Err(error) = guest.process.quit(QUIT) {
        tracing::debug!(%error, "QEMU was killed after the rehearsal");
    }
    Ok(Seen { verdict, console, typed, host, elapsed })
}

struct Guest<'a> {
    process: Process,
    watch: Watch,
    typist: Typist<'a>,
    report: ReportAt,
    start: Instant,
    resets: u32,
    powered_off: bool,
}

impl Guest<'_> {
    fn wait(&mut self) -> Verdict {
        loop {
            let ended = self.take_event();
            let (port, console) = (self.report(), self.console());
            let elapsed = self.start.elapsed();
            self.type_into(elapsed, &console);
            let sight = Sight {
                elapsed,
                port: &port,
                console: &console,
                waiting: self.typist.waiting(elapsed),
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

    /// Answers the prompt that the console ends in, if it is for a passphrase that is known.
    fn type_into(&mut self, elapsed: Duration, console: &str) {
        let Some(passphrase) = self.typist.look(elapsed, console, self.resets) else { return };
        let Some(port) = self.process.console(CONSOLE) else { return };
        if let Err(error) = port.send(passphrase).and_then(|()| port.send(ENTER)) {
            tracing::debug!(%error, "nothing could be typed into the guest's console");
        }
    }

    /// The console's output as plain lines.
    fn console(&self) -> String {
        text::plain(&self.output(CONSOLE))
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

fn last_line(stderr: &str) -> Option<String> {
    text::tail(&text::plain(stderr), 1).pop()
}
