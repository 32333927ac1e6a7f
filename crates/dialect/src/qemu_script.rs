//! A shell script that runs QEMU with a machine's hardware, for people without libvirt.
//!
//! Two syntaxes meet: every word is quoted for the POSIX shell, and inside a word every value is quoted for QEMU,
//! whose option lists double a comma. Whatever a name holds, the script runs nothing but what is written here.

use crate::dialects::Dialect;
use crate::libvirt::{network_loss, plain_serial};
use crate::naming;
use crate::render::{Network, RenderError, RenderOptions, Rendered, path_text};
use crate::shell::quoted as shell;
use machine::{Attachment, Bus, Clock, Firmware, Loss, Machine, Nic, RemovableKind, ScsiModel, Severity};
use profile::Profile;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

/// The dialect.
pub static DIALECT: Dialect = Dialect {
    name: "qemu-script",
    description: "a shell script that runs QEMU",
    ending: "sh",
    executable: true,
    recognise: |_| false,
    parse: None,
    render: Some(render),
};

/// Writes the script. Relative paths of disks lie beside the script.
///
/// # Errors
/// When a disk has no file, a path cannot be written, or the machine is not on the profile's hardware.
pub fn render(
    machine: &Machine,
    profile: &Profile,
    options: &RenderOptions,
) -> Result<Rendered, RenderError> {
    let mut script = Script::new(machine, profile, options);
    script.base();
    script.disks()?;
    script.removables()?;
    script.nics()?;
    script.serials();
    script.rest();
    Ok(Rendered { text: script.finish(), losses: script.losses })
}

struct Script<'a> {
    machine: &'a Machine,
    profile: &'a Profile,
    options: &'a RenderOptions,
    /// The file names that the script makes begin so.
    stem: String,
    /// Shell words, each line an option with its value.
    arguments: Vec<String>,
    losses: Vec<Loss>,
}

impl<'a> Script<'a> {
    fn new(machine: &'a Machine, profile: &'a Profile, options: &'a RenderOptions) -> Self {
        let stem = naming::file_stem(options.name.as_deref().unwrap_or(&machine.name));
        Self { machine, profile, options, stem, arguments: Vec::new(), losses: Vec::new() }
    }

    /// An option with a value that holds no foreign text.
    fn plain(&mut self, option: &str, value: impl AsRef<str>) {
        self.arguments.push(format!("{option} {}", shell(value.as_ref())));
    }

    fn base(&mut self) {
        let machine = self.machine;
        let cpu = machine.cpu;
        let name = naming::domain_name(self.options.name.as_deref().unwrap_or(&machine.name));
        self.plain("-name", format!("guest={}", option_value(&single_line(&name))));
        if let Some(uuid) = machine.bios_uuid {
            self.plain("-uuid", uuid.to_string());
        }
        self.plain("-cpu", "max");
        self.plain("-m", format!("{}K", machine.memory.div_ceil(1024)));
        let topology = format!(
            "{},sockets={},cores={},threads={}",
            cpu.count(),
            cpu.sockets,
            cpu.cores_per_socket,
            cpu.threads_per_core
        );
        self.plain("-smp", topology);
        let base = match machine.clock {
            Clock::Utc => "utc",
            Clock::LocalTime => "localtime",
        };
        self.plain("-rtc", format!("base={base},driftfix=slew"));
        self.arguments.push("-nodefaults".to_owned());
    }

    fn disks(&mut self) -> Result<(), RenderError> {
        self.controllers();
        for disk in &self.machine.disks {
            let at = disk.attachment;
            let unknown = || RenderError::bus(disk);
            let hardware = self.profile.disk_hardware(at.bus).ok_or_else(unknown)?;
            let device = hardware.qemu_disk.as_deref().ok_or_else(unknown)?;
            let file = self.options.disk(&disk.id)?;
            let node = option_value(&disk.id);
            self.blockdev(&file.path, &file.format, &node, disk.read_only)?;
            let mut value = format!("{device},drive={node}{}", place(at, hardware.bus));
            if let Some(serial) = plain_serial(disk, &mut self.losses) {
                let _ = write!(value, ",serial={serial}");
            }
            boot_index(&mut value, disk.boot_order);
            self.plain("-device", value);
        }
        Ok(())
    }

    /// One image, as QEMU opens it: as a file, whatever its name looks like.
    fn blockdev(
        &mut self,
        path: &Path,
        format: &str,
        node: &str,
        read_only: bool,
    ) -> Result<(), RenderError> {
        let mut head = format!("driver={},node-name={node},file.driver=file,", option_value(format));
        head.push_str(if read_only { "read-only=on," } else { "discard=unmap,file.discard=unmap," });
        head.push_str("file.filename=");
        self.arguments.push(format!("-blockdev {}{}", shell(&head), shell_path(path)?));
        Ok(())
    }

