#!/bin/sh
# Measures Berth beside a Docker daemon: npm run bench -- [--vs unix:///path/of/docker.sock] [--rounds N] [--only name] [--write docs/performance.md]
. "$(dirname "$0")/lib.sh"
sh scripts/setup.sh tests
sh scripts/build.sh
exec "$bun" bench/main.ts "$@"
