#!/bin/sh
# Installs what is missing, then runs every test. The last line counts them all.
#   npm test -- [suite…]    only these suites (see scripts/test.ts)
. "$(dirname "$0")/lib.sh"
sh scripts/setup.sh tests
exec "$bun" scripts/test.ts "$@"
