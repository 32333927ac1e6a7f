//! SUSE's releases. Layouts after each release's administration guide and the sources of mkinitrd 2.8 and dracut 044 to
//! 055.

use crate::guest_tree::{ALIASES, MODULES, Release};
use guest::initramfs::compression::gzip;
use std::io::Write;

/// Every release.
pub(crate) const RELEASES: &[Release] = &[SLES_11, SLES_12, SLES_15];

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 6);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

const SLES_11: Release = Release {
    id: "sles-11",
    kernel: "3.0.101-108-default",
    modules: MODULES,
    aliases: ALIASES,
    builtin: "",
    absolute: false,
    initramfs: "/boot/initrd-3.0.101-108-default",
    compress: gzip,
    inside: &[
        ("run_all.sh", "\
[ \"$debug\" ] && echo preping 01-devfunctions.sh
source boot/01-devfunctions.sh
[ \"$modules\" ] && load_modules
[ \"$debug\" ] && echo preping 02-start.sh
[ \"$RESOLVED_INITRD_MODULES\" ] || RESOLVED_INITRD_MODULES='mptspi ext3'
[ \"$debug\" ] && echo running 02-start.sh
modules=\"$RESOLVED_INITRD_MODULES\"
source boot/02-start.sh
[ \"$modules\" ] && load_modules
[ \"$rootdev\" ] || rootdev='/dev/disk/by-id/scsi-36000c29f4c5b6a00-part2'
source boot/83-mount.sh
"),
        ("config/start.sh", "[ \"$RESOLVED_INITRD_MODULES\" ] || RESOLVED_INITRD_MODULES='mptspi ext3'\n"),
        ("config/mount.sh", "[ \"$rootdev\" ] || rootdev='/dev/disk/by-id/scsi-36000c29f4c5b6a00-part2'\n"),
        ("lib/modules/3.0.101-108-default/modules.dep", "kernel/drivers/scsi/scsi_mod.ko:\n"),
        ("lib/modules/3.0.101-108-default/kernel/drivers/scsi/scsi_mod.ko", "old"),
        ("lib/modules/3.0.101-108-default/kernel/drivers/scsi/sd_mod.ko", "old"),
    ],
    files: &[
        ("/etc/SuSE-release", "SUSE Linux Enterprise Server 11 (x86_64)\nVERSION = 11\nPATCHLEVEL = 4\n"),
        ("/etc/inittab", "id:3:initdefault:\n"),
        ("/etc/fstab", "\
/dev/disk/by-id/scsi-36000c29f4c5b6a00-part3 swap swap defaults 0 0
/dev/disk/by-id/scsi-36000c29f4c5b6a00-part2 / ext3 acl,user_xattr 1 1
/dev/disk/by-id/scsi-36000c29f4c5b6a00-part1 /boot ext3 acl,user_xattr 1 2
"),
        ("/boot/grub/menu.lst", "\
default 0
timeout 8
title SUSE Linux Enterprise Server 11 SP4 - 3.0.101-108
    root (hd0,0)
    kernel /vmlinuz-3.0.101-108-default root=/dev/disk/by-id/scsi-36000c29f4c5b6a00-part2 resume=/dev/disk/by-id/scsi-36000c29f4c5b6a00-part3 splash=silent showopts
    initrd /initrd-3.0.101-108-default
"),
        ("/boot/grub/device.map", "(hd0)\t/dev/disk/by-id/scsi-36000c29f4c5b6a00\n"),
        ("/etc/sysconfig/bootloader", "DEFAULT_APPEND=\"resume=/dev/disk/by-id/scsi-36000c29f4c5b6a00-part3 splash=silent\"\n"),
        ("/etc/sysconfig/kernel", "INITRD_MODULES=\"mptspi ext3\"\nDOMU_INITRD_MODULES=\"xennet xenblk\"\n"),
        ("/etc/sysconfig/network/ifcfg-eth0", "BOOTPROTO='static'\nIPADDR='192.0.2.11/24'\nSTARTMODE='auto'\n"),
        ("/etc/udev/rules.d/70-persistent-net.rules", "\
SUBSYSTEM==\"net\", ACTION==\"add\", DRIVERS==\"?*\", ATTR{address}==\"00:0c:29:4c:5b:6a\", ATTR{type}==\"1\", KERNEL==\"eth*\", NAME=\"eth0\"
"),
        ("/etc/init.d/vmware-tools", "#!/bin/sh\n### BEGIN INIT INFO\n"),
    ],
    links: &[
        ("/boot/initrd", "initrd-3.0.101-108-default"),
        ("/etc/init.d/rc3.d/S03vmware-tools", "../vmware-tools"),
        ("/etc/init.d/rc3.d/K01vmware-tools", "../vmware-tools"),
    ],
};

const SLES_12: Release = Release {
    id: "sles-12",
    kernel: "4.12.14-122.37-default",
    modules: MODULES,
    aliases: ALIASES,
    builtin: "",
    absolute: false,
    initramfs: "/boot/initrd-4.12.14-122.37-default",
    compress: xz,
    inside: &[
        ("usr/lib/dracut/hooks/", ""),
        ("lib/modules/4.12.14-122.37-default/kernel/drivers/scsi/sd_mod.ko", "old"),
        ("lib/modules/4.12.14-122.37-default/kernel/drivers/scsi/scsi_mod.ko", "old"),
        ("etc/cmdline.d/95root-dev.conf", " root=/dev/disk/by-path/pci-0000:00:10.0-scsi-0:0:0:0-part2 rootfstype=ext4\n"),
    ],
    files: &[
        ("/etc/os-release", "VERSION_ID=\"12.5\"\nID=\"sles\"\nPRETTY_NAME=\"SUSE Linux Enterprise Server 12 SP5\"\n"),
        ("/usr/lib/systemd/systemd", "ELF"),
        ("/etc/fstab", "\
/dev/disk/by-path/pci-0000:00:10.0-scsi-0:0:0:0-part2 /     ext4 defaults 0 1
/dev/disk/by-path/pci-0000:00:10.0-scsi-0:0:0:0-part1 /boot ext4 defaults 0 2
UUID=a3c9e1f0-2b4d-4e6f-8091-a2b3c4d5e6f7 swap swap defaults 0 0
"),
        ("/etc/default/grub", "GRUB_CMDLINE_LINUX_DEFAULT=\"resume=/dev/sda3 splash=silent quiet\"\n"),
        ("/boot/grub2/grub.cfg", "\
menuentry 'SLES 12-SP5' {
	linux /vmlinuz-4.12.14-122.37-default root=UUID=5d0a1b7e-6f43-4c52-9a37-1f2e3d4c5b6a resume=/dev/sda3 splash=silent quiet
	initrd /initrd-4.12.14-122.37-default
}
"),
        ("/etc/sysconfig/network/ifcfg-eth0", "BOOTPROTO='none'\nSTARTMODE='hotplug'\n"),
        ("/etc/sysconfig/network/ifcfg-bond0", "\
BOOTPROTO='static'\nIPADDR='192.0.2.12/24'\nBONDING_MASTER='yes'\nBONDING_SLAVE0='eth0'\nSTARTMODE='auto'\n"),
        ("/usr/lib/systemd/system/vmtoolsd.service", "[Unit]\n"),
    ],
    links: &[("/sbin/init", "../usr/lib/systemd/systemd")],
};

const SLES_15: Release = Release {
    id: "sles-15",
    kernel: "5.14.21-150500.53-default",
    modules: MODULES,
    aliases: ALIASES,
    builtin: "",
    absolute: false,
    initramfs: "/boot/initrd-5.14.21-150500.53-default",
    compress: xz,
    inside: &[("usr/lib/dracut/hooks/", ""), ("usr/lib/dracut/build-parameter.txt", "")],
    files: &[
        (
            "/etc/os-release",
            "VERSION_ID=\"15.5\"\nID=\"sles\"\nPRETTY_NAME=\"SUSE Linux Enterprise Server 15 SP5\"\n",
        ),
        ("/usr/lib/systemd/systemd", "ELF"),
        (
            "/etc/fstab",
            "\
UUID=5d0a1b7e-6f43-4c52-9a37-1f2e3d4c5b6a  /      ext4  defaults 0 1
UUID=0f0e0d0c-0b0a-0908-0706-050403020100  /boot  ext4  defaults 0 2
",
        ),
        ("/etc/default/grub", "GRUB_CMDLINE_LINUX_DEFAULT=\"splash=silent quiet\"\n"),
        (
            "/boot/grub2/grub.cfg",
            "\
menuentry 'SLES 15-SP5' {
	linux /vmlinuz-5.14.21-150500.53-default root=UUID=5d0a1b7e-6f43-4c52-9a37-1f2e3d4c5b6a splash=silent quiet
	initrd /initrd-5.14.21-150500.53-default
}
",
        ),
        (
            "/etc/sysconfig/network/ifcfg-br0",
            "BOOTPROTO='static'\nIPADDR='192.0.2.15/24'\nBRIDGE='yes'\nBRIDGE_PORTS='eth0'\nSTARTMODE='auto'\n",
        ),
        ("/usr/lib/systemd/system/vmtoolsd.service", "[Unit]\n"),
        ("/etc/selinux/config", "SELINUX=permissive\n"),
    ],
    links: &[("/sbin/init", "../usr/lib/systemd/systemd")],
};
