//! The guest.

pub(crate) use crate::one_disk::{SWAP_UUID, volumes};

use guest::fs::memory::MemoryTree;
use guest::fs::{GuestFs, MountMode, Mounter};
use guest::initramfs::compression::gzip;
use guest::initramfs::cpio::{self, Entry};
use guest::volume::VolumeId;
use machine::{Attachment, Bus, Disk, Firmware, Machine, Nic, NicModel, ScsiModel};

pub(crate) const VERSION: &str = "6.1.0-18-amd64";
pub(crate) const MAC: &str = "00:0c:29:4c:5b:6a";

const DEP: &str = "\
kernel/drivers/virtio/virtio.ko: kernel/drivers/virtio/virtio_ring.ko
kernel/drivers/virtio/virtio_ring.ko:
kernel/drivers/virtio/virtio_pci.ko: kernel/drivers/virtio/virtio.ko kernel/drivers/virtio/virtio_ring.ko
kernel/drivers/block/virtio_blk.ko: kernel/drivers/virtio/virtio.ko kernel/drivers/virtio/virtio_ring.ko
kernel/drivers/net/virtio_net.ko: kernel/drivers/virtio/virtio.ko kernel/drivers/virtio/virtio_ring.ko
kernel/drivers/scsi/virtio_scsi.ko: kernel/drivers/scsi/scsi_mod.ko kernel/drivers/virtio/virtio.ko kernel/drivers/virtio/virtio_ring.ko
kernel/drivers/scsi/scsi_mod.ko:
kernel/drivers/scsi/sd_mod.ko: kernel/drivers/scsi/scsi_mod.ko
kernel/drivers/scsi/vmw_pvscsi.ko: kernel/drivers/scsi/scsi_mod.ko
kernel/drivers/net/vmxnet3/vmxnet3.ko:
";
const ALIAS: &str = "\
alias pci:v00001AF4d*sv*sd*bc*sc*i* virtio_pci
alias virtio:d00000008v* virtio_scsi
alias virtio:d00000002v* virtio_blk
alias scsi:t-0x00* sd_mod
alias pci:v000015ADd000007C0sv*sd*bc*sc*i* vmw_pvscsi
";

const FSTAB: &str = "\
# /etc/fstab: static file system information.
#
# <file system> <mount point>   <type>  <options>       <dump>  <pass>
/dev/sda2       /               ext4    errors=remount-ro 0       1
UUID=0f0e0d0c-0b0a-0908-0706-050403020100 /boot ext4 defaults 0 2
/dev/sda3       none            swap    sw              0       0
tmpfs           /tmp            tmpfs   nosuid          0       0
/dev/disk/by-id/scsi-36000c29aa  /srv   ext4    nofail  0       2
";

const GRUB_CFG: &str = "\
set timeout=1
menuentry 'Debian GNU/Linux' {
	search --no-floppy --fs-uuid --set=root 0f0e0d0c-0b0a-0908-0706-050403020100
	linux	/vmlinuz-6.1.0-18-amd64 root=/dev/sda2 ro quiet resume=/dev/sda3
	initrd	/initrd.img-6.1.0-18-amd64
}
";

const INTERFACES: &str = "\
source /etc/network/interfaces.d/*

auto lo
iface lo inet loopback

allow-hotplug ens192
iface ens192 inet static
	address 10.0.2.192/24
	gateway 10.0.2.2
";

const UNIT: &str = "[Unit]\nDescription=Service for virtual machines hosted on VMware\n";

/// The guest's files, not mounted. `/boot` holds at most `boot_room` bytes.
pub(crate) fn tree(boot_room: Option<u64>) -> MemoryTree {
    let mut tree = MemoryTree::new();
    tree.add_volume(VolumeId(0), None, boot_room);
    tree.add_volume(VolumeId(1), None, None);
    tree.mount(VolumeId(1), "/", MountMode::ReadWrite, None).unwrap();
    tree.create_dir("/boot").unwrap();
    tree.mount(VolumeId(0), "/boot", MountMode::ReadWrite, None).unwrap();
    fill(&mut tree);
    tree.unmount_all().unwrap();
    tree
}

