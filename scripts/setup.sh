#!/bin/sh
# Makes this machine ready: `setup.sh` for running Berth, `setup.sh tests` for its tests and benchmarks as well. Repeatable: does only what is missing.
. "$(dirname "$0")/lib.sh"

need_linux
ensure_npm_packages
[ "${BERTH_NO_APT:-}" = 1 ] || need_apt

ensure_debian_packages ca-certificates crun runc conmon nftables libnftables1 iproute2 tini busybox-static bzip2 xz-utils zstd
for tool in conmon nft ip busybox; do
  command -v "$tool" >/dev/null || fail "$tool is missing" "Install the package that has it, then run this again."
done
command -v crun >/dev/null || command -v runc >/dev/null || fail "no OCI runtime: neither crun nor runc is installed"

[ "${1:-}" = tests ] || exit 0
need_root "npm test"

ensure_debian_packages debootstrap debian-archive-keyring skopeo python3-docker docker-compose openssl iptables libdevmapper1.02.1 openssh-client procps kmod cpio e2fsprogs btrfs-progs xfsprogs fuse-overlayfs socat
mkdir -p .cache
unpack_debian_packages "$root/.cache/docker" docker.io containerd docker-registry
unpack_debian_packages "$root/.cache/rsyslog" rsyslog rsyslog-openssl libestr0 libfastjson4
unpack_debian_packages "$root/.cache/firewalls" ufw firewalld python3-firewall python3-nftables python3-gi python3-dbus gir1.2-glib-2.0 libgirepository-1.0-1 dbus-daemon libdbus-1-3
unpack_debian_packages "$root/.cache/file-servers" nfs-kernel-server libwrap0 libtirpc3 libtirpc-common libevent-core-2.1-7
unpack_criu "$root/.cache/criu"
unpack_buildx "$root/.cache/buildx"
if [ "$(uname -m)" = x86_64 ]; then
  ensure_debian_packages qemu-system-x86
  update_kernel=$(apt-cache depends linux-image-cloud-amd64 2>/dev/null | sed -n 's/.*Depends: *\(linux-image-[0-9].*\)/\1/p' | head -n 1)
  if [ -z "$update_kernel" ] && [ ! -f .cache/kernel/.packages ]; then
    update_package_lists
    update_kernel=$(apt-cache depends linux-image-cloud-amd64 2>/dev/null | sed -n 's/.*Depends: *\(linux-image-[0-9].*\)/\1/p' | head -n 1)
  fi
  if [ -n "$update_kernel" ] && [ ! -f .cache/kernel/.packages ]; then unpack_debian_packages "$root/.cache/kernel" "$update_kernel"; fi
fi
