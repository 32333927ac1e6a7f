#!/bin/sh
# Runs when every package of a guest is installed: its own settings. $1 is the root of the guest; LAB_* come from the
# recipe.
set -eu
root=$1

echo "$LAB_HOSTNAME" > "$root/etc/hostname"
printf '127.0.0.1\tlocalhost\n127.0.1.1\t%s\n' "$LAB_HOSTNAME" > "$root/etc/hosts"
echo "$LAB_MACHINE_ID" > "$root/etc/machine-id"
echo 'nameserver 10.0.2.3' > "$root/etc/resolv.conf"
chroot "$root" passwd --quiet --delete root
chroot "$root" systemctl --quiet enable serial-getty@ttyS0.service

sed -i -e 's/^GRUB_TIMEOUT=.*/GRUB_TIMEOUT=1/' \
    -e 's/^GRUB_CMDLINE_LINUX=.*/GRUB_CMDLINE_LINUX="console=tty0 console=ttyS0,115200n8"/' "$root/etc/default/grub"
printf '%s\n' 'GRUB_TERMINAL="console serial"' 'GRUB_SERIAL_COMMAND="serial --unit=0 --speed=115200"' \
    'GRUB_DISABLE_OS_PROBER=true' >> "$root/etc/default/grub"

# The address suits QEMU's user network and is none that its DHCP server would give: a guest that has it has kept it.
static="	address 10.0.2.192/24
	gateway 10.0.2.2"
{
    cat <<'INTERFACES'
# This file describes the network interfaces available on your system
# and how to activate them. For more information, see interfaces(5).

source /etc/network/interfaces.d/*

# The loopback network interface
auto lo
iface lo inet loopback

# The primary network interface
INTERFACES
    set -- $LAB_INTERFACES
    case $LAB_NETWORK in
        static) printf 'allow-hotplug %s\niface %s inet static\n%s\n' "$1" "$1" "$static" ;;
        dhcp) printf 'allow-hotplug %s\niface %s inet dhcp\n' "$1" "$1" ;;
        bond)
            printf 'auto bond0\niface bond0 inet static\n%s\n' "$static"
            printf '\tbond-slaves %s\n\tbond-mode active-backup\n\tbond-miimon 100\n\tbond-primary %s\n' "$*" "$1"
            ;;
    esac
} > "$root/etc/network/interfaces"

# Filesystems by UUID, and swap that stands in a partition by its disk's name: a conversion has to follow both.
{
    echo '# <file system> <mount point> <type> <options> <dump> <pass>'
    case $LAB_LAYOUT in
        ext4) echo "UUID=$LAB_ROOT_UUID / ext4 errors=remount-ro 0 1" ;;
        lvm-xfs) echo '/dev/mapper/system-root / xfs defaults 0 0' ;;
        btrfs)
            echo "UUID=$LAB_ROOT_UUID / btrfs defaults,subvol=@ 0 0"
            echo "UUID=$LAB_ROOT_UUID /home btrfs defaults,subvol=@home 0 0"
            ;;
        luks-lvm) echo '/dev/mapper/system-root / ext4 errors=remount-ro 0 1' ;;
    esac
    [ -z "$LAB_BOOT_UUID" ] || echo "UUID=$LAB_BOOT_UUID /boot ext4 defaults 0 2"
    [ -z "$LAB_ESP_ID" ] || echo "UUID=$LAB_ESP_ID /boot/efi vfat umask=0077 0 1"
    echo "$LAB_SWAP_DEVICE none swap sw 0 0"
    echo '/dev/sr0 /media/cdrom0 udf,iso9660 user,noauto 0 0'
} > "$root/etc/fstab"
mkdir -p "$root/media/cdrom0"

# Started without a hand at the keyboard: the key lies in the initramfs, which is not encrypted.
if [ "$LAB_LAYOUT" = luks-lvm ]; then
    mkdir -m 700 "$root/etc/keys"
    printf %s "$LAB_LUKS_KEY" > "$root/etc/keys/system.key"
    chmod 400 "$root/etc/keys/system.key"
    echo "system_crypt UUID=$LAB_LUKS_UUID /etc/keys/system.key luks,initramfs,discard" > "$root/etc/crypttab"
    echo 'KEYFILE_PATTERN="/etc/keys/*.key"' >> "$root/etc/cryptsetup-initramfs/conf-hook"
    echo 'UMASK=0077' > "$root/etc/initramfs-tools/conf.d/keys"
fi

# As grub-install leaves the EFI system partition, which the lab moves into a partition of its own. The firmware's
# variables are not exported with the guest, so it must start by the fallback path too.
if [ "$LAB_FIRMWARE" = efi ]; then
    vendor=$root/boot/efi/EFI/debian
    mkdir -p "$vendor" "$root/boot/efi/EFI/BOOT"
    cp "$root/usr/lib/shim/shimx64.efi.signed" "$vendor/shimx64.efi"
    cp "$root/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed" "$vendor/grubx64.efi"
    folder=/boot/grub
    [ -z "$LAB_BOOT_UUID" ] || folder=/grub
    [ "$LAB_LAYOUT" != btrfs ] || folder=/@/boot/grub
    cat > "$vendor/grub.cfg" <<STUB
search.fs_uuid ${LAB_BOOT_UUID:-$LAB_ROOT_UUID} root hd0,gpt2
set prefix=(\$root)'$folder'
configfile \$prefix/grub.cfg
STUB
    cp "$vendor/shimx64.efi" "$root/boot/efi/EFI/BOOT/BOOTX64.EFI"
    cp "$vendor/grubx64.efi" "$root/boot/efi/EFI/BOOT/grubx64.efi"
fi
