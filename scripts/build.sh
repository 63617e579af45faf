#!/bin/sh
# Builds dist/berth, the one executable, and dist/docker, the link through which it answers as `docker`.
. "$(dirname "$0")/lib.sh"

need_linux
ensure_npm_packages
mkdir -p dist
# --bytecode parses at build time instead of at every start; top-level await needs the ESM format with it.
quietly "the build" "$bun" build --compile --minify --bytecode --format=esm --target=bun src/main/berth.ts --outfile dist/berth.new
mv -f dist/berth.new dist/berth
ln -sfn berth dist/docker
say "built dist/berth ($(du -m dist/berth | cut -f1) MB) and the link dist/docker"
