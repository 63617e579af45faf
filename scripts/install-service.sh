#!/bin/sh
# Installs Berth on this machine: /usr/local/bin/berth, the group whose members may use the socket, and a systemd service.
#   npm run install-service             install, enable and start
#   npm run install-service -- remove   stop, disable and remove; containers, images and volumes in /var/lib/berth stay
. "$(dirname "$0")/lib.sh"

unit=/etc/systemd/system/berth.service
binary=/usr/local/bin/berth
link=/usr/local/bin/docker
group=docker

need_linux
need_root "npm run install-service"

if [ ! -d /run/systemd/system ]; then
  fail "systemd does not run on this machine, so there is nothing to install a service into" \
    "Start the daemon yourself instead: dist/berth daemon" \
    "or let your own service manager start it; scripts/berth.service shows what it should look like."
fi

case ${1:-} in
remove)
  say "stopping and removing the service"
  systemctl disable --now berth.service 2>/dev/null || true
  rm -f "$unit" "$binary"
  if [ "$(readlink "$link" 2>/dev/null)" = berth ]; then rm -f "$link"; fi
  systemctl daemon-reload
  note "what Berth stores is still in /var/lib/berth"
  exit 0
  ;;
'') ;;
*) fail "unknown argument $1" "There is only: remove" ;;
esac

sh scripts/setup.sh
sh scripts/build.sh

if ! getent group "$group" >/dev/null; then
  say "making the group $group: its members may use the socket, which is as good as being root"
  groupadd --system "$group"
fi

say "installing $binary and $unit"
install -D -m 755 dist/berth "$binary.new"
mv -f "$binary.new" "$binary"
install -D -m 644 README.md /usr/local/share/doc/berth/README.md
install -D -m 644 scripts/berth.service "$unit"
if [ -e "$link" ] && [ "$(readlink "$link" || true)" != berth ]; then
  note "$link exists already and is left alone; Berth's command line is called berth"
else
  ln -sfn berth "$link"
fi

systemctl daemon-reload
systemctl enable berth.service
systemctl restart berth.service
DOCKER_HOST=unix:///run/berth.sock
export DOCKER_HOST
tries=0
until "$binary" version >/dev/null 2>&1; do
  tries=$((tries + 1))
  [ $tries -lt 100 ] || fail "the service does not answer within ten seconds" "See: journalctl -u berth.service"
  sleep 0.1
done
say "the service runs: systemctl status berth"
note "clients find it with DOCKER_HOST=unix:///run/berth.sock"
