#!/bin/sh
# Builds dist/berth, the one executable, and dist/docker, the link through which it answers as `docker`.
. "$(dirname "$0")/lib.sh"

need_linux
ensure_npm_packages
say "building dist/berth"
mkdir -p dist
# --bytecode parses at build time instead of at every start; top-level await needs the ESM format with it. --splitting keeps each role and each
# command in a chunk of its own, so that a short command reads little. A .env or bunfig.toml in the user's directory is not ours to read.
quietly "the build" "$bun" build --compile --minify --bytecode --splitting --format=esm --target=bun \
  --no-compile-autoload-dotenv --no-compile-autoload-bunfig src/main/berth.ts --outfile dist/berth.new
mv -f dist/berth.new dist/berth
ln -sfn berth dist/docker
say "built dist/berth ($(du -m dist/berth | cut -f1) MB) and the link dist/docker"
