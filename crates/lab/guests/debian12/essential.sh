#!/bin/sh
# Runs once the essential packages are there and before the kernel is: what the kernel's and GRUB's own
# installation scripts must already find. $1 is the root of the guest; LAB_* come from the recipe.
set -eu
root=$1

cat > "$root/etc/fstab" <<FSTAB
# <file system> <mount point> <type> <options> <dump> <pass>
# The root by UUID and the swap by its disk's name: a conversion has to follow both.
UUID=$LAB_ROOT_UUID / ext4 errors=remount-ro 0 1
$LAB_SWAP_DEVICE none swap sw 0 0
/dev/sr0 /media/cdrom0 udf,iso9660 user,noauto 0 0
FSTAB
mkdir -p "$root/media/cdrom0"
if [ "$LAB_FIRMWARE" = efi ]; then
    echo "UUID=$LAB_ESP_ID /boot/efi vfat umask=0077 0 1" >> "$root/etc/fstab"
fi

# What MODULES=dep finds on a machine of VMware's, said outright: the build machine's own disks must not matter.
mkdir -p "$root/etc/initramfs-tools/conf.d" "$root/etc/initramfs-tools/hooks"
echo 'MODULES=list' > "$root/etc/initramfs-tools/conf.d/driver-policy"
echo "RESUME=UUID=$LAB_SWAP_UUID" > "$root/etc/initramfs-tools/conf.d/resume"
cat > "$root/etc/initramfs-tools/hooks/vmware-storage" <<'HOOK'
#!/bin/sh
[ "${1:-}" = prereqs ] && exit 0
. /usr/share/initramfs-tools/hook-functions
manual_add_modules vmw_pvscsi mptspi mptsas ahci ata_piix ata_generic sd_mod sr_mod ext4
HOOK
chmod 755 "$root/etc/initramfs-tools/hooks/vmware-storage"

# The boot loader is put into the disk's boot track by the lab; its package must not look for a disk.
echo 'grub-pc grub-pc/install_devices_empty boolean true' | chroot "$root" debconf-set-selections
