#!/bin/sh
# GRUB's files as grub-install and update-grub leave them, for a disk that is not there: one partition of ext4 holds the
# root. Runs inside the guest; LAB_* come from the recipe.
set -eu

mkdir -p /boot/grub/fonts
cp /usr/share/grub/unicode.pf2 /boot/grub/fonts
case $LAB_FIRMWARE in
    bios)
        platform=i386-pc table=msdos
        mkdir -p /boot/grub/$platform
        cp /usr/lib/grub/$platform/boot.img /boot/grub/$platform
        grub-mkimage --format $platform --prefix '(,msdos1)/boot/grub' \
            --output /boot/grub/$platform/core.img biosdisk part_msdos ext2
        ;;
    efi)
        platform=x86_64-efi table=gpt
        mkdir -p /boot/grub/$platform
        ;;
esac
cp /usr/lib/grub/$platform/*.mod /usr/lib/grub/$platform/*.lst /boot/grub/$platform

# grub-mkconfig asks grub-probe about disks that do not exist yet: for this once, the answers are those of the disk to be.
part=$table${LAB_ROOT_DEVICE#/dev/sda}
probe=/usr/sbin/grub-probe
mv "$probe" "$probe.kept"
cat > "$probe" <<PROBE
#!/bin/sh
target=
while [ \$# -gt 0 ]; do
    case \$1 in
        --target=*) target=\${1#--target=} ;;
        --target|-t) target=\$2; shift ;;
    esac
    shift
done
case \$target in
    device) echo $LAB_ROOT_DEVICE ;;
    disk) echo /dev/sda ;;
    fs) echo ext2 ;;
    fs_uuid) echo $LAB_ROOT_UUID ;;
    partmap) echo $table ;;
    drive) echo '(hd0,$part)' ;;
    compatibility_hint) echo hd0,$part ;;
    hints_string) echo '--hint-bios=hd0,$part --hint-efi=hd0,$part --hint-baremetal=ahci0,$part' ;;
esac
PROBE
chmod 755 "$probe"
mkdir -p /dev/disk/by-uuid
: > "/dev/disk/by-uuid/$LAB_ROOT_UUID"
update-grub
rm -r /dev/disk
mv "$probe.kept" "$probe"
