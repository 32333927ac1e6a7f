#!/bin/sh
# The init of the machine that installs a guest whose disk needs a kernel to be made: LVM, LUKS, btrfs, XFS. The guest's
# tree is the root filesystem, read-only; the guest's disk is on the hardware that it comes from. What the recipe says
# stands before these lines as LAB_*, and /lab holds what runs inside the guest.
set -eu

export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8
trap 'echo "lab: failed"; sync; echo o > /proc/sysrq-trigger; sleep 60' EXIT
mountpoint -q /proc || mount -t proc proc /proc
mountpoint -q /sys || mount -t sysfs sysfs /sys
mountpoint -q /dev || mount -t devtmpfs devtmpfs /dev
mountpoint -q /run || mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
mkdir -p /run/lock/lvm /run/lvm /run/cryptsetup
udev=/lib/systemd/systemd-udevd
"$udev" --daemon
udevadm trigger
udevadm settle
for module in dm-mod dm-crypt xfs btrfs ext4; do modprobe "$module" || true; done

set -- /dev/disk/by-id/*lab-guest
disk=$(readlink -f "$1")
main=$disk$LAB_ROOT_NUMBER
boot=$disk$((LAB_ROOT_NUMBER - 1))
target=/tmp/target
mkdir "$target"
echo "lab: making $LAB_LAYOUT on $disk"

# LVM's copies of what it writes would lie on the root, which is read-only.
volumes() { # of the physical volume $1
    pvcreate -q -y "$1"
    vgcreate -q --autobackup n system "$1"
    lvcreate -q -y --autobackup n -Wn -Zn -L "${LAB_SWAP_MIB}M" -n swap system
    lvcreate -q -y --autobackup n -Wn -Zn -l 100%FREE -n root system
    mkswap -q -U "$LAB_SWAP_UUID" /dev/mapper/system-swap
}

case $LAB_LAYOUT in
    lvm-xfs)
        volumes "$main"
        mkfs.xfs -q -f -m "uuid=$LAB_ROOT_UUID" /dev/mapper/system-root
        mount /dev/mapper/system-root "$target"
        ;;
    luks-lvm)
        # A cheap key derivation: whoever installs here has no secret, and an emulated processor has no time.
        printf %s "$LAB_LUKS_KEY" > /run/key
        cryptsetup luksFormat -q --type luks2 --uuid "$LAB_LUKS_UUID" --pbkdf pbkdf2 --pbkdf-force-iterations 1000 \
            "$main" /run/key
        cryptsetup open --allow-discards --key-file /run/key "$main" system_crypt
        volumes /dev/mapper/system_crypt
        mkfs.ext4 -q -F -U "$LAB_ROOT_UUID" /dev/mapper/system-root
        mount /dev/mapper/system-root "$target"
        ;;
    btrfs)
        mkfs.btrfs -q -f -U "$LAB_ROOT_UUID" "$main"
        mount "$main" "$target"
        btrfs subvolume create "$target/@"
        btrfs subvolume create "$target/@home"
        umount "$target"
        mount -o subvol=@ "$main" "$target"
        mkdir "$target/home"
        mount -o subvol=@home "$main" "$target/home"
        ;;
esac
if [ -n "$LAB_BOOT_UUID" ]; then
    mkfs.ext4 -q -F -O ^metadata_csum_seed,^orphan_file -U "$LAB_BOOT_UUID" "$boot"
    mkdir "$target/boot"
    mount "$boot" "$target/boot"
fi
udevadm settle

echo 'lab: copying the tree'
mkdir /tmp/source
mount --bind / /tmp/source
cp -a /tmp/source/. "$target"
rm -r "$target/lab" "$target/lost+found" 2>/dev/null || true
for folder in proc sys dev run; do mount --rbind "/$folder" "$target/$folder"; done
mount -t tmpfs tmpfs "$target/tmp"
cp -r /lab/inside "$target/tmp"

if [ "$LAB_INITRAMFS" = dracut ]; then
    # It finds itself on QEMU, and a guest of another hypervisor's has never been there.
    foreign=$(echo "$LAB_FOREIGN" | sed 's/xen-(blk|net)front/xen_blkfront|xen_netfront/; s/|/.* /g; s/$/.*/')
    printf '%s\n' 'omit_dracutmodules+=" qemu virtiofs "' "omit_drivers+=\" $foreign \"" \
        > "$target/etc/dracut.conf.d/20-origin.conf"
fi
echo 'lab: making the initramfs'
chroot "$target" sh /tmp/inside/initramfs.sh
echo 'lab: installing the boot loader'
if [ "$LAB_FIRMWARE" = bios ]; then
    chroot "$target" grub-install --target=i386-pc "$disk"
else
    mkdir -p "$target/boot/grub/x86_64-efi"
    cp "$target"/usr/lib/grub/x86_64-efi/*.mod "$target"/usr/lib/grub/x86_64-efi/*.lst "$target/boot/grub/x86_64-efi"
fi
chroot "$target" update-grub
sh "$target/tmp/inside/clean.sh" "$target"

echo 'lab: closing the disk'
umount "$target/tmp"
for folder in proc sys dev run; do umount -l "$target/$folder"; done
fstrim "$target"
umount -R "$target"
case $LAB_LAYOUT in
    lvm-xfs | luks-lvm) vgchange -q -an system ;;
esac
[ "$LAB_LAYOUT" != luks-lvm ] || cryptsetup close system_crypt
# Not before: LVM waits for udev to have seen its volumes go.
udevadm control --exit || true
sync
trap - EXIT
echo 'lab: installed'
echo o > /proc/sysrq-trigger
sleep 60
