#!/bin/sh
# The fast gate: format, lint, layer rules, types, unit and contract tests. The steps run side by side; what one says is shown when it fails.
. "$(dirname "$0")/lib.sh"
ensure_npm_packages
exec "$bun" scripts/ok.ts
