#!/bin/sh
# From a bare machine to a running container: set-up, build, daemon, image, container. Repeatable. `quickstart.sh stop` ends the daemon again.
. "$(dirname "$0")/lib.sh"

socket=/run/berth.sock
pidfile=/run/berth.pid
log=/var/log/berth.log
berth() { DOCKER_HOST=unix://$socket DOCKER_CONTEXT='' "$root/dist/berth" "$@"; }
answers() { [ -S "$socket" ] && berth version >/dev/null 2>&1; }

stop_daemon() {
  if [ -f "$pidfile" ] && kill -0 "$(cat "$pidfile")" 2>/dev/null; then
    say "stopping the daemon (process $(cat "$pidfile")); running containers go on, see them with: ps -C conmon"
    pid=$(cat "$pidfile")
    kill -TERM "$pid"
    while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
  else
    say "no daemon runs"
  fi
}

need_linux
need_root "npm run quickstart"
if [ "${1:-}" = stop ]; then
  stop_daemon
  exit 0
fi
[ $# = 0 ] || fail "unknown argument $1" "Without an argument this sets up and starts Berth; with the argument stop it ends the daemon."

sh scripts/setup.sh
if [ ! -x dist/berth ] || [ -n "$(find src package-lock.json -newer dist/berth -type f | head -n 1)" ]; then sh scripts/build.sh; else say "dist/berth is up to date"; fi

if answers; then
  say "a daemon answers at $socket already; using it"
else
  say "starting the daemon: berth daemon (log: $log)"
  setsid "$root/dist/berth" daemon >>"$log" 2>&1 </dev/null &
  tries=0
  until answers; do
    tries=$((tries + 1))
    kill -0 $! 2>/dev/null || fail "the daemon ended right away" "The end of $log:" "$(tail -n 5 "$log")"
    [ $tries -lt 100 ] || fail "the daemon does not answer at $socket within ten seconds" "The end of $log:" "$(tail -n 5 "$log")"
    sleep 0.1
  done
fi

if berth image inspect busybox:latest >/dev/null 2>&1; then
  say "the image busybox:latest is there"
else
  say "pulling busybox:latest"
  if timeout 20 "$root/dist/berth" -H "unix://$socket" pull -q busybox:latest >/dev/null 2>&1; then
    note "pulled"
  else
    note "no registry answers; making the image from this machine's static busybox"
    archive=$("$bun" scripts/base-images.ts busybox)
    berth load -q -i "$archive"
  fi
fi

say "running: berth run --rm busybox echo 'Hello from a container'"
berth run --rm busybox sh -c 'echo "Hello from a container: $(hostname), process $$, kernel $(uname -r)"' || fail "the container did not run" "The end of $log:" "$(tail -n 5 "$log")"

cat <<EOF

Berth runs. Try, from this folder:
  export DOCKER_HOST=unix://$socket
  dist/berth run -it --rm busybox           a shell in a container
  dist/berth run -d --name web -p 8080:80 busybox httpd -f -v -h /etc
  curl http://127.0.0.1:8080/passwd         what it serves
  dist/berth ps                             what runs; dist/berth --help for the rest
  docker ps                                 any Docker client works the same way
Stop:
  dist/berth rm -f web                      remove a container
  npm run quickstart -- stop                end the daemon
  npm run install-service                   or keep it: a systemd service, with the commands berth and docker in /usr/local/bin
EOF
