#!/bin/sh
# Makes the guest's initramfs, with the drivers of the hypervisor that it comes from and no other's, and proves it. Runs
# inside the guest; LAB_* come from the recipe.
set -eu

kernel=$(basename /lib/modules/*)
image=/boot/initrd.img-$kernel
case $LAB_INITRAMFS in
    initramfs-tools)
        # What MODULES=dep finds on a machine of the origin's.
        echo 'MODULES=list' > /etc/initramfs-tools/conf.d/driver-policy
        echo "RESUME=$LAB_RESUME" > /etc/initramfs-tools/conf.d/resume
        cat > /etc/initramfs-tools/hooks/origin-storage <<HOOK
#!/bin/sh
[ "\${1:-}" = prereqs ] && exit 0
. /usr/share/initramfs-tools/hook-functions
manual_add_modules $LAB_DRIVERS $LAB_FILESYSTEMS
HOOK
        chmod 755 /etc/initramfs-tools/hooks/origin-storage
        sed -i 's/^update_initramfs=.*/update_initramfs=yes/' /etc/initramfs-tools/update-initramfs.conf
        update-initramfs -c -k "$kernel"
        list=lsinitramfs
        ;;
    dracut)
        printf '%s\n' 'hostonly="yes"' 'hostonly_cmdline="no"' 'compress="zstd"' > /etc/dracut.conf.d/10-host-only.conf
        dracut --force --hostonly "$image" "$kernel"
        list='lsinitrd'
        ;;
esac

if grep -E "/($LAB_FOREIGN)" "/lib/modules/$kernel/modules.builtin"; then
    echo "the kernel $kernel has drivers of other hypervisors built in" >&2
    exit 1
fi
inside=$($list "$image")
for driver in $LAB_PROMISED $LAB_FILESYSTEMS; do
    echo "$inside" | grep -q "/$driver\.ko" || grep -q "/$driver\.ko" "/lib/modules/$kernel/modules.builtin" ||
        { echo "the initramfs lacks $driver" >&2; exit 1; }
done
if echo "$inside" | grep -E "/($LAB_FOREIGN)[^/]*\.ko"; then
    echo "the initramfs has drivers of other hypervisors" >&2
    exit 1
fi
