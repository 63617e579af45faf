# Shared by the scripts in this folder: `. "$(dirname "$0")/lib.sh"`. Leaves the caller in the project's root.

set -eu
cd "$(dirname "$0")/.."
root=$PWD
bun=$root/node_modules/.bin/bun

say() { printf '==> %s\n' "$*"; }
note() { printf '    %s\n' "$*"; }
fail() {
  printf 'error: %s\n' "$1" >&2
  shift
  for line in "$@"; do printf '       %s\n' "$line" >&2; done
  exit 1
}

# Runs a command with its output kept aside; shows the output only when the command fails.
quietly() {
  what=$1
  shift
  log=$(mktemp)
  if "$@" >"$log" 2>&1 </dev/null; then
    rm -f "$log"
  else
    code=$?
    tail -n 40 "$log" >&2
    rm -f "$log"
    fail "$what failed with exit code $code: $*" "The lines above are the end of what it said."
  fi
}

need_linux() {
  [ "$(uname -s)" = Linux ] || fail "this needs Linux, and this is $(uname -s)" "Run it in a Linux machine or VM; Debian 12 and Ubuntu 24.04 are the ones it is made for."
  case $(uname -m) in
  x86_64 | aarch64) ;;
  *) fail "the processor is $(uname -m); Bun exists for x86_64 and aarch64 only" ;;
  esac
}

need_root() {
  [ "$(id -u)" = 0 ] || fail "this needs root, and you are $(id -un)" "Containers, networks and package installation are made by root. Try: sudo $1"
}

need_apt() {
  if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
    name=$(. /etc/os-release 2>/dev/null && echo "${PRETTY_NAME:-unknown}" || echo unknown)
    fail "this set-up installs Debian packages with apt-get, which this system ($name) does not have" \
      "On another distribution install these by hand and run it again with BERTH_NO_APT=1:" \
      "crun or runc, conmon, nftables, iproute2, tini, a static busybox"
  fi
}

# The npm packages, exactly as package-lock.json says. Does nothing when they are there already.
ensure_npm_packages() {
  if ! command -v npm >/dev/null; then fail "npm is not installed" "Install Node 18 or newer with npm, for example: apt-get install nodejs npm"; fi
  if ! npm_packages_match; then
    say "installing the npm packages of package-lock.json"
    quietly "npm ci" npm ci --no-audit --no-fund
  fi
  ensure_bun
}

# npm records what it installed in node_modules/.package-lock.json. Packages for other platforms are optional and not among them.
npm_packages_match() {
  node - <<'EOF' 2>/dev/null
    const { readFileSync } = require('node:fs');
    const packages = file => Object.entries(JSON.parse(readFileSync(file, 'utf8')).packages).filter(([path]) => path !== '');
    const installed = new Map(packages('node_modules/.package-lock.json'));
    const same = packages('package-lock.json').every(([path, { version, optional }]) => (installed.get(path)?.version ?? (optional ? version : undefined)) === version);
    process.exit(same ? 0 : 1);
EOF
}

# npm keeps the executable in a platform package (@oven/bun-linux-…); Bun's postinstall script puts it in place. npm 11 may hold such scripts back.
ensure_bun() {
  wanted=$(node -p "require('./package.json').dependencies.bun")
  if [ "$("$bun" --version 2>/dev/null)" != "$wanted" ]; then
    note "Bun's postinstall script was held back by npm; running it: node node_modules/bun/install.js"
    quietly "Bun's install script" node node_modules/bun/install.js
  fi
  got=$("$bun" --version 2>/dev/null || true)
  [ "$got" = "$wanted" ] || fail "node_modules/.bin/bun should be Bun $wanted but ${got:-does not run}" \
    "Remove node_modules and run this again; if it stays, see whether npm could fetch @oven/bun-linux-*."
}

# ensure_debian_packages NAME…: installs those that are missing.
ensure_debian_packages() {
  [ "${BERTH_NO_APT:-}" != 1 ] || return 0
  missing=
  for package in "$@"; do
    case $(dpkg-query -W -f='${Status}' "$package" 2>/dev/null || true) in
    *' installed') ;;
    *) missing="$missing $package" ;;
    esac
  done
  [ -n "$missing" ] || return 0
  need_root "$0"
  say "installing Debian packages:$missing"
  update_package_lists
  # shellcheck disable=SC2086
  quietly "apt-get install" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing
}