    fn controllers(&mut self) {
        let numbers = |wanted: fn(Bus) -> bool| -> BTreeSet<u32> {
            let disks = self.machine.disks.iter().map(|disk| disk.attachment);
            let drives = self.machine.removables.iter().map(|drive| drive.attachment);
            disks.chain(drives).filter(|at| wanted(at.bus)).map(|at| at.controller).collect()
        };
        let scsi = numbers(|bus| matches!(bus, Bus::Scsi(_)));
        let sata = numbers(|bus| bus == Bus::Sata);
        for number in scsi {
            self.plain("-device", format!("virtio-scsi-pci,id=scsi{number}"));
        }
        for number in sata {
            self.plain("-device", format!("ich9-ahci,id=sata{number}"));
        }
    }

    fn removables(&mut self) -> Result<(), RenderError> {
        for (index, drive) in self.machine.removables.iter().enumerate() {
            let node = format!("medium{index}");
            let medium = self.options.media.get(&index).filter(|_| drive.connected);
            if medium.is_none()
                && let Some(name) = &drive.medium
            {
                let why = "the image in the drive is not carried over: the drive is empty";
                self.losses.push(Loss::dropped(Severity::Change, crate::text::excerpt(name, 80), why));
            }
            if let Some(path) = medium {
                self.blockdev(path, "raw", &node, true)?;
            }
            let mut value = match drive.kind {
                RemovableKind::Cdrom => format!("ide-cd{}", place(drive.attachment, Bus::Sata)),
                RemovableKind::Floppy => format!("floppy,unit={}", drive.attachment.unit),
            };
            if drive.kind == RemovableKind::Floppy && drive.attachment.unit == 0 {
                self.plain("-device", "isa-fdc,id=floppies");
            }
            if medium.is_some() {
                let _ = write!(value, ",drive={node}");
            }
            boot_index(&mut value, drive.boot_order);
            self.plain("-device", value);
        }
        Ok(())
    }

    fn nics(&mut self) -> Result<(), RenderError> {
        for nic in &self.machine.nics {
            let device = self.nic_device(nic)?;
            let id = option_value(&nic.id);
            let mut value = device.to_owned();
            // A card without a back end has no link.
            if nic.connected {
                self.plain("-netdev", format!("user,id={id}"));
                let _ = write!(value, ",netdev={id}");
            }
            if let Some(mac) = nic.mac {
                let _ = write!(value, ",mac={mac}");
            }
            boot_index(&mut value, nic.boot_order);
            self.plain("-device", value);
            network_loss(nic, &RenderOptions::default(), &Network::User, &mut self.losses);
        }
        Ok(())
    }

    fn nic_device(&self, nic: &Nic) -> Result<&'a str, RenderError> {
        let hardware = self.profile.nic_hardware(&nic.model);
        hardware.and_then(|hardware| hardware.qemu.as_deref()).ok_or_else(|| RenderError::card(nic))
    }

    fn serials(&mut self) {
        self.plain("-chardev", "stdio,id=console,mux=on,signal=off");
        self.plain("-serial", "chardev:console");
        self.plain("-mon", "chardev=console,mode=readline");
        for _ in 1..self.machine.serials.len().min(4) {
            self.plain("-serial", "pty");
        }
    }

    fn rest(&mut self) {
        if self.machine.video.is_some() {
            self.plain("-device", "VGA,vgamem_mb=16");
        }
        self.plain("-device", "qemu-xhci");
        self.plain("-device", "usb-tablet");
        self.plain("-device", "virtio-rng-pci");
        self.plain("-device", "virtio-balloon-pci");
    }

    fn finish(&mut self) -> String {
        let mut out = String::from(HEAD);
        let kind = self.profile.qemu_machine((&self.machine.firmware).into()).unwrap_or("q35");
        let _ = writeln!(out, "machine={}\nname={}", shell(kind), shell(&self.stem));
        match &self.machine.firmware {
            Firmware::Uefi(uefi) if uefi.secure_boot => out.push_str(SECURE_BOOT),
            Firmware::Uefi(_) => out.push_str(UEFI),
            Firmware::Bios => out.push_str("set -- -machine \"$machine\" \"$@\"\n"),
        }
        if self.machine.tpm.is_some() {
            out.push_str(TPM);
        }
        out.push_str("\nset -- \\\n");
        for argument in &self.arguments {
            let _ = writeln!(out, "  {argument} \\");
        }
        out.push_str(TAIL);
        out
    }
}

fn boot_index(value: &mut String, order: Option<u32>) {
    if let Some(order) = order {
        let _ = write!(value, ",bootindex={order}");
    }
}

/// Where on its bus a drive is.
fn place(at: Attachment, bus: Bus) -> String {
    match bus {
        Bus::Scsi(ScsiModel::VirtioScsi) => format!(",bus=scsi{}.0,scsi-id={},lun=0", at.controller, at.unit),
        Bus::Sata => format!(",bus=sata{}.{}", at.controller, at.unit),
        _ => String::new(),
    }
}

/// A value inside an option list of QEMU's, where a comma ends it and two are one.
fn option_value(text: &str) -> String {
    text.replace(',', ",,")
}

