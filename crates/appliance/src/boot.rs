//! Starting the appliance and ending it: [`Appliance`].

use crate::connection::Connection;
use crate::error::{self, Error, Result};
use crate::files::serial;
use crate::initramfs;
use crate::kernel::{self, Kernel};
use crate::mapped::Mapped;
use agent::{Reply, Request};
use guest::fs::Mounter;
use guest::volume::{Volume, VolumeId};
use qemu::{Accelerator, Backend, Binary, Boot, Disk, Port, Process, Vm};
use std::collections::BTreeSet;
use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The kernel's command line. Quiet, since every line is written byte by byte to an emulated serial port; any fault ends
/// the machine instead of leaving it half alive; the rest leaves out what a machine of one minute has no use for. The
/// machine is the boundary to a hostile filesystem, not the hardening of its kernel.
const COMMAND_LINE: &str = "console=ttyS0 quiet panic=-1 oops=panic rdinit=/init nokaslr mitigations=off \
    cryptomgr.notests random.trust_cpu=on no_timer_check tsc=reliable audit=0 selinux=0 apparmor=0 8250.nr_uarts=1";
/// QEMU's machine types for it, the better first. `pc` has every clock that a kernel may calibrate itself against;
/// `microvm` has none but the PIT, by which it hangs under TCG on a busy host, and is not faster there for that.
const MACHINES: &[&str] = &["pc", "q35"];
/// A PCI bus has 32 places; some are taken.
const MOST_VOLUMES: usize = 24;
/// How much of the console an error quotes.
const TAIL: usize = 4096;
/// How long QEMU may take to end after its guest has.
const LAST_WORDS: Duration = Duration::from_millis(300);
/// How long QEMU may take to quit.
const QUIT: Duration = Duration::from_secs(20);

/// How the appliance is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootOptions {
    /// Its memory in MiB.
    pub memory_mib: u64,
    /// The bound of QEMU's cache of translated code in MiB, where there is no KVM.
    pub translation_cache_mib: u32,
    /// How long it may take until it is ready.
    pub ready_limit: Duration,
    /// QEMU's machine type, where it is not to be chosen. It needs PCI.
    pub machine: Option<String>,
}

impl Default for BootOptions {
    fn default() -> Self {
        Self {
            memory_mib: 128,
            translation_cache_mib: 16,
            ready_limit: Duration::from_secs(120),
            machine: None,
        }
    }
}

/// What the appliance cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measurements {
    /// What ran its instructions.
    pub accelerator: Accelerator,
    /// From the call of [`Appliance::boot`] until the agent answered.
    pub boot_to_ready: Duration,
    /// The most memory that QEMU had resident so far, in bytes, the machine's own included.
    pub peak_memory: u64,
    /// The size of the initial RAM file system in bytes.
    pub initramfs: u64,
}

/// A running micro VM with a guest's volumes. Dropping it ends it at once, like pulling a plug;
/// [`shutdown`](Self::shutdown) ends it in order.
pub struct Appliance {
    pub(crate) connection: Connection,
    pub(crate) volumes: Vec<Attached>,
    process: Process,
    server: nbd::Running,
    measurements: Measurements,
    started: Instant,
    _directory: TempDir,
}

/// A volume as the appliance knows it.
pub(crate) struct Attached {
    pub(crate) id: VolumeId,
    pub(crate) name: String,
    pub(crate) kind: Option<String>,
}

impl Attached {
    fn of(volume: &Volume) -> Self {
        let kind = volume.content.as_ref().map(|content| content.kind.clone());
        Self { id: volume.id, name: volume.name.clone(), kind }
    }

    fn is_mountable(&self) -> bool {
        self.kind.as_deref().is_some_and(initramfs::mounts)
    }
}

