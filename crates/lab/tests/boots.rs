//! The guest really boots from the virtual hardware that VMware gives it, as QEMU emulates that.

#![expect(clippy::unwrap_used, reason = "a test ends where something is missing")]

use lab::{Firmware, Package, Recipe};
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// Far beyond what the slowest emulation needs for one step; only a guest that hangs meets it.
const PATIENCE: Duration = Duration::from_secs(300);

/// A running guest, and what its serial console has said.
struct Guest {
    qemu: Child,
    console: Receiver<Vec<u8>>,
    said: String,
}

impl Guest {
    /// Starts the recipe's disk as a read-only snapshot. The network card stands in slot 192 of a native hot-plug port,
    /// which is why the guest calls it `ens192`, as it does on VMware.
    fn start(recipe: &Recipe) -> Self {
        let files = lab::guest(recipe).unwrap();
        // OVMF, as Debian builds it, has no driver for pvscsi; AHCI is the other controller that VMware gives.
        let hardware: &[&str] = match recipe.firmware {
            Firmware::Bios => &["-device", "pvscsi,id=scsi", "-device", "scsi-hd,bus=scsi.0,drive=disk"],
            Firmware::Uefi => {
                &["-bios", "/usr/share/ovmf/OVMF.fd", "-device", "ide-hd,drive=disk,bootindex=1"]
            }
        };
        let mut qemu = Command::new("qemu-system-x86_64")
            .args(["-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "1024"])
            .args(["-nodefaults", "-display", "none", "-no-reboot", "-serial", "stdio"])
            .args(["-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off"])
            .arg("-drive")
            .arg(format!(
                "file={},format=vmdk,if=none,id=disk,snapshot=on",
                files.disk(Package::Vmx).unwrap().display()
            ))
            .args(hardware)
            .args(["-device", "pcie-root-port,id=slot192,slot=192,chassis=1"])
            .args(["-netdev", "user,id=net,restrict=on", "-device"])
            .arg(format!("vmxnet3,bus=slot192,netdev=net,mac={}", recipe.macs()[0]))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("qemu-system-x86_64 starts (./dev test installs qemu-system-x86)");
        let mut stdout = qemu.stdout.take().unwrap();
        let (sender, console) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = stdout.read(&mut buffer) {
                if sender.send(buffer[..read].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self { qemu, console, said: String::new() }
    }

    /// Waits for a text, and returns what came before it.
    fn wait_for(&mut self, text: &str) -> String {
        let start = Instant::now();
        loop {
            if let Some(at) = self.said.find(text) {
                let rest = self.said.split_off(at + text.len());
                return std::mem::replace(&mut self.said, rest);
            }
            let left = PATIENCE.saturating_sub(start.elapsed());
            match self.console.recv_timeout(left) {
                Ok(bytes) => self.said.push_str(&String::from_utf8_lossy(&bytes)),
                Err(RecvTimeoutError::Timeout) => panic!("no {text:?} from the guest in:\n{}", self.said),
                Err(RecvTimeoutError::Disconnected) => panic!("QEMU ended before {text:?}:\n{}", self.said),
            }
        }
    }

    fn type_line(&mut self, line: &str) {
        writeln!(self.qemu.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// The output of a shell command in the guest. The end's mark is quoted apart so that its echo is not taken for it.
    fn shell(&mut self, command: &str) -> String {
        self.type_line(&format!("{command}; echo EN''D"));
        self.wait_for("END")
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

/// Boots the guest to its login, and looks whether it is what its recipe promises.
fn boot_and_look(recipe: &Recipe, storage_driver: &str, swap_device: &str) {
    let mut guest = Guest::start(recipe);
    guest.wait_for(&format!("{} login: ", recipe.machine));
    guest.type_line("root");
    guest.wait_for("# ");

    let addresses = guest.shell("ip -brief address show ens192");
    assert!(addresses.contains("10.0.2.192/24"), "{addresses}");
    let pci = "/sys/bus/pci/drivers";
    let drivers = guest.shell(&format!("ls {pci}/{storage_driver} {pci}/vmxnet3"));
    assert_eq!(drivers.matches("0000:").count(), 2, "{drivers}");
    let modules = guest.shell("cut -d' ' -f1 /proc/modules");
    assert!(!modules.contains("virtio"), "{modules}");
    let swap = guest.shell("cat /proc/swaps");
    assert!(swap.contains(swap_device), "{swap}");
    let failed = guest.shell("systemctl --failed --no-legend --plain | wc --lines | sed 's/^/failed: /'");
    assert!(failed.contains("failed: 0"), "{failed}");
}

#[test]
fn debian12_boots_on_vmware_hardware() {
    boot_and_look(&lab::DEBIAN12_BIOS, "vmw_pvscsi", "/dev/sda2");
}

#[test]
fn debian12_boots_by_uefi_on_vmware_hardware() {
    boot_and_look(&lab::DEBIAN12_EFI, "ahci", "/dev/sda3");
}
