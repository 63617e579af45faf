#!/bin/sh
# How Berth bears 200 running containers and 1,000 stopped ones: npm run scale
. "$(dirname "$0")/lib.sh"
sh scripts/setup.sh tests
sh scripts/build.sh
BERTH_SCALE=full BERTH_TEST_BINARY=dist/berth exec "$bun" test ./test/e2e/scale --timeout 900000
