#!/bin/sh
# Measures Berth beside a Docker daemon: npm run bench -- [--vs unix:///path/of/docker.sock] [--rounds N] [--only name] [--write docs/performance.md]
# or Berth's registry beside Debian's: npm run bench -- --registry [--rounds N] [--write docs/performance-registry.md]
# or Berth's storage drivers beside each other: npm run bench -- --storage [--rounds N]
. "$(dirname "$0")/lib.sh"
sh scripts/setup.sh tests
sh scripts/build.sh
case " $* " in *" --registry "*) exec "$bun" bench/registry.ts "$@" ;; esac
case " $* " in *" --storage "*) exec "$bun" bench/storage-drivers.ts "$@" ;; esac
exec "$bun" bench/main.ts "$@"
