#!/bin/sh
# Build MinIO's server into the folder $1, for the tests and `make cluster` (about two minutes, once).
set -eu
exec sh "$(dirname "$0")/go.sh" github.com/minio/minio v0.0.0-20260212201848-7aac2a2c5b7c . minio "$1"
