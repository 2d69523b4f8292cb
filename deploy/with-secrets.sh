#!/bin/sh
# The containers' entry point: gives a program its secrets by environment, then becomes it. For each variable
# NAME_FILE=/run/secrets/… the content of the file is NAME, so that no secret stands in an image or a compose file.
set -eu
for name in $(env | sed -n 's/^\([A-Z][A-Z0-9_]*\)_FILE=\/run\/secrets\/.*/\1/p'); do
    eval "file=\$${name}_FILE"
    # shellcheck disable=SC2154 # eval has just set it
    value=$(cat "$file")
    export "$name=$value"
    unset "${name}_FILE"
done
exec "$@"
