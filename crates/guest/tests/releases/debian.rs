//! Ubuntu's releases, and Alpine. Layouts after Ubuntu's server guides, the documentation of netplan and cloud-init, the
//! source of initramfs-tools 0.130 to 0.142, and Alpine's of mkinitfs 3.9.

use crate::guest_tree::{ALIASES, MODULES, Release};
use guest::initramfs::compression::{gzip, lz4_legacy};

/// Every release.
pub(crate) const RELEASES: &[Release] = &[UBUNTU_18, UBUNTU_20, UBUNTU_24, ALPINE];

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).unwrap()
}

pub(crate) const UBUNTU_18: Release = Release {
    id: "ubuntu-18.04",
    kernel: "4.15.0-213-generic",
    modules: MODULES,
    aliases: ALIASES,
    builtin: "kernel/drivers/scsi/scsi_mod.ko\nkernel/drivers/scsi/sd_mod.ko\n",
    absolute: false,
    initramfs: "/boot/initrd.img-4.15.0-213-generic",
    compress: gzip,
    inside: &[
        ("conf/initramfs.conf", "MODULES=dep\n"),
        ("conf/conf.d/resume", "RESUME=/dev/sda3\n"),
        ("conf/modules", ""),
        ("lib/modules/4.15.0-213-generic/kernel/drivers/message/fusion/mptspi.ko", "old"),
    ],
    files: &[
        (
            "/etc/os-release",
            "VERSION_ID=\"18.04\"\nID=ubuntu\nID_LIKE=debian\nPRETTY_NAME=\"Ubuntu 18.04.6 LTS\"\n",
        ),
        ("/lib/systemd/systemd", "ELF"),
        (
            "/etc/fstab",
            "\
/dev/sda2 / ext4 defaults 0 0
/dev/sda1 /boot ext4 defaults 0 0
/dev/sda3 none swap sw 0 0
",
        ),
        ("/etc/initramfs-tools/modules", "# List of modules that you want to include in your initramfs.\n"),
        ("/etc/initramfs-tools/conf.d/resume", "RESUME=/dev/sda3\n"),
        ("/etc/default/grub", "GRUB_CMDLINE_LINUX_DEFAULT=\"\"\n"),
        (
            "/boot/grub/grub.cfg",
            "\
menuentry 'Ubuntu' {
	linux	/vmlinuz-4.15.0-213-generic root=/dev/sda2 ro
	initrd	/initrd.img-4.15.0-213-generic
}
",
        ),
        (
            "/etc/netplan/01-netcfg.yaml",
            "\
network:
  version: 2
  ethernets:
    ens160:
      addresses: [192.0.2.18/24]
  vlans:
    vlan100:
      id: 100
      link: ens160
",
        ),
        ("/lib/systemd/system/open-vm-tools.service", "[Unit]\n"),
        ("/lib/systemd/system/vgauth.service", "[Unit]\n"),
    ],
    links: &[("/sbin/init", "/lib/systemd/systemd")],
};

const UBUNTU_20: Release = Release {
    id: "ubuntu-20.04",
    kernel: "5.4.0-182-generic",
    modules: MODULES,
    aliases: ALIASES,
    builtin: "kernel/drivers/scsi/scsi_mod.ko\nkernel/drivers/scsi/sd_mod.ko\nkernel/drivers/virtio/virtio.ko\n",
    absolute: false,
    initramfs: "/boot/initrd.img-5.4.0-182-generic",
    compress: lz4_legacy,
    inside: &[
        ("conf/initramfs.conf", "MODULES=most\n"),
        ("usr/lib/modules/5.4.0-182-generic/kernel/drivers/message/fusion/mptspi.ko", "old"),
    ],
    files: &[
        (
            "/etc/os-release",
            "VERSION_ID=\"20.04\"\nID=ubuntu\nID_LIKE=debian\nPRETTY_NAME=\"Ubuntu 20.04.6 LTS\"\n",
        ),
        ("/lib/systemd/systemd", "ELF"),
        (
            "/etc/fstab",
            "\
/dev/disk/by-uuid/5d0a1b7e-6f43-4c52-9a37-1f2e3d4c5b6a / ext4 defaults 0 1
/dev/disk/by-uuid/0f0e0d0c-0b0a-0908-0706-050403020100 /boot ext4 defaults 0 1
",
        ),
        ("/etc/initramfs-tools/modules", ""),
        ("/etc/default/grub", "GRUB_CMDLINE_LINUX_DEFAULT=\"maybe-ubiquity\"\n"),
        (
            "/boot/grub/grub.cfg",
            "\
menuentry 'Ubuntu' {
	linux	/vmlinuz-5.4.0-182-generic root=UUID=5d0a1b7e-6f43-4c52-9a37-1f2e3d4c5b6a ro  maybe-ubiquity
	initrd	/initrd.img-5.4.0-182-generic
}
",
        ),
        (
            "/etc/netplan/00-installer-config.yaml",
            "# This is the network config written by 'subiquity'\nnetwork:\n  ethernets:\n    ens160:\n      dhcp4: true\n  version: 2\n",
        ),
        ("/etc/cloud/cloud.cfg", "users:\n  - default\n"),
        (
            "/etc/cloud/cloud.cfg.d/subiquity-disable-cloudinit-networking.cfg",
            "network: {config: disabled}\n",
        ),
        ("/lib/systemd/system/open-vm-tools.service", "[Unit]\n"),
    ],
    links: &[("/sbin/init", "/lib/systemd/systemd")],
};