/// A path at the end of an option list: an absolute one as it is, another beside the script.
fn shell_path(path: &Path) -> Result<String, RenderError> {
    let text = path_text(path)?;
    if path.is_absolute() {
        return Ok(shell(&option_value(text)));
    }
    Ok(format!("\"$here\"/{}", shell(&option_value(text))))
}

fn single_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

const HEAD: &str = r#"#!/bin/sh
# Runs the virtual machine with QEMU. Further arguments go to QEMU as they are.
#   QEMU   the program, else qemu-system-x86_64
#   ACCEL  kvm or tcg, else KVM where it works and emulation where it does not
# The guest's network is QEMU's own: it reaches out, nothing reaches in.
# The terminal is its serial port: Ctrl-A C for QEMU's monitor, Ctrl-A X to end it.
set -eu

directory=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
# In QEMU's option lists a comma is written twice.
here=$(printf '%s' "$directory" | sed 's/,/,,/g')
"#;

const UEFI: &str = r#"
# UEFI: the firmware, and a copy of its variables of this machine's own.
firmware=''
for pair in \
  /usr/share/OVMF/OVMF_CODE_4M.fd:/usr/share/OVMF/OVMF_VARS_4M.fd \
  /usr/share/edk2/ovmf/OVMF_CODE.fd:/usr/share/edk2/ovmf/OVMF_VARS.fd \
  /usr/share/edk2/x64/OVMF_CODE.4m.fd:/usr/share/edk2/x64/OVMF_VARS.4m.fd \
  /usr/share/qemu/ovmf-x86_64-code.bin:/usr/share/qemu/ovmf-x86_64-vars.bin \
  /usr/share/OVMF/OVMF_CODE.fd:/usr/share/OVMF/OVMF_VARS.fd
do
  if [ -r "${pair%%:*}" ] && [ -r "${pair#*:}" ]; then firmware=$pair; break; fi
done
if [ -z "$firmware" ]; then
  echo "$0: no UEFI firmware found: install OVMF (Debian, Ubuntu: ovmf; Fedora: edk2-ovmf)" >&2
  exit 1
fi
variables=$directory/$name-vars.fd
[ -e "$variables" ] || cp -- "${firmware#*:}" "$variables"
set -- -machine "$machine" \
  -drive "if=pflash,format=raw,unit=0,readonly=on,file=${firmware%%:*}" \
  -drive "if=pflash,format=raw,unit=1,file=$here/$name-vars.fd" "$@"
"#;

const SECURE_BOOT: &str = r#"
# UEFI with secure boot: the firmware, and a copy of its variables, with Microsoft's keys, of this machine's own.
firmware=''
for pair in \
  /usr/share/OVMF/OVMF_CODE_4M.ms.fd:/usr/share/OVMF/OVMF_VARS_4M.ms.fd \
  /usr/share/OVMF/OVMF_CODE_4M.secboot.fd:/usr/share/OVMF/OVMF_VARS_4M.ms.fd \
  /usr/share/edk2/ovmf/OVMF_CODE.secboot.fd:/usr/share/edk2/ovmf/OVMF_VARS.secboot.fd \
  /usr/share/qemu/ovmf-x86_64-smm-ms-code.bin:/usr/share/qemu/ovmf-x86_64-smm-ms-vars.bin
do
  if [ -r "${pair%%:*}" ] && [ -r "${pair#*:}" ]; then firmware=$pair; break; fi
done
if [ -z "$firmware" ]; then
  echo "$0: no UEFI firmware with secure boot found: install OVMF (Debian, Ubuntu: ovmf; Fedora: edk2-ovmf)" >&2
  exit 1
fi
variables=$directory/$name-vars.fd
[ -e "$variables" ] || cp -- "${firmware#*:}" "$variables"
set -- -machine "$machine,smm=on" -global driver=cfi.pflash01,property=secure,value=on \
  -drive "if=pflash,format=raw,unit=0,readonly=on,file=${firmware%%:*}" \
  -drive "if=pflash,format=raw,unit=1,file=$here/$name-vars.fd" "$@"
"#;

const TPM: &str = r#"
# The TPM is a program of its own, which ends with QEMU. Its state lies beside the script.
command -v swtpm >/dev/null || { echo "$0: the machine has a TPM: install swtpm" >&2; exit 1; }
socket=$(mktemp -d)/tpm.sock
mkdir -p -- "$directory/$name-tpm"
swtpm socket --tpm2 --daemon --terminate --tpmstate "dir=$directory/$name-tpm" --ctrl "type=unixio,path=$socket"
set -- -chardev "socket,id=tpm,path=$socket" -tpmdev emulator,id=tpm0,chardev=tpm -device tpm-crb,tpmdev=tpm0 "$@"
"#;

const TAIL: &str = r#"  "$@"

if [ -n "${ACCEL:-}" ]; then
  set -- -accel "$ACCEL" "$@"
else
  set -- -accel kvm -accel tcg "$@"
fi
# Without a screen, the serial port is all there is.
if [ -z "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; then set -- -display none "$@"; fi
exec "${QEMU:-qemu-system-x86_64}" "$@"
"#;
