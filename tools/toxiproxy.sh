#!/bin/sh
# Build Toxiproxy into the folder $1: a network that fails on purpose, for the tests.
set -eu
exec sh "$(dirname "$0")/go.sh" github.com/Shopify/toxiproxy/v2 v2.12.0 ./cmd/server toxiproxy "$1"
