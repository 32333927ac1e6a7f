#!/bin/sh
# Removes what differs from one making to the next. $1 is the root of the guest.
set -eu
root=${1:-}
rm -f "$root"/var/log/*.log "$root"/var/log/apt/*.log "$root"/var/cache/ldconfig/aux-cache "$root"/var/cache/debconf/*-old
