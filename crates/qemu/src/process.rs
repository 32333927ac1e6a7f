//! A running QEMU: [`Process`].
//!
//! QEMU must not outlive us, also when we are killed. `PR_SET_PDEATHSIG` would need unsafe code, and QEMU's own
//! `-run-with exit-with-parent` is newer than what distributions have. So QEMU is started by a line of shell: a
//! subshell waits on a pipe whose other end only we hold, and the shell becomes QEMU. When we end in whatever way,
//! the pipe closes and the subshell kills QEMU. When QEMU ends first, we tell the subshell to go.

use crate::arguments::arguments;
use crate::binary::Binary;
use crate::console::Console;
use crate::error::{Error, Result};
use crate::qmp::Qmp;
use crate::vm::{Boot, PortEnd, Vm};
use std::collections::BTreeMap;
use std::fs::Permissions;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// `$$` is the process that becomes QEMU, also inside the subshell. A line on the pipe ends the watch, its end
/// kills.
const LEASH: &str = "exec 3<&0 </dev/null\n\
    (read -r line <&3 || kill -9 $$) >/dev/null 2>&1 &\n\
    exec \"$@\" 3<&-";

/// How long QEMU may take to start, before the guest's first instruction.
const START: Duration = Duration::from_secs(60);
/// How often something that cannot be waited for is looked at.
const POLL: Duration = Duration::from_millis(5);
/// How much of QEMU's standard error is kept.
const STDERR: usize = 16 << 10;

/// A running QEMU, with a private directory for its sockets. Dropping it kills QEMU.
#[derive(Debug)]
pub struct Process {
    child: Child,
    leash: Option<ChildStdin>,
    qmp: Qmp,
    consoles: BTreeMap<String, Console>,
    streams: BTreeMap<String, UnixStream>,
    stderr: Arc<Mutex<Vec<u8>>>,
    peak_memory: u64,
    _runtime: TempDir,
}

impl Process {
    /// Starts QEMU and connects to its monitor and to all ports. The guest runs when this returns.
    ///
    /// # Errors
    /// [`Error::Exited`] when QEMU does not accept the machine, and the others of [`Error`].
    pub fn start(binary: &Binary, vm: &Vm) -> Result<Self> {
        let runtime = private_directory()?;
        if let Boot::Uefi(uefi) = &vm.boot {
            let copy = runtime.path().join("variables.fd");
            copy_writable(&uefi.variables, &copy)?;
        }
        let arguments = arguments(vm, runtime.path(), binary.has_sandbox())?;
        let monitor = listen(&runtime.path().join("qmp.sock"))?;
        let mut ports = Vec::new();
        for port in &vm.ports {
            ports.push((port, listen(&runtime.path().join(format!("{}.port", port.name)))?));
        }
        tracing::debug!(qemu = %binary.path().display(), ?arguments, "start");
        let mut started = Started::spawn(binary.path(), &arguments)?;
        let mut consoles = BTreeMap::new();
        let mut streams = BTreeMap::new();
        // QEMU connects in the order of its arguments, and before it runs the guest: all are there or it fails.
        let monitor = started.accept(&monitor)?;
        for (port, listener) in ports {
            let stream = started.accept(&listener)?;
            match port.end {
                PortEnd::Record => {
                    let console = Console::record(stream).map_err(Error::io("record", &port.name))?;
                    consoles.insert(port.name.clone(), console);
                }
                PortEnd::Stream => {
                    streams.insert(port.name.clone(), stream);
                }
            }
        }
        let qmp = started.connected(Qmp::connect(monitor, START))?;
        let (child, leash, stderr) = started.release()?;
        Ok(Self { child, leash, qmp, consoles, streams, stderr, peak_memory: 0, _runtime: runtime })
    }

    /// QEMU's process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its monitor.
    pub fn qmp(&mut self) -> &mut Qmp {
        &mut self.qmp
    }

    /// The recorded port of that name.
    pub fn console(&self, name: &str) -> Option<&Console> {
        self.consoles.get(name)
    }

    /// Takes the streamed port of that name; it can be taken once.
    pub fn take_stream(&mut self, name: &str) -> Option<UnixStream> {
        self.streams.remove(name)
    }

    /// The last that QEMU wrote on its standard error.
    pub fn stderr(&self) -> String {
        text(&self.stderr)
    }