impl Appliance {
    /// Boots a micro VM in which those of `volumes` can be mounted that hold a filesystem it knows: ext2, ext3, ext4,
    /// XFS, Btrfs, FAT, and NTFS where the host has `ntfs-3g`.
    ///
    /// # Errors
    /// [`Error::NoKernel`], [`Error::NoModule`], [`Error::TooManyVolumes`], [`Error::Qemu`], [`Error::Serve`]; [`Error::Lost`] when it does not
    /// become ready.
    pub fn boot(volumes: &[Volume], options: &BootOptions) -> Result<Self> {
        let started = Instant::now();
        let kernel = kernel::locate()?;
        let binary = Binary::find()?;
        let choice = qemu::accelerator::choose(&binary, &kernel.image)?;
        let directory = tempfile::Builder::new()
            .prefix("anyvisor-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir()
            .map_err(Error::io("create a directory in", std::env::temp_dir()))?;
        let attached: Vec<Attached> = volumes.iter().map(Attached::of).collect();
        let count = attached.iter().filter(|attached| attached.is_mountable()).count();
        if count > MOST_VOLUMES {
            return Err(Error::TooManyVolumes { count, most: MOST_VOLUMES });
        }
        let server = serve(volumes, &directory.path().join("nbd.sock"))?;
        let initrd = Mapped::own(directory.path().join("initramfs"));
        let size = write_initramfs(initrd.path(), &kernel, &attached)?;
        let image = Mapped::copy(&kernel.startable(), directory.path().join("kernel"))?;
        let mut vm = Vm::new(machine(options, &binary), choice.accelerator);
        describe(options, &mut vm, server.path(), &attached);
        vm.boot = Boot::Kernel {
            kernel: image.path().to_path_buf(),
            initrd: Some(initrd.path().to_path_buf()),
            command_line: COMMAND_LINE.to_string(),
        };
        tracing::debug!(kernel = kernel.version, accelerator = %choice.accelerator, reason = choice.reason, "boot");
        let mut process = Process::start(&binary, &vm)?;
        let stream = process.take_stream("agent").ok_or(qemu::Error::Disconnected)?;
        let connection = Connection::new(stream).map_err(Error::io("connect", "the agent"))?;
        let measurements = Measurements {
            accelerator: choice.accelerator,
            boot_to_ready: Duration::ZERO,
            peak_memory: 0,
            initramfs: size,
        };
        let mut appliance = Self {
            connection,
            volumes: attached,
            process,
            server,
            measurements,
            started,
            _directory: directory,
        };
        appliance.greet(options.ready_limit)?;
        image.release();
        initrd.release();
        Ok(appliance)
    }

    /// What it has cost so far.
    pub fn measurements(&mut self) -> Measurements {
        self.measurements.peak_memory = self.process.peak_memory();
        self.measurements.clone()
    }

    /// The end of its console, for people.
    pub fn console(&self) -> String {
        self.process.console("console").map(|console| console.tail(TAIL)).unwrap_or_default()
    }

    /// QEMU's process id.
    pub fn process_id(&self) -> u32 {
        self.process.id()
    }

    /// Unmounts everything, waits until it is on the volumes, and ends the machine.
    ///
    /// # Errors
    /// [`Error::Volume`] with the first failure of a volume's disk, also one that the guest's kernel took in its stride;
    /// [`Error::Unmount`]; [`Error::Qemu`].
    pub fn shutdown(mut self) -> Result<Measurements> {
        let unmounted = self.unmount_all();
        let measurements = self.measurements();
        for attached in self.volumes.iter().filter(|attached| attached.is_mountable()) {
            if let Some(source) = self.server.first_error(&serial(attached.id)) {
                return Err(Error::Volume { volume: attached.name.clone(), source });
            }
        }
        unmounted.map_err(Error::Unmount)?;
        // Nothing is left to be written: the machine need not be asked.
        self.process.quit(QUIT)?;
        Ok(measurements)
    }

    fn greet(&mut self, limit: Duration) -> Result<()> {
        let asked = self.connection.set_limit(limit).and_then(|()| self.connection.ask(&Request::Hello));
        let what = match asked {
            Ok(Reply::Ready { .. }) => {
                self.measurements.boot_to_ready = self.started.elapsed();
                return Ok(());
            }
            Ok(_) => "answered nonsense",
            Err(error) if is_timeout(&error) => "was not ready",
            Err(_) => "ended before it was ready",
        };
        Err(Error::Lost { what, after: self.started.elapsed(), tail: self.tail() })
    }

    /// What the console and QEMU said last, for an error.
    pub(crate) fn last_words(&mut self) -> String {
        error::console(&self.tail())
    }

    fn tail(&mut self) -> String {
        // A machine that has just ended may not have been reaped yet, and its last line may still be on its way.
        let limit = if self.connection.is_lost() { LAST_WORDS } else { Duration::ZERO };
        let ended = self.process.wait(limit).map(|status| format!("(QEMU ended: {status})"));
        format!("{}{}{}", self.console(), self.process.stderr(), ended.unwrap_or_default())
    }
}

fn is_timeout(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
}

fn serve(volumes: &[Volume], socket: &Path) -> Result<nbd::Running> {
    let mut server = nbd::Server::new();
    for volume in volumes.iter().filter(|volume| Attached::of(volume).is_mountable()) {
        server = server.export(serial(volume.id), nbd::Export::Writable(volume.device.clone()));
    }
    Ok(server.listen(socket)?)
}

/// The types of the filesystems that can be mounted.
fn kinds(attached: &[Attached]) -> BTreeSet<&str> {
    attached.iter().filter(|one| one.is_mountable()).filter_map(|one| one.kind.as_deref()).collect()
}

fn write_initramfs(path: &Path, kernel: &Kernel, attached: &[Attached]) -> Result<u64> {
    let file = File::create(path).map_err(Error::io("create", path))?;
    initramfs::write(file, kernel, &kinds(attached))
}

fn machine(options: &BootOptions, binary: &Binary) -> String {
    let installed = || MACHINES.iter().find(|machine| binary.has_machine(machine));
    options.machine.clone().unwrap_or_else(|| installed().unwrap_or(&"q35").to_string())
}

/// The machine, without what it starts from.
fn describe(options: &BootOptions, vm: &mut Vm, socket: &Path, attached: &[Attached]) {
    vm.memory_mib = options.memory_mib;
    vm.translation_cache_mib = options.translation_cache_mib;
    for attached in attached.iter().filter(|attached| attached.is_mountable()) {
        let serial = serial(attached.id);
        let mut disk = Disk::new("virtio-blk-pci", Backend::nbd(socket, serial.clone()));
        disk.serial = Some(serial);
        vm.disks.push(disk);
    }
    vm.ports.push(Port::console("console"));
    vm.ports.push(Port::channel("agent", agent::CHANNEL));
}
