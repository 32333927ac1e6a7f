//! A [`Vm`] as QEMU's arguments.

use crate::accelerator::Accelerator;
use crate::error::{Error, Result};
use crate::vm::{Backend, Boot, Disk, Module, Nic, PortDevice, Vm};
use std::path::Path;

/// The arguments with which QEMU runs `vm`. Sockets and the firmware's variables are looked for in `runtime`:
/// `qmp.sock`, `NAME.port` for each port, `variables.fd`.
///
/// # Errors
/// [`Error::Unsupported`] for a path that is not UTF-8, a port's name that is no plain word, or more disks than a
/// controller can hold.
pub fn arguments(vm: &Vm, runtime: &Path, sandbox: bool) -> Result<Vec<String>> {
    let mut arguments = Arguments(Vec::new());
    arguments.base(vm, sandbox);
    arguments.boot(vm, runtime)?;
    arguments.option("-chardev", &format!("socket,id=qmp,path={}", value(&runtime.join("qmp.sock"))?));
    arguments.option("-mon", "chardev=qmp,mode=control");
    arguments.disks(&vm.disks)?;
    for (index, nic) in vm.nics.iter().enumerate() {
        arguments.nic(index, nic);
    }
    arguments.ports(vm, runtime)?;
    if vm.screen {
        arguments.option("-device", "VGA");
    }
    if vm.random {
        arguments.option("-device", if vm.has_pci() { "virtio-rng-pci" } else { "virtio-rng-device" });
    }
    Ok(arguments.0)
}

struct Arguments(Vec<String>);

impl Arguments {
    fn flag(&mut self, flag: &str) {
        self.0.push(flag.to_string());
    }

    fn option(&mut self, flag: &str, value: &str) {
        self.0.push(flag.to_string());
        self.0.push(value.to_string());
    }

    fn base(&mut self, vm: &Vm, sandbox: bool) {
        self.flag("-nodefaults");
        self.flag("-no-user-config");
        self.option("-display", "none");
        if vm.no_reboot {
            self.flag("-no-reboot");
        }
        if sandbox {
            self.option(
                "-sandbox",
                "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
            );
        }
        let withheld: String =
            vm.withheld.iter().map(|feature| format!(",{}=off", escape(feature))).collect();
        match vm.accelerator {
            Accelerator::Kvm => {
                self.option("-accel", "kvm");
                self.option("-cpu", &format!("host{withheld}"));
            }
            Accelerator::Tcg => {
                self.option("-accel", &format!("tcg,thread=multi,tb-size={}", vm.translation_cache_mib));
                self.option("-cpu", &format!("max{withheld}"));
            }
        }
        self.option("-smp", &vm.cpus.to_string());
        self.option("-m", &format!("{}M", vm.memory_mib));
    }

    fn boot(&mut self, vm: &Vm, runtime: &Path) -> Result<()> {
        let mut machine = vm.machine.clone();
        match &vm.boot {
            Boot::Bios => {}
            Boot::Uefi(uefi) => {
                if uefi.secure_boot {
                    machine.push_str(",smm=on");
                    self.option("-global", "driver=cfi.pflash01,property=secure,value=on");
                }
                let code = value(&uefi.code)?;
                let variables = value(&runtime.join("variables.fd"))?;
                self.option("-drive", &format!("if=pflash,unit=0,format=raw,readonly=on,file={code}"));
                self.option("-drive", &format!("if=pflash,unit=1,format=raw,file={variables}"));
            }
            Boot::Kernel { kernel, initrd, command_line } => {
                self.option("-kernel", text(kernel)?);
                if let Some(initrd) = initrd {
                    self.option("-initrd", text(initrd)?);
                }
                self.option("-append", command_line);
            }
            Boot::Multiboot { image, command_line, modules } => {
                self.option("-kernel", text(image)?);
                let module = |module: &Module| {
                    Ok(format!("{} {}", value(&module.file)?, escape(&module.command_line)))
                };
                let modules = modules.iter().map(module).collect::<Result<Vec<_>>>()?;
                self.option("-initrd", &modules.join(","));
                self.option("-append", command_line);
            }
        }
        self.option("-machine", &machine);
        Ok(())
    }

    fn disks(&mut self, disks: &[Disk]) -> Result<()> {
        let mut controllers = Controllers::default();
        for (index, disk) in disks.iter().enumerate() {
            self.backend(index, disk)?;
            let place = controllers.place(self, disk)?;
            let mut device = format!("{},drive=disk{index},id=dev{index}{place}", escape(&disk.device));
            if !disk.device.starts_with("nvme") {
                // Without this QEMU stops the whole machine when a backend is full.
                device.push_str(",werror=report,rerror=report");
            }
            let serial = disk.serial.clone().or_else(|| needs_serial(disk).then(|| format!("disk{index}")));
            if let Some(serial) = serial {
                device.push_str(&format!(",serial={}", escape(&serial)));
            }
            if let Some(order) = disk.boot_index {
                device.push_str(&format!(",bootindex={order}"));
            }
            self.option("-device", &device);
        }
        Ok(())
    }

