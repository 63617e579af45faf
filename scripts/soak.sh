#!/bin/sh
# Containers by the thousand while the daemon is killed at random: npm run soak -- [--containers N] [--clients N] [--seed N] [--limit minutes] [--write docs/reliability.md]
. "$(dirname "$0")/lib.sh"
sh scripts/setup.sh tests
sh scripts/build.sh
exec "$bun" scripts/soak.ts "$@"
