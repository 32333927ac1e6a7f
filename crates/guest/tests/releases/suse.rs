//! SUSE's releases. Layouts after each release's administration guide and the source of dracut 055.

use crate::guest_tree::{ALIASES, MODULES, Release};
use std::io::Write;

/// Every release.
pub(crate) const RELEASES: &[Release] = &[SLES_15];

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 6);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

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