const UBUNTU_24: Release = Release {
    id: "ubuntu-24.04",
    kernel: "6.8.0-31-generic",
    modules: &[
        ("kernel/drivers/block/virtio_blk.ko.zst", ""),
        ("kernel/drivers/net/virtio_net.ko.zst", ""),
        ("kernel/drivers/message/fusion/mptspi.ko.zst", ""),
    ],
    aliases: "alias virtio:d00000002v* virtio_blk\n",
    builtin: "\
kernel/drivers/scsi/scsi_mod.ko\nkernel/drivers/scsi/sd_mod.ko\nkernel/drivers/virtio/virtio.ko\n\
kernel/drivers/virtio/virtio_pci.ko\n",
    absolute: false,
    initramfs: "/boot/initrd.img-6.8.0-31-generic",
    compress: zstd,
    inside: &[
        ("conf/initramfs.conf", "MODULES=most\n"),
        ("usr/lib/modules/6.8.0-31-generic/kernel/drivers/message/fusion/mptspi.ko.zst", "old"),
    ],
    files: &[
        (
            "/etc/os-release",
            "VERSION_ID=\"24.04\"\nID=ubuntu\nID_LIKE=debian\nPRETTY_NAME=\"Ubuntu 24.04 LTS\"\n",
        ),
        ("/usr/lib/systemd/systemd", "ELF"),
        (
            "/etc/fstab",
            "\
/dev/disk/by-uuid/5d0a1b7e-6f43-4c52-9a37-1f2e3d4c5b6a / ext4 defaults 0 1
/dev/disk/by-uuid/0f0e0d0c-0b0a-0908-0706-050403020100 /boot ext4 defaults 0 1
",
        ),
        ("/etc/initramfs-tools/modules", ""),
        ("/etc/default/grub", "GRUB_CMDLINE_LINUX_DEFAULT=\"\"\n"),
        (
            "/boot/grub/grub.cfg",
            "\
menuentry 'Ubuntu' {
	linux	/vmlinuz-6.8.0-31-generic root=UUID=5d0a1b7e-6f43-4c52-9a37-1f2e3d4c5b6a ro
	initrd	/initrd.img-6.8.0-31-generic
}
",
        ),
        (
            "/etc/netplan/50-cloud-init.yaml",
            "\
# This file is generated from information provided by the datasource. Changes to it will not persist.
# /etc/cloud/cloud.cfg.d/99-disable-network-config.cfg turns cloud-init's network configuration off.
network:
    ethernets:
        ens192:
            dhcp4: true
            match:
                macaddress: 00:0c:29:4c:5b:6a
            set-name: ens192
    version: 2
",
        ),
        ("/etc/cloud/cloud.cfg", "users:\n  - default\n"),
        ("/usr/lib/systemd/system/open-vm-tools.service", "[Unit]\n"),
    ],
    links: &[("/sbin/init", "../lib/systemd/systemd")],
};

const ALPINE: Release = Release {
    id: "alpine-3.19",
    kernel: "6.6.31-0-lts",
    modules: MODULES,
    aliases: ALIASES,
    builtin: "kernel/fs/ext4/ext4.ko\n",
    absolute: false,
    initramfs: "/boot/initramfs-lts",
    compress: gzip,
    inside: &[
        ("sbin/nlplug-findfs", "ELF"),
        ("lib/modules/6.6.31-0-lts/kernel/drivers/scsi/scsi_mod.ko", "old"),
        ("lib/modules/6.6.31-0-lts/kernel/drivers/scsi/sd_mod.ko", "old"),
    ],
    files: &[
        ("/etc/os-release", "ID=alpine\nVERSION_ID=3.19.1\nPRETTY_NAME=\"Alpine Linux v3.19\"\n"),
        ("/sbin/openrc", "ELF"),
        ("/boot/vmlinuz-lts", "kernel"),
        (
            "/etc/fstab",
            "/dev/sda2\t/\text4\trw,relatime\t0 1\n/dev/sda1\t/boot\text4\trw\t0 2\n/dev/sda3\tswap\tswap\tdefaults\t0 0\n",
        ),
        (
            "/boot/extlinux.conf",
            "\
DEFAULT lts
LABEL lts
  LINUX vmlinuz-lts
  INITRD initramfs-lts
  APPEND root=/dev/sda2 modules=sd-mod,usb-storage,ext4 quiet rootfstype=ext4
",
        ),
        ("/etc/update-extlinux.conf", "root=/dev/sda2\ndefault_kernel_opts=\"quiet rootfstype=ext4\"\n"),
        ("/etc/network/interfaces", "auto eth0\niface eth0 inet dhcp\n"),
        ("/etc/init.d/open-vm-tools", "#!/sbin/openrc-run\n"),
    ],
    links: &[("/etc/runlevels/default/open-vm-tools", "/etc/init.d/open-vm-tools")],
};
