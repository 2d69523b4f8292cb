#!/bin/sh
# Build a Go program, once: tools/go.sh MODULE VERSION PACKAGE PROGRAM FOLDER makes FOLDER/PROGRAM.
# `go install` fails behind proxies that keep no list of versions, so the source is copied out of the module cache.
set -eu
module=$1 version=$2 package=$3 program=$4 folder=$5

# What was built is written beside it, so another version is built anew.
built=$folder/.$program.version
if [ -x "$folder/$program" ] && [ "$(cat "$built" 2>/dev/null)" = "$version" ]; then exit 0; fi
if ! command -v go >/dev/null; then
    echo "voxkeep needs Go to build $program $version: it is not on PATH. Install Go, then run this again." >&2
    exit 1
fi

echo "building $program $version, once" >&2
answer=$(go mod download -json "$module@$version") || { echo "$answer" >&2; exit 1; }
source=$(echo "$answer" | sed -n 's/.*"Dir": "\(.*\)",*/\1/p')
build=$(mktemp -d)
trap 'chmod -R u+w "$build"; rm -rf "$build"' EXIT
cp -R "$source/." "$build"
chmod -R u+w "$build"
# -mod=mod: some modules are published with a go.sum that lacks lines.
(cd "$build" && CGO_ENABLED=0 go build -mod=mod -trimpath -buildvcs=false -ldflags "-s -w" \
    -o "$build/program.new" "$package" 2>"$build/build.log") || { cat "$build/build.log" >&2; exit 1; }
mkdir -p "$folder"
cp "$build/program.new" "$folder/.$program.$$"
mv "$folder/.$program.$$" "$folder/$program"
echo "$version" >"$built"
