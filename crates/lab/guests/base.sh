#!/bin/sh
# Runs once the essential packages of a release's base tree are there and before its kernel is. $1 is the root of the tree.
set -eu
root=$1

# The initramfs that the kernel's package makes starts the machine in which the lab installs a guest, on the hardware of
# any origin. Said outright: the build machine's own disks must not matter.
mkdir -p "$root/etc/initramfs-tools/conf.d" "$root/etc/initramfs-tools/hooks"
echo 'MODULES=list' > "$root/etc/initramfs-tools/conf.d/driver-policy"
cat > "$root/etc/initramfs-tools/hooks/lab-storage" <<'HOOK'
#!/bin/sh
[ "${1:-}" = prereqs ] && exit 0
. /usr/share/initramfs-tools/hook-functions
manual_add_modules vmw_pvscsi virtio_pci virtio_scsi ata_piix ata_generic sd_mod ext4
HOOK
chmod 755 "$root/etc/initramfs-tools/hooks/lab-storage"
