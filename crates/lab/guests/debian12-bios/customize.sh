#!/bin/sh
# Runs when every package is installed: the guest's own settings, GRUB's files, and the proof that the guest is what
# the recipe promises. $1 is the root of the guest; LAB_* come from the recipe.
set -eu
root=$1

echo debian12 > "$root/etc/hostname"
printf '127.0.0.1\tlocalhost\n127.0.1.1\tdebian12\n' > "$root/etc/hosts"
echo "$LAB_MACHINE_ID" > "$root/etc/machine-id"
echo 'nameserver 10.0.2.3' > "$root/etc/resolv.conf"
chroot "$root" passwd --quiet --delete root

# ens192 is what a guest of VMware's calls its first vmxnet3 card. The address suits QEMU's user network and is none
# that its DHCP server would give: a guest that has it has kept it.
cat > "$root/etc/network/interfaces" <<'INTERFACES'
# This file describes the network interfaces available on your system
# and how to activate them. For more information, see interfaces(5).

source /etc/network/interfaces.d/*

# The loopback network interface
auto lo
iface lo inet loopback

# The primary network interface
allow-hotplug ens192
iface ens192 inet static
	address 10.0.2.192/24
	gateway 10.0.2.2
INTERFACES

chroot "$root" systemctl --quiet enable serial-getty@ttyS0.service open-vm-tools.service

sed -i -e 's/^GRUB_TIMEOUT=.*/GRUB_TIMEOUT=1/' \
    -e 's/^GRUB_CMDLINE_LINUX=.*/GRUB_CMDLINE_LINUX="console=tty0 console=ttyS0,115200n8"/' "$root/etc/default/grub"
printf '%s\n' 'GRUB_TERMINAL="console serial"' 'GRUB_SERIAL_COMMAND="serial --unit=0 --speed=115200"' \
    'GRUB_DISABLE_OS_PROBER=true' >> "$root/etc/default/grub"

# As grub-install leaves /boot/grub, without a disk to look at.
platform=$root/boot/grub/i386-pc
mkdir -p "$platform" "$root/boot/grub/fonts"
cp "$root"/usr/lib/grub/i386-pc/*.mod "$root"/usr/lib/grub/i386-pc/*.lst "$root/usr/lib/grub/i386-pc/boot.img" "$platform"
cp "$root/usr/share/grub/unicode.pf2" "$root/boot/grub/fonts"
chroot "$root" grub-mkimage --format i386-pc --prefix '(,msdos1)/boot/grub' \
    --output /boot/grub/i386-pc/core.img biosdisk part_msdos ext2

# grub-mkconfig asks grub-probe about disks that do not exist yet: for this once, the answers are those of the disk to be.
probe=$root/usr/sbin/grub-probe
mv "$probe" "$probe.kept"
cat > "$probe" <<PROBE
#!/bin/sh
target=
while [ \$# -gt 0 ]; do
    case \$1 in
        --target=*) target=\${1#--target=} ;;
        --target|-t) target=\$2; shift ;;
    esac
    shift
done
case \$target in
    device) echo /dev/sda1 ;;
    disk) echo /dev/sda ;;
    fs) echo ext2 ;;
    fs_uuid) echo $LAB_ROOT_UUID ;;
    partmap) echo msdos ;;
    drive) echo '(hd0,msdos1)' ;;
    compatibility_hint) echo hd0,msdos1 ;;
    hints_string) echo '--hint-bios=hd0,msdos1 --hint-efi=hd0,msdos1 --hint-baremetal=ahci0,msdos1' ;;
esac
PROBE
chmod 755 "$probe"
mkdir -p "$root/dev/disk/by-uuid"
: > "$root/dev/disk/by-uuid/$LAB_ROOT_UUID"
chroot "$root" update-grub
rm -r "$root/dev/disk"
mv "$probe.kept" "$probe"

kernel=$(basename "$root"/lib/modules/*)
if grep virtio "$root/lib/modules/$kernel/modules.builtin"; then
    echo "the kernel $kernel has virtio built in" >&2
    exit 1
fi
inside=$(chroot "$root" lsinitramfs "/boot/initrd.img-$kernel")
for driver in vmw_pvscsi mptspi mptsas ahci ata_piix sd_mod ext4; do
    echo "$inside" | grep -q "/$driver\.ko" || { echo "the initramfs lacks $driver" >&2; exit 1; }
done
if echo "$inside" | grep virtio; then
    echo "the initramfs has virtio" >&2
    exit 1
fi

# Nothing that differs from one making to the next.
rm -f "$root"/var/log/*.log "$root"/var/log/apt/*.log "$root"/var/cache/ldconfig/aux-cache "$root"/var/cache/debconf/*-old
