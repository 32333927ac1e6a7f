#!/bin/busybox sh
# Called by libxl for each network card of the domain: puts its other end into the bridge.
PATH=/bin
export PATH
case $1 in
add | online)
    ip link set "$vif" master "$(xenstore read "$XENBUS_PATH/bridge")"
    ip link set "$vif" up
    xenstore write "$XENBUS_PATH/hotplug-status" connected
    ;;
esac
exit 0