update_package_lists() {
  if [ -z "${lists_updated:-}" ]; then
    quietly "apt-get update" apt-get update
    lists_updated=1
  fi
}

# unpack_debian_packages DIR NAME…: unpacks packages below DIR without installing them, so that none of their services starts.
unpack_debian_packages() {
  dir=$1
  shift
  stamp=$dir/.packages
  [ "$(cat "$stamp" 2>/dev/null)" != "$*" ] || return 0
  say "unpacking Debian packages into $dir: $*"
  update_package_lists
  rm -rf "$dir" "$dir.debs"
  mkdir -p "$dir" "$dir.debs"
  # apt drops its privileges to download; the folder must be open to it.
  chmod 777 "$dir.debs"
  (cd "$dir.debs" && quietly "apt-get download" apt-get download "$@")
  for deb in "$dir.debs"/*.deb; do dpkg -x "$deb" "$dir"; done
  rm -rf "$dir.debs"
  printf '%s' "$*" >"$stamp"
}

# unpack_newer SUITE DIR WHAT apt-get-words…: downloads packages of a newer Debian with an apt of their own and unpacks them below DIR; the system stays as it
# is. Returns 1, having said what is skipped (WHAT), where that suite cannot be reached.
unpack_newer() {
  suite=$1
  dir=$2
  what=$3
  shift 3
  [ "${BERTH_NO_APT:-}" != 1 ] || return 1
  mirror=$(apt-get indextargets --format '$(REPO_URI) $(COMPONENT)' 2>/dev/null | awk '$1 ~ /\/debian\/?$/ && $2 == "main" { print $1; exit }')
  if [ -z "$mirror" ]; then
    note "no Debian mirror is configured here: $what are skipped"
    return 1
  fi
  say "unpacking packages of Debian $suite into $dir"
  rm -rf "$dir" "$dir.apt"
  mkdir -p "$dir" "$dir.apt/lists/partial" "$dir.apt/cache/archives/partial"
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >"$dir.apt/sources.list"
  apt_of_suite() {
    apt-get -o Dir::State::lists="$dir.apt/lists" -o Dir::Cache="$dir.apt/cache" -o Dir::Etc::sourcelist="$dir.apt/sources.list" \
      -o Dir::Etc::sourceparts=/dev/null -o Dir::State::status=/dev/null -o APT::Sandbox::User=root "$@" >"$dir.apt/log" 2>&1 </dev/null
  }
  if ! apt_of_suite update || ! (cd "$dir.apt/cache/archives" && apt_of_suite "$@"); then
    note "Debian $suite cannot be reached: $what are skipped"
    rm -rf "$dir" "$dir.apt"
    return 1
  fi
  for deb in "$dir.apt"/cache/archives/*.deb; do dpkg -x "$deb" "$dir"; done
  rm -rf "$dir.apt"
}

# unpack_criu DIR: CRIU of a newer Debian with its own libraries, started by DIR/criu: that of Debian 12 does not know recent kernels. Tests can do without.
unpack_criu() {
  dir=$1
  [ ! -x "$dir/criu" ] || return 0
  unpack_newer trixie "$dir" "tests of checkpoints with CRIU" -y --no-install-recommends --download-only install criu || return 0
  loader=$(find "$dir/usr" -name 'ld-linux*' | head -n 1)
  libraries=$(find "$dir/usr/lib" -maxdepth 1 -name '*-linux-gnu' | head -n 1)
  printf '#!/bin/sh\nexec %s --library-path %s %s/usr/sbin/criu "$@"\n' "$loader" "$libraries" "$dir" >"$dir/criu"
  chmod +x "$dir/criu"
}

# unpack_buildx DIR: a current docker command line with its plugins buildx and compose. They are static, or nearly so. Tests can do without.
unpack_buildx() {
  [ ! -x "$1/usr/libexec/docker/cli-plugins/docker-buildx" ] || return 0
  unpack_newer forky "$1" "tests with buildx and compose 2" download docker-cli docker-buildx docker-compose || return 0
}