    fn backend(&mut self, index: usize, disk: &Disk) -> Result<()> {
        let read_only = if disk.read_only { "on" } else { "off" };
        let discard = if disk.discard { "unmap" } else { "ignore" };
        let source = match &disk.backend {
            Backend::Nbd { socket, export } => format!(
                "driver=nbd,server.type=unix,server.path={},export={}",
                value(socket)?,
                escape(export)
            ),
            Backend::Raw { file } => format!("driver=raw,file.driver=file,file.filename={}", value(file)?),
        };
        let options = format!("read-only={read_only},discard={discard},detect-zeroes=off");
        self.option("-blockdev", &format!("{source},node-name=disk{index},{options}"));
        Ok(())
    }

    fn nic(&mut self, index: usize, nic: &Nic) {
        self.option("-netdev", &format!("user,id=net{index},restrict=on"));
        // No boot from the network: its ROM costs a second and could only fail.
        let mut device = format!("{},netdev=net{index},romfile=", escape(&nic.device));
        if let Some(mac) = nic.mac {
            device.push_str(&format!(",mac={mac}"));
        }
        self.option("-device", &device);
    }

    fn ports(&mut self, vm: &Vm, runtime: &Path) -> Result<()> {
        if vm.ports.iter().any(|port| port.device != PortDevice::Isa) {
            let bus = if vm.has_pci() { "virtio-serial-pci" } else { "virtio-serial-device" };
            self.option("-device", &format!("{bus},id=virtio-serial,max_ports=16"));
        }
        for port in &vm.ports {
            let name = &port.name;
            if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
                return Err(Error::Unsupported { reason: format!("{name:?} cannot name a port") });
            }
            let socket = value(&runtime.join(format!("{name}.port")))?;
            self.option("-chardev", &format!("socket,id=port-{name},path={socket}"));
            match &port.device {
                PortDevice::Isa => self.option("-serial", &format!("chardev:port-{name}")),
                PortDevice::VirtioConsole => {
                    self.option("-device", &format!("virtconsole,bus=virtio-serial.0,chardev=port-{name}"));
                }
                PortDevice::Virtio { name: channel } => {
                    let channel = escape(channel);
                    let device =
                        format!("virtserialport,bus=virtio-serial.0,chardev=port-{name},name={channel}");
                    self.option("-device", &device);
                }
            }
        }
        Ok(())
    }
}

/// The controllers made so far: kind, name, disks on it, room.
#[derive(Default)]
struct Controllers(Vec<Controller>);

struct Controller {
    kind: String,
    id: String,
    used: usize,
}

impl Controllers {
    /// Finds a place for a disk, making a controller when there is none with room.
    fn place(&mut self, arguments: &mut Arguments, disk: &Disk) -> Result<String> {
        let Some(kind) = &disk.controller else {
            return Ok(String::new());
        };
        let (room, unit) = addressing(kind);
        let free = self.0.iter().position(|controller| controller.kind == *kind && controller.used < room);
        let index = free.unwrap_or_else(|| {
            let id = format!("ctl{}", self.0.len());
            arguments.option("-device", &format!("{},id={id}", escape(kind)));
            self.0.push(Controller { kind: kind.clone(), id, used: 0 });
            self.0.len() - 1
        });
        let controller = self
            .0
            .get_mut(index)
            .ok_or_else(|| Error::Unsupported { reason: format!("no room on a {kind}") })?;
        let number = controller.used;
        controller.used += 1;
        Ok(match unit {
            Unit::ScsiId => format!(",bus={}.0,scsi-id={number}", controller.id),
            Unit::Bus => format!(",bus={}.{number}", controller.id),
            Unit::Pair => format!(",bus={}.{},unit={}", controller.id, number / 2, number % 2),
        })
    }
}

/// How a controller numbers its disks.
#[derive(Clone, Copy)]
enum Unit {
    /// One SCSI bus with targets.
    ScsiId,
    /// One bus a disk.
    Bus,
    /// Two disks a bus.
    Pair,
}

