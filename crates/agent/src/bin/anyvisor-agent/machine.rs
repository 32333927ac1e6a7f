//! The machine around the agent: kernel filesystems, modules, the channel to the host, the kernel's log.

use agent::Module;
use rustix::mount::{MountFlags, mount};
use rustix::system::{RebootCommand, finit_module, reboot};
use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{Error, ErrorKind, Read, Result, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a device may take to appear.
const PATIENCE: Duration = Duration::from_secs(10);
/// How much of the kernel's log explains a failure.
const LOG_LINES: usize = 8;

/// Mounts `/proc`, `/sys` and `/dev`.
pub(crate) fn mount_basics() -> Result<()> {
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
    for (kind, at) in [("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev")] {
        fs::create_dir_all(at)?;
        mount(kind, at, kind, flags, None)?;
    }
    Ok(())
}

/// Writes a line on the console.
pub(crate) fn say(line: &str) {
    if let Ok(mut console) = OpenOptions::new().write(true).open("/dev/console") {
        // There is nobody else to tell.
        let _ = writeln!(console, "{line}");
    }
}

/// Loads modules in their order.
pub(crate) fn load(modules: &[Module]) {
    for module in modules {
        if let Err(error) = load_one(module) {
            say(&format!("agent: cannot load {}: {error}", module.file));
        }
    }
}

fn load_one(module: &Module) -> Result<()> {
    let parameters = CString::new(module.parameters.as_str()).map_err(|_| ErrorKind::InvalidInput)?;
    finit_module(File::open(&module.file)?, &parameters, 0)?;
    // The archive lies in memory; the module is in the kernel now.
    fs::remove_file(&module.file)
}

/// Opens the virtio serial port of that name.
pub(crate) fn open_channel(name: &str) -> Result<File> {
    let port = wait_for(name, || find_by("/sys/class/virtio-ports", "name", name))?;
    let device = Path::new("/dev").join(port);
    wait_for(name, || device.exists().then_some(()))?;
    OpenOptions::new().read(true).write(true).open(device)
}

/// The block device whose disk has that serial number.
pub(crate) fn disk(serial: &str) -> Result<PathBuf> {
    let name = wait_for(serial, || find_by("/sys/block", "serial", serial))?;
    let device = Path::new("/dev").join(name);
    wait_for(serial, || device.exists().then_some(device.clone()))
}

/// The entry of a sysfs directory whose attribute has that value.
fn find_by(directory: &str, attribute: &str, value: &str) -> Option<PathBuf> {
    fs::read_dir(directory).ok()?.flatten().find_map(|entry| {
        let found = fs::read_to_string(entry.path().join(attribute)).ok()?;
        (found.trim_end() == value).then(|| entry.file_name().into())
    })
}

fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if Instant::now() >= deadline {
            return Err(Error::new(ErrorKind::NotFound, format!("the device {what} did not appear")));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The kernel's log from now on.
pub(crate) struct KernelLog(Option<File>);

impl KernelLog {
    pub(crate) fn from_now() -> Self {
        let nonblocking = rustix::fs::OFlags::NONBLOCK.bits() as i32;
        let log = OpenOptions::new().read(true).custom_flags(nonblocking).open("/dev/kmsg").ok();
        Self(log.and_then(|mut log| log.seek(SeekFrom::End(0)).ok().map(|_| log)))
    }

    /// What the kernel said since, its last lines joined.
    pub(crate) fn said(self) -> String {
        let Some(mut log) = self.0 else { return String::new() };
        let mut lines = Vec::new();
        let mut record = [0; 8192];
        // One read is one record: "priority,sequence,time,flags;text\n", then continuation lines.
        while let Ok(read @ 1..) = log.read(&mut record) {
            let text = String::from_utf8_lossy(record.get(..read).unwrap_or_default()).into_owned();
            if let Some((_, text)) = text.split_once(';') {
                lines.push(text.lines().next().unwrap_or_default().to_string());
            }
            if lines.len() > LOG_LINES {
                lines.remove(0);
            }
        }
        lines.join("; ")
    }
}

/// Switches the machine off.
pub(crate) fn power_off() {
    rustix::fs::sync();
    if let Err(error) = reboot(RebootCommand::PowerOff) {
        say(&format!("agent: cannot switch off: {error}"));
    }
}
