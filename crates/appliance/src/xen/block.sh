#!/bin/busybox sh
# Called by libxl for each disk of the domain: tells the backend the device's numbers, and libxl that it is ready.
PATH=/bin
export PATH
[ "$1" = add ] || exit 0
device=$(xenstore read "$XENBUS_PATH/params")
xenstore write "$XENBUS_PATH/physical-device" "$(stat -L -c %t:%T "$device")"
xenstore write "$XENBUS_PATH/hotplug-status" connected
