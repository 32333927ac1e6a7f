# Reports to the second serial port, or to a disk that is there for it, what this system is, once it is up. Put here by
# a rehearsal, into a throwaway overlay only. Needs a POSIX shell, cat, cksum and sleep; uses ip, od, stty, sync and
# systemctl where they are.
#
# One fact a line: its name, a space, its fields. The whole stands between a begin line and an end line with the
# length and the POSIX cksum of everything between them, so that half a report is never taken for a whole one.
# The order of the lines does not matter, and a reader skips names that it does not know.
PORT=/dev/ttyS1
LC_ALL=C
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL PATH

have() { command -v "$1" >/dev/null 2>&1; }

# The real path behind a symbolic link to a directory.
real() { (cd -P "$1" 2>/dev/null && pwd -P); }

# The drivers from a device of sysfs down to the bus: "sd,virtio_scsi,virtio-pci".
drivers() {
    at=$(real "$1")
    found=
    while [ -n "$at" ] && [ "$at" != /sys/devices ]; do
        if [ -e "$at/driver" ]; then
            name=$(real "$at/driver")
            found="$found${found:+,}${name##*/}"
        fi
        at=${at%/*}
    done
    echo "${found:--}"
}

# The disks at the bottom of a block device: through partitions, LVM, RAID and encryption.
beneath() {
    set -- "$1" "${2:-0}" "$(real "$1")"
    [ -n "$3" ] && [ "$2" -lt 8 ] || return
    bottom=yes
    for slave in "$3"/slaves/*; do
        [ -e "$slave" ] || continue
        bottom=no
        beneath "$slave" $(($2 + 1))
        bottom=no
    done
    [ "$bottom" = yes ] || return
    if [ -e "$3/partition" ]; then at=${3%/*}; else at=$3; fi
    echo "${at##*/}"
}

# Where / is mounted from. The last mount on / is the one that is seen.
root_device() {
    while read -r _ _ numbers _ point _ rest; do
        [ "$point" = / ] || continue
        after=${rest##* - }
        filesystem=${after%% *}
        after=${after#* }
        source=${after%% *}
        root_numbers=$numbers
    done </proc/self/mountinfo
    device=/sys/dev/block/$root_numbers
    # btrfs has numbers of its own, which lead nowhere: go by the name.
    [ -e "$device" ] || device=/sys/class/block/${source##*/}
    echo "root ${source:-?} ${filesystem:-?}"
    for disk in $(beneath "$device"); do
        echo "root-disk $disk $(drivers "/sys/class/block/$disk")"
    done
}

disks() {
    for disk in /sys/block/*; do
        [ -e "$disk/device" ] || continue
        read -r sectors <"$disk/size" || continue
        echo "disk ${disk##*/} $((sectors * 512)) $(drivers "$disk")"
    done
}

nics() {
    for nic in /sys/class/net/*; do
        [ -e "$nic/device" ] || continue
        address=-
        state=-
        read -r address <"$nic/address"
        read -r state <"$nic/operstate"
        echo "nic ${nic##*/} $address $state $(drivers "$nic/device")"
    done
}

addresses() {
    if have ip; then
        ip -o addr show 2>/dev/null | while read -r _ name family address _; do
            case $name:$family in
            lo:*) ;;
            *:inet | *:inet6) echo "address ${name%%@*} $address" ;;
            esac
        done
        return
    fi
    # The kernel's routing trie names every local address, though not on which card.
    last=
    while read -r mark word _; do
        case $mark in '|--') last=$word ;; esac
        case "$mark $word" in "/32 host")
            case $last in 127.*) ;; *) echo "address - $last" ;; esac
            ;;
        esac
    done </proc/net/fib_trie 2>/dev/null
}

login() {
    for process in /proc/[0-9]*; do
        read -r name <"$process/comm" || continue
        case $name in
        agetty | getty | mgetty | mingetty | fgetty | login | gdm* | sddm* | lightdm* | xdm*)
            echo "$name"
            return
            ;;
        esac
    done 2>/dev/null
}

system() {
    cr=$(printf '\r')
    for file in /etc/os-release /usr/lib/os-release; do
        [ -r "$file" ] || continue
        while read -r line; do
            value=${line#*=}
            value=${value%"$cr"}
            value=${value#[\"\']}
            value=${value%[\"\']}
            case $line in
            ID=*) echo "os-id $value" ;;
            VERSION_ID=*) echo "os-version $value" ;;
            PRETTY_NAME=*) echo "os-name $value" ;;
            esac
        done <"$file"
        break
    done
    read -r release </proc/sys/kernel/osrelease && echo "kernel $release"
    have uname && echo "architecture $(uname -m)"
    read -r name </proc/1/comm && echo "init $name"
    # A variable of UEFI's: four bytes of attributes, then its one byte (UEFI 2.10, section 3.3).
    for file in /sys/firmware/efi/efivars/SecureBoot-*; do
        [ -r "$file" ] && have od || continue
        bytes=$(od -An -tu1 "$file")
        echo "secure-boot ${bytes##* }"
    done
}

target() {
    [ -n "$id" ] && echo "target $id ${active:--} ${entered:-0}"
    id=
}

units() {
    echo "state $(systemctl is-system-running 2>/dev/null)"
    systemctl show -p KernelTimestampMonotonic -p InitRDTimestampMonotonic -p UserspaceTimestampMonotonic \
        -p FinishTimestampMonotonic 2>/dev/null | while IFS='=' read -r name value; do
        echo "stamp $name $value"
    done
    # The first target line is the default target's, under its real name.
    systemctl show -p Id -p ActiveState -p ActiveEnterTimestampMonotonic default.target multi-user.target \
        emergency.target rescue.target 2>/dev/null | {
        id=
        while IFS='=' read -r name value; do
            case $name in
            Id) id=$value ;;
            ActiveState) active=$value ;;
            ActiveEnterTimestampMonotonic) entered=$value ;;
            *) target ;;
            esac
        done
        target
    }
    systemctl --failed --no-legend --plain --full 2>/dev/null | while read -r first second _; do
        case $first in *.*) echo "failed $first" ;; *) echo "failed $second" ;; esac
    done
}

facts() {
    echo "format 1"
    system
    root_device
    disks
    nics
    addresses
    [ -d /run/systemd/system ] && units
    greeter=$(login)
    [ -n "$greeter" ] && echo "login $greeter"
    read -r uptime _ </proc/uptime && echo "uptime $uptime"
}

# The system is up when nothing is left to start and something lets people log in. Neither is waited for long:
# what has not come by then is a fact too.
settle() {
    waited=0
    while [ "$waited" -lt 30 ]; do
        case $(systemctl is-system-running 2>/dev/null) in
        initializing | starting) ;;
        maintenance) return ;;
        *) break ;;
        esac
        sleep 1
        waited=$((waited + 1))
    done
    waited=0
    while [ "$waited" -lt 8 ] && [ -z "$(login)" ]; do
        sleep 1
        waited=$((waited + 1))
    done
}

settle
report=$(facts 2>/dev/null)
sum=-
have cksum && sum=$(printf '%s' "$report" | cksum) && sum=${sum%% *}
have stty && stty -F "$PORT" raw -echo 2>/dev/null
# More than once: a terminal that somebody else opens at this moment may lose bytes.
for again in 0 3 6; do
    sleep "$again"
    printf '\nanyvisor-report-begin\n%s\nanyvisor-report-end %s %s\n' "$report" "${#report}" "$sum" >"$PORT"
    if [ -b "$PORT" ]; then sync; fi
done
