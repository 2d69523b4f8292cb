#!/bin/sh
# Install Debian packages of which a program is missing: tools/debian.sh PROGRAM PACKAGE…
set -eu
program=$1
shift
command -v "$program" >/dev/null || ls /usr/lib/postgresql/*/bin/"$program" /usr/sbin/"$program" >/dev/null 2>&1 && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "voxkeep's tests need $program; install it: apt-get install $*" >&2
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -qq -y --no-install-recommends "$@" >/dev/null
