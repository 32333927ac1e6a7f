#!/bin/busybox sh
# Init of the domain that runs Xen's tools: brings them up, makes the guest's domain, passes on its console, and ends the
# machine when the domain has ended. What it prints goes to Xen's console, for people.
/bin/busybox mkdir -p /proc /sys /dev /run /tmp /var/lib/xen /var/log/xen
/bin/busybox ln -s /run /var/run
/bin/busybox --install -s /bin
PATH=/bin
export PATH
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/guest /run/xenstored /run/xen /var/lib/xenstored
mount -t devpts devpts /dev/pts

say() {
    read -r uptime _ </proc/uptime
    echo "anyvisor-xen: $uptime $*"
}

end() {
    say "$*"
    poweroff -f
}

say starting
while read -r module; do
    insmod "/modules/$module.ko"
done </modules/order
mount -t xenfs xenfs /proc/xen

# The machine's disks by their serial numbers, the console's port by its name. These files may end without a newline.
for disk in /sys/block/vd*; do
    ln -s "/dev/${disk##*/}" "/dev/guest/$(cat "$disk/serial")"
done
for port in /sys/class/virtio-ports/*; do
    [ "$(cat "$port/name")" = console ] && console=/dev/${port##*/}
done

# Each network card is bridged to one of the domain's.
ip link set lo up
for card in /sys/class/net/eth*; do
    card=${card##*/}
    [ -e "/sys/class/net/$card" ] || continue
    bridge=xenbr${card#eth}
    ip link add "$bridge" type bridge
    ip link set "$card" master "$bridge"
    ip link set "$card" up
    ip link set "$bridge" up
done

xenstored --pid-file /run/xenstored.pid || end "xenstored failed"
xen-init-dom0 || end "xen-init-dom0 failed"
xenconsoled --pid-file=/run/xenconsoled.pid || end "xenconsoled failed"
say "tools are up"

cat /dev/guest/kernel >/run/kernel
cat /dev/guest/initramfs >/run/initramfs
# Paused, so that the console is read from its first byte on.
xl create -p /domain.cfg || end "the domain was not made"
domain=$(xl domid guest)
cat "$(xenstore read "/local/domain/$domain/console/tty")" >"$console" &
xl unpause guest || end "the domain was not started"
say "domain started"
rm -f /run/kernel /run/initramfs

# The first event comes at once, the second when a domain has ended.
while xl domid guest >/dev/null 2>&1; do
    xenstore watch -n 2 @releaseDomain >/dev/null
    sleep 2
done
end "domain ended"
