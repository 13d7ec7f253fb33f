#!/bin/sh
# Jaeger v2 on this machine, until Ctrl-C: as a container where Docker runs, else built once from its
# Go module. Traces over OTLP on 4317 and 4318, queries on 16686, all on loopback alone.
set -eu

IMAGE=jaegertracing/jaeger:2.15.0
# Of the v2 releases the last that Go's proxy has: v2.13 was published as v1.76.0.
MODULE=github.com/jaegertracing/jaeger
VERSION=v1.76.0

here=$(cd "$(dirname "$0")" && pwd)
tools=$here/../../.tools/jaeger-$VERSION

say() { echo "jaeger: $*" >&2; }

run_container() {
  say "$IMAGE; pages at http://127.0.0.1:16686"
  exec docker run --rm --name ztad-jaeger --env JAEGER_LISTEN_HOST=0.0.0.0 \
    --volume "$here/in-memory.yaml:/etc/jaeger.yaml:ro" \
    --publish 127.0.0.1:4317:4317 --publish 127.0.0.1:4318:4318 \
    --publish 127.0.0.1:16686:16686 "$IMAGE" --config=/etc/jaeger.yaml
}

# The module replaces one of its requirements, which 'go install' refuses: it is built from a copy.
build() {
  say "building $MODULE@$VERSION once, in the background of whatever else runs: 5 to 10 minutes"
  mkdir -p "$tools"
  folder=$(go mod download -json "$MODULE@$VERSION" | sed -n 's/^[[:space:]]*"Dir": "\(.*\)",*$/\1/p')
  rm -rf "$tools/source"
  cp -R "$folder" "$tools/source"
  chmod -R u+w "$tools/source"
  (
    cd "$tools/source"
    GOMAXPROCS=1 GOFLAGS="-p=1 -buildvcs=false" nice -n 19 \
      go build -trimpath -ldflags "-s -w" -o "$tools/jaeger" ./cmd/jaeger
  )
  rm -rf "$tools/source"
}

if docker info >/dev/null 2>&1; then
  run_container
fi
if [ ! -x "$tools/jaeger" ]; then
  if ! command -v go >/dev/null; then
    say "needs a running Docker, or Go 1.25 or later to build it: install one of them"
    exit 1
  fi
  build
fi
say "its pages are not in the Go module: ask http://127.0.0.1:16686/api/traces/TRACE_ID"
exec "$tools/jaeger" --config="$here/in-memory.yaml"
