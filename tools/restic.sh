#!/bin/sh
# Make sure that there is a restic >= 0.19.1: the one on PATH, or one built into the folder $1 with Go.
set -eu
version=0.19.1
folder=$1
mkdir -p "$folder"

new_enough() {
    found=$("$1" version 2>/dev/null | sed -n 's/^restic \([0-9.]*\).*/\1/p')
    [ -n "$found" ] && [ "$(printf '%s\n%s\n' "$version" "$found" | sort -V | head -n 1)" = "$version" ]
}

if command -v restic >/dev/null && new_enough restic; then exit 0; fi
if [ -x "$folder/restic" ] && new_enough "$folder/restic"; then exit 0; fi
if ! command -v go >/dev/null; then
    echo "voxkeep needs restic $version or newer. Install it, or install Go so that it can be built here." >&2
    exit 1
fi
exec sh "$(dirname "$0")/go.sh" github.com/restic/restic "v$version" ./cmd/restic restic "$folder"
