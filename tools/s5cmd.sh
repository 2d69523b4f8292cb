#!/bin/sh
# Build s5cmd into the folder $1, the peer that `make bench` publishes and lists beside.
set -eu
exec sh "$(dirname "$0")/go.sh" github.com/peak/s5cmd/v2 v2.3.0 . s5cmd "$1"