/// How many disks a controller takes here, and how it numbers them.
fn addressing(controller: &str) -> (usize, Unit) {
    match controller {
        "ich9-ahci" => (6, Unit::Bus),
        "piix3-ide" | "piix4-ide" => (4, Unit::Pair),
        // Narrow SCSI: eight targets, of which the adapter is the last.
        "lsi53c895a" | "lsi53c810" => (7, Unit::ScsiId),
        "mptsas1068" => (8, Unit::ScsiId),
        "pvscsi" => (15, Unit::ScsiId),
        _ => (64, Unit::ScsiId),
    }
}

/// NVMe requires a serial number.
fn needs_serial(disk: &Disk) -> bool {
    disk.device.starts_with("nvme")
}

/// A value inside an option: QEMU splits at commas, and a doubled comma is one that is meant.
fn escape(value: &str) -> String {
    value.replace(',', ",,")
}

fn value(path: &Path) -> Result<String> {
    text(path).map(escape)
}

fn text(path: &Path) -> Result<&str> {
    path.to_str()
        .ok_or_else(|| Error::Unsupported { reason: format!("the path {} is not UTF-8", path.display()) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::Port;
    use profile::FirmwareKind;

    fn line(vm: &Vm) -> String {
        arguments(vm, Path::new("/run/a,b"), true).unwrap().join(" ")
    }

    fn vm() -> Vm {
        Vm::new("q35", Accelerator::Tcg)
    }

    #[test]
    fn commas_in_values_are_doubled() {
        let mut vm = vm();
        vm.disks.push(Disk::new("virtio-blk-pci", Backend::nbd("/run/a,b/nbd", "x,read-only=off")));
        let line = line(&vm);
        assert!(line.contains("server.path=/run/a,,b/nbd,export=x,,read-only=off,node-name=disk0"), "{line}");
        assert!(line.contains("path=/run/a,,b/qmp.sock"), "{line}");
    }

    #[test]
    fn disks_of_one_kind_share_a_controller_until_it_is_full() {
        let mut vm = vm();
        for index in 0..7 {
            let mut disk = Disk::new("ide-hd", Backend::raw(format!("/d{index}")));
            disk.controller = Some("ich9-ahci".into());
            vm.disks.push(disk);
        }
        let line = line(&vm);
        assert_eq!(line.matches("-device ich9-ahci").count(), 2, "{line}");
        assert!(
            line.contains("drive=disk5,id=dev5,bus=ctl0.5")
                && line.contains("drive=disk6,id=dev6,bus=ctl1.0")
        );
    }

    #[test]
    fn profiles_become_devices() {
        let esxi = profile::find("esxi").unwrap();
        let mut vm = vm();
        vm.disks.push(Disk::on(&esxi.disk[0], FirmwareKind::Bios, Backend::raw("/d")).unwrap());
        vm.nics.push(Nic::on(&esxi.nic[0], Some("00:50:56:01:02:03".parse().unwrap())).unwrap());
        let line = line(&vm);
        assert!(line.contains("-device pvscsi,id=ctl0"), "{line}");
        assert!(line.contains("scsi-hd,drive=disk0,id=dev0,bus=ctl0.0,scsi-id=0,werror=report"), "{line}");
        assert!(line.contains("vmxnet3,netdev=net0,romfile=,mac=00:50:56:01:02:03"), "{line}");
        assert!(line.contains("user,id=net0,restrict=on"), "{line}");
    }

    #[test]
    fn a_ports_name_is_a_plain_word() {
        let mut vm = vm();
        vm.ports.push(Port::console("../x"));
        assert!(matches!(arguments(&vm, Path::new("/run"), false), Err(Error::Unsupported { .. })));
    }

    #[test]
    fn modules_stand_in_one_option_with_their_command_lines() {
        let mut vm = vm();
        vm.withheld = vec!["xsave".into()];
        let module =
            |file: &str, command_line: &str| Module { file: file.into(), command_line: command_line.into() };
        vm.boot = Boot::Multiboot {
            image: "/xen".into(),
            command_line: "console=com1".into(),
            modules: vec![module("/vm,linux", "console=hvc0 a=b,c"), module("/initrd", "")],
        };
        let line = line(&vm);
        assert!(
            line.contains(
                "-kernel /xen -initrd /vm,,linux console=hvc0 a=b,,c,/initrd  -append console=com1"
            ),
            "{line}"
        );
        assert!(line.contains("-cpu max,xsave=off"), "{line}");
    }

    #[test]
    fn secure_boot_needs_system_management_mode() {
        let mut vm = vm();
        let uefi = crate::firmware::Uefi { code: "/c".into(), variables: "/v".into(), secure_boot: true };
        vm.boot = Boot::Uefi(uefi);
        let line = line(&vm);
        assert!(line.contains("-machine q35,smm=on") && line.contains("property=secure,value=on"), "{line}");
    }
}
