#!/bin/sh
# Runs before a guest's own packages are added to its release's base tree: what their installation scripts must already
# find. $1 is the root of the guest; LAB_* come from the recipe.
set -eu
root=$1

# The boot loader is put in place by the lab; its package must not look for a disk.
printf '%s\n' 'grub-pc grub-pc/install_devices_empty boolean true' 'grub-pc grub-pc/install_devices multiselect' |
    chroot "$root" debconf-set-selections
# One initramfs, made when all is there, instead of one for every package that wants to be in it.
[ ! -f "$root/etc/initramfs-tools/update-initramfs.conf" ] ||
    sed -i 's/^update_initramfs=.*/update_initramfs=no/' "$root/etc/initramfs-tools/update-initramfs.conf"
