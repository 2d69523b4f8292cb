#!/bin/sh
# Make sure that there is a restic >= 0.19.1: the one on PATH, or one built into the folder $1 with Go.
# `go install` fails behind proxies that keep no list of versions, so the source is copied out of the module cache.
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

echo "building restic $version, once (about a minute)" >&2
source=$(go mod download -json "github.com/restic/restic@v$version" | sed -n 's/.*"Dir": "\(.*\)",*/\1/p')
build=$(mktemp -d)
trap 'chmod -R u+w "$build"; rm -rf "$build"' EXIT
cp -R "$source/." "$build"
chmod -R u+w "$build"
(cd "$build" && CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w" -o "$build/restic.new" ./cmd/restic)
mv "$build/restic.new" "$folder/restic"
