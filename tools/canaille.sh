#!/bin/sh
# Install Canaille, an OpenID provider, into an environment of its own below the folder $1, for the tests of the page.
set -eu
version=0.3.6
folder=$1/canaille
if [ "$(cat "$folder/.version" 2>/dev/null)" = "$version" ]; then exit 0; fi
echo "installing Canaille $version, once" >&2
bin=$(dirname "$0")/../.venv/bin
"$bin/uv" venv --quiet --clear --python "$bin/python" "$folder"
"$bin/uv" pip install --quiet --python "$folder/bin/python" "canaille[front,oidc,server]==$version"
echo "$version" >"$folder/.version"