    /// The most memory that QEMU has had resident so far, in bytes, the guest's included. It is asked of the
    /// kernel on every call and when QEMU is told to quit; 0 when that was never possible.
    pub fn peak_memory(&mut self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        self.peak_memory = self.peak_memory.max(high_water_mark(&status).unwrap_or(0));
        self.peak_memory
    }

    /// Whether QEMU has ended, and how.
    pub fn try_wait(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits until QEMU has ended; `None` when it has not within `limit`.
    pub fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            self.peak_memory();
            if let Some(status) = self.try_wait() {
                return Some(status);
            }
            if Instant::now() >= deadline {
                return None;
            }
            std::thread::sleep(POLL);
        }
    }

    /// Ends QEMU without asking the guest, flushing the disks; kills it after `limit`.
    ///
    /// # Errors
    /// Those of the monitor, other than that QEMU has ended already; QEMU is killed then.
    pub fn quit(mut self, limit: Duration) -> Result<()> {
        self.peak_memory();
        match self.qmp.execute("quit", serde_json::Value::Null, limit) {
            Ok(_) | Err(Error::Disconnected) => {}
            Err(error) => return Err(error),
        }
        match self.wait(limit) {
            Some(_) => Ok(()),
            None => Err(Error::Timeout { operation: "quit", limit }),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        end(&mut self.child, &mut self.leash);
    }
}

/// A QEMU that has not connected yet.
struct Started {
    child: Option<Child>,
    leash: Option<ChildStdin>,
    stderr: Arc<Mutex<Vec<u8>>>,
    deadline: Instant,
}

impl Started {
    fn spawn(program: &Path, arguments: &[String]) -> Result<Self> {
        let mut child = Command::new("/bin/sh")
            .args(["-c", LEASH, "sh"])
            .arg(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(Error::io("run", program))?;
        let leash = child.stdin.take();
        let stderr = Arc::new(Mutex::new(Vec::new()));
        if let Some(pipe) = child.stderr.take() {
            let sink = Arc::clone(&stderr);
            let reader = std::thread::Builder::new().name("qemu-stderr".into());
            reader
                .spawn(move || keep_end(pipe, &sink))
                .map_err(Error::io("read", "QEMU's standard error"))?;
        }
        Ok(Self { child: Some(child), leash, stderr, deadline: Instant::now() + START })
    }

    fn accept(&mut self, listener: &UnixListener) -> Result<UnixStream> {
        loop {
            match listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(false).map_err(Error::io("connect", "QEMU's socket"))?;
                    return Ok(stream);
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(Error::io("accept", "QEMU's socket")(error)),
            }
            if let Some(error) = self.ended() {
                return Err(error);
            }
            if Instant::now() >= self.deadline {
                return Err(Error::Timeout { operation: "start", limit: START });
            }
            std::thread::sleep(POLL);
        }
    }

    /// Turns a monitor that hung up into the reason why QEMU ended.
    fn connected(&mut self, qmp: Result<Qmp>) -> Result<Qmp> {
        qmp.map_err(|error| {
            if !matches!(error, Error::Disconnected) {
                return error;
            }
            let deadline = Instant::now() + Duration::from_secs(2);
            while Instant::now() < deadline {
                if let Some(ended) = self.ended() {
                    return ended;
                }
                std::thread::sleep(POLL);
            }
            error
        })
    }

    fn ended(&mut self) -> Option<Error> {
        let status = self.child.as_mut()?.try_wait().ok().flatten()?;
        // The reader may still have the last lines to take.
        std::thread::sleep(10 * POLL);
        Some(Error::Exited { status, stderr: text(&self.stderr) })
    }

    #[allow(clippy::type_complexity)] // taken apart at once by the only caller
    fn release(mut self) -> Result<(Child, Option<ChildStdin>, Arc<Mutex<Vec<u8>>>)> {
        let child = self.child.take().ok_or(Error::Disconnected)?;
        Ok((child, self.leash.take(), Arc::clone(&self.stderr)))
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            end(&mut child, &mut self.leash);
        }
    }
}

/// Kills QEMU. The watcher goes before the process id is given back to the system: it must not kill a stranger.
fn end(child: &mut Child, leash: &mut Option<ChildStdin>) {
    let _ = child.kill();
    if let Some(mut leash) = leash.take() {
        let _ = leash.write_all(b"\n");
    }
    let _ = child.wait();
}

