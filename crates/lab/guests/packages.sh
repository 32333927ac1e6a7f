#!/bin/sh
# Adds a guest's own packages to its release's base tree. $1 is the root of the guest; LAB_* come from the recipe.
set -eu
APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-get -q -y --no-install-recommends -o "DPkg::Chroot-Directory=$1" -o Dpkg::Use-Pty=0 \
    install $LAB_PACKAGES
