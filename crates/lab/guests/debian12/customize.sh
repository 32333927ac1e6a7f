#!/bin/sh
# Runs when every package is installed: the guest's own settings, GRUB's files, and the proof that the guest is what
# the recipe promises. $1 is the root of the guest; LAB_* come from the recipe.
set -eu
root=$1

echo "$LAB_HOSTNAME" > "$root/etc/hostname"
printf '127.0.0.1\tlocalhost\n127.0.1.1\t%s\n' "$LAB_HOSTNAME" > "$root/etc/hosts"
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

# As grub-install leaves /boot/grub and the EFI system partition, without a disk to look at. The lab moves /boot/efi
# into a partition of its own.
mkdir -p "$root/boot/grub/fonts"
cp "$root/usr/share/grub/unicode.pf2" "$root/boot/grub/fonts"
case $LAB_FIRMWARE in
    bios)
        platform=i386-pc table=msdos
        mkdir "$root/boot/grub/$platform"
        cp "$root/usr/lib/grub/$platform/boot.img" "$root/boot/grub/$platform"
        chroot "$root" grub-mkimage --format $platform --prefix '(,msdos1)/boot/grub' \
            --output /boot/grub/$platform/core.img biosdisk part_msdos ext2
        ;;
    efi)
        platform=x86_64-efi table=gpt
        mkdir "$root/boot/grub/$platform"
        vendor=$root/boot/efi/EFI/debian
        mkdir -p "$vendor"
        cp "$root/usr/lib/shim/shimx64.efi.signed" "$vendor/shimx64.efi"
        cp "$root/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed" "$vendor/grubx64.efi"
        cat > "$vendor/grub.cfg" <<STUB
search.fs_uuid $LAB_ROOT_UUID root hd0,gpt2
set prefix=(\$root)'/boot/grub'
configfile \$prefix/grub.cfg
STUB
        # The firmware's variables are not exported with the guest, so it must start by the fallback path too.
        mkdir "$root/boot/efi/EFI/BOOT"
        cp "$vendor/shimx64.efi" "$root/boot/efi/EFI/BOOT/BOOTX64.EFI"
        cp "$vendor/grubx64.efi" "$root/boot/efi/EFI/BOOT/grubx64.efi"
        ;;
esac
cp "$root/usr/lib/grub/$platform"/*.mod "$root/usr/lib/grub/$platform"/*.lst "$root/boot/grub/$platform"

# grub-mkconfig asks grub-probe about disks that do not exist yet: for this once, the answers are those of the disk to be.
part=$table${LAB_ROOT_DEVICE#/dev/sda}
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
    device) echo $LAB_ROOT_DEVICE ;;
    disk) echo /dev/sda ;;
    fs) echo ext2 ;;
    fs_uuid) echo $LAB_ROOT_UUID ;;
    partmap) echo $table ;;
    drive) echo '(hd0,$part)' ;;
    compatibility_hint) echo hd0,$part ;;
    hints_string) echo '--hint-bios=hd0,$part --hint-efi=hd0,$part --hint-baremetal=ahci0,$part' ;;
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