fn private_directory() -> Result<TempDir> {
    // The name is short: a Unix socket's path has 107 bytes.
    tempfile::Builder::new()
        .prefix("anyvisor-")
        .permissions(Permissions::from_mode(0o700))
        .tempdir()
        .map_err(Error::io("create a directory in", std::env::temp_dir()))
}

fn copy_writable(from: &Path, to: &Path) -> Result<()> {
    let contents = std::fs::read(from).map_err(Error::io("read", from))?;
    std::fs::write(to, contents).map_err(Error::io("write", to))
}

fn listen(path: &Path) -> Result<UnixListener> {
    let listener = UnixListener::bind(path).map_err(Error::io("listen on", path))?;
    listener.set_nonblocking(true).map_err(Error::io("listen on", path))?;
    Ok(listener)
}

fn keep_end(mut pipe: impl Read, sink: &Mutex<Vec<u8>>) {
    let mut chunk = [0; 1024];
    while let Ok(read @ 1..) = pipe.read(&mut chunk) {
        let mut kept = sink.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend_from_slice(chunk.get(..read).unwrap_or_default());
        let excess = kept.len().saturating_sub(STDERR);
        kept.drain(..excess);
    }
}

fn text(stderr: &Mutex<Vec<u8>>) -> String {
    String::from_utf8_lossy(&stderr.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
}

/// `VmHWM` of proc(5)'s `status`, in bytes.
fn high_water_mark(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Accelerator, Backend, Disk, Port, Waited};

    const LIMIT: Duration = Duration::from_secs(30);

    /// A machine that only loops in its BIOS: it has nothing to start from.
    fn idle() -> Vm {
        let mut vm = Vm::new("pc", Accelerator::Tcg);
        vm.memory_mib = 32;
        vm.translation_cache_mib = 16;
        vm.ports.push(Port::console("console"));
        vm.ports.push(Port::channel("channel", "org.example.0"));
        vm
    }

    #[test]
    fn runs_answers_and_quits() {
        let binary = Binary::find().expect("apt install qemu-system-x86");
        let mut process = Process::start(&binary, &idle()).unwrap();
        assert_eq!(process.qmp().status(LIMIT).unwrap(), "running");
        assert!(process.peak_memory() > 1 << 20);
        assert!(process.take_stream("channel").is_some() && process.take_stream("channel").is_none());
        assert_eq!(process.console("console").unwrap().wait_for(&["x"], Duration::ZERO), Waited::TimedOut);
        process.quit(LIMIT).unwrap();
    }

    #[test]
    fn a_machine_that_qemu_refuses_is_an_error_with_its_words() {
        let binary = Binary::find().expect("apt install qemu-system-x86");
        let mut vm = idle();
        vm.disks.push(Disk::new("virtio-blk-pci", Backend::raw("/nonexistent/disk")));
        let error = Process::start(&binary, &vm).unwrap_err();
        assert!(
            matches!(&error, Error::Exited { stderr, .. } if stderr.contains("/nonexistent/disk")),
            "{error}"
        );
    }

    #[test]
    fn dropping_it_kills_it() {
        let binary = Binary::find().expect("apt install qemu-system-x86");
        let process = Process::start(&binary, &idle()).unwrap();
        let id = process.id();
        drop(process);
        assert!(!Path::new(&format!("/proc/{id}")).exists());
    }

    #[test]
    fn the_leash_kills_when_its_other_end_closes_and_not_when_it_is_told_to_go() {
        for (farewell, survives) in [("", false), ("\n", true)] {
            let mut child = Command::new("/bin/sh")
                .args(["-c", LEASH, "sh", "sleep", if survives { "1" } else { "60" }])
                .stdin(Stdio::piped())
                .spawn()
                .unwrap();
            let mut leash = child.stdin.take().unwrap();
            leash.write_all(farewell.as_bytes()).unwrap();
            drop(leash);
            assert_eq!(child.wait().unwrap().success(), survives);
        }
    }

    #[test]
    fn reads_the_high_water_mark() {
        assert_eq!(high_water_mark("VmPeak:\t  9 kB\nVmHWM:\t    2048 kB\n"), Some(2 << 20));
        assert_eq!(high_water_mark(""), None);
    }
}
