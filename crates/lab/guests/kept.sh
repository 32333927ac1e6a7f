#!/bin/sh
# Runs when a release's base tree is complete: keeps what starts the machine in which guests are installed, and leaves
# nothing that differs from one making to the next. $1 is the root of the tree.
set -eu
root=$1

mkdir "$root/lab"
cp "$root"/boot/vmlinuz-* "$root/lab/vmlinuz"
mv "$root"/boot/initrd.img-* "$root/lab/initrd"
rm "$root/etc/initramfs-tools/hooks/lab-storage"
rm -f "$root"/var/log/*.log "$root"/var/log/apt/*.log "$root"/var/cache/ldconfig/aux-cache "$root"/var/cache/debconf/*-old