fn fill(tree: &mut MemoryTree) {
    tree.create_dir("/usr/lib").unwrap();
    tree.create_dir("/usr/bin").unwrap();
    tree.symlink("usr/lib", "/lib").unwrap();
    tree.symlink("usr/bin", "/bin").unwrap();
    tree.symlink("usr/sbin", "/sbin").unwrap();
    tree.create_dir("/usr/sbin").unwrap();
    tree.symlink("/lib/systemd/systemd", "/usr/sbin/init").unwrap();
    let mut elf = b"\x7FELF\x02\x01\x01".to_vec();
    elf.resize(64, 0);
    elf[18] = 62;
    tree.put("/usr/bin/dash", elf).unwrap();
    tree.symlink("dash", "/usr/bin/sh").unwrap();
    let release = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_ID=\"12\"\nID=debian\n";
    for (path, text) in [
        ("/usr/lib/os-release", release),
        ("/etc/hostname", "debian12\n"),
        ("/etc/fstab", FSTAB),
        ("/etc/network/interfaces", INTERFACES),
        ("/etc/default/grub", "GRUB_TIMEOUT=1\nGRUB_CMDLINE_LINUX=\"resume=/dev/sda3\"\n"),
        ("/etc/initramfs-tools/modules", "# List of modules\n"),
        ("/etc/initramfs-tools/conf.d/resume", "RESUME=/dev/sda3\n"),
        ("/boot/grub/grub.cfg", GRUB_CFG),
        ("/boot/grub/device.map", "(hd0)\t/dev/sda\n"),
        ("/boot/grub/i386-pc/core.img", "core"),
        ("/boot/vmlinuz-6.1.0-18-amd64", "kernel"),
        ("/usr/lib/systemd/systemd", "init"),
        ("/usr/lib/systemd/system/open-vm-tools.service", UNIT),
        ("/usr/lib/systemd/system/vgauth.service", UNIT),
        ("/usr/lib/systemd/system/qemu-guest-agent.service", UNIT),
    ] {
        tree.put(path, text).unwrap();
    }
    tree.symlink("/lib/systemd/system/open-vm-tools.service", "/etc/systemd/system/vmtoolsd.service")
        .unwrap_or_else(|_| {
            tree.create_dir("/etc/systemd/system").unwrap();
            tree.symlink("/lib/systemd/system/open-vm-tools.service", "/etc/systemd/system/vmtoolsd.service")
                .unwrap();
        });
    tree.symlink(&format!("boot/initrd.img-{VERSION}"), "/initrd.img").unwrap();
    let modules = format!("/usr/lib/modules/{VERSION}");
    for path in DEP.lines().filter_map(|line| line.split(':').next()) {
        tree.put(&format!("{modules}/{path}"), format!("module {path}")).unwrap();
    }
    for (name, text) in [
        ("modules.dep", DEP),
        ("modules.alias", ALIAS),
        ("modules.builtin", "kernel/fs/ext4/ext4.ko\nkernel/drivers/ata/ahci.ko\n"),
        ("modules.softdep", ""),
    ] {
        tree.put(&format!("{modules}/{name}"), text).unwrap();
    }
    let path = format!("/boot/initrd.img-{VERSION}");
    tree.put(&path, initramfs()).unwrap();
    tree.set_owner(&path, 0, 0, 0o600).unwrap();
}

/// As update-initramfs makes it on VMware with `MODULES=dep`.
fn initramfs() -> Vec<u8> {
    let modules = format!("usr/lib/modules/{VERSION}");
    let mut entries = vec![
        Entry::directory("conf"),
        Entry::directory("conf/conf.d"),
        Entry::directory("usr"),
        Entry::directory("usr/lib"),
        Entry::directory("usr/lib/modules"),
        Entry::directory(&modules),
        Entry::file("conf/arch.conf", "DPKG_ARCH=amd64\n"),
        Entry::file("conf/initramfs.conf", "MODULES=dep\n"),
        Entry::file("conf/conf.d/resume", "RESUME=/dev/sda3\n"),
    ];
    for name in ["scsi_mod", "sd_mod", "vmw_pvscsi"] {
        entries.push(Entry::file(format!("{modules}/kernel/drivers/scsi/{name}.ko"), name));
    }
    gzip(&cpio::write(&entries))
}

/// The machine that VMware runs it on.
pub(crate) fn machine() -> Machine {
    let attachment = Attachment { bus: Bus::Scsi(ScsiModel::Pvscsi), controller: 0, unit: 0 };
    Machine {
        name: "debian12".into(),
        firmware: Firmware::Bios,
        disks: vec![Disk { id: "disk1".into(), attachment, ..Disk::default() }],
        nics: vec![nic("nic1", MAC)],
        ..Machine::default()
    }
}

pub(crate) fn nic(id: &str, mac: &str) -> Nic {
    Nic {
        id: id.into(),
        model: NicModel::Vmxnet3,
        mac: Some(mac.parse().unwrap()),
        connected: true,
        ..Nic::default()
    }
}

/// The same machine with its disks on another bus.
pub(crate) fn on(bus: Bus) -> Machine {
    let mut machine = machine();
    machine.disks.iter_mut().for_each(|disk| disk.attachment.bus = bus);
    machine.nics.iter_mut().for_each(|nic| nic.model = NicModel::Virtio);
    machine
}
