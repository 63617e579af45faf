import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * An OCI runtime that writes down what it is asked, in `asked`, and passes it on to crun, but for `checkpoint` and `restore`: it answers those as `runc`
 * does at its command line, keeping no processes: what is restored begins anew. With a file `fail` a checkpoint fails as one of CRIU's does.
 */
export function recordingRuntime(folder: string): string {
  const path = join(folder, 'recorder');
  writeFileSync(path, script(folder), { mode: 0o755 });
  return path;
}

const script = (folder: string): string => `#!/bin/sh
[ "$1" = --version ] && { echo 'recorder version 1'; exit 0; }
echo "$*" >>'${folder}/asked'
root= log= action=
while [ -z "$action" ]; do
  case $1 in
    --root) root=$2; shift 2 ;;
    --log) log=$2; shift 2 ;;
    --log-format) shift 2 ;;
    --systemd-cgroup) shift ;;
    *) action=$1; shift ;;
  esac
done
crun() { command crun --root "$root" --log "$log" --log-format json "$@"; }
image= work= bundle= pidfile= stay= id=
case $action in
  checkpoint | restore)
    while [ $# -gt 0 ]; do
      case $1 in
        --image-path) image=$2; shift 2 ;;
        --work-path) work=$2; shift 2 ;;
        --bundle) bundle=$2; shift 2 ;;
        --pid-file) pidfile=$2; shift 2 ;;
        --leave-running) stay=1; shift ;;
        --detach | --file-locks) shift ;;
        *) id=$1; shift ;;
      esac
    done ;;
esac
case $action in
  checkpoint)
    if [ -e '${folder}/fail' ]; then
      printf '%s\\n' "(00.1) Error (criu/x.c:1): Can't dump this" '(00.2) Error (criu/cr-dump.c:2): Dumping FAILED.' >"$work/dump.log"
      printf '%s\\n' '{"level":"error","msg":"criu failed: type NOTIFY errno 0\\nlog file: dump.log"}' >>"$log"
      exit 1
    fi
    echo "$id" >"$image/saved"
    [ -n "$stay" ] || crun kill "$id" KILL ;;
  restore)
    [ -e "$image/saved" ] || { echo '{"level":"error","msg":"no checkpoint there"}' >>"$log"; exit 1; }
    crun run --detach --bundle "$bundle" --pid-file "$pidfile" "$id" ;;
  *) crun "$action" "$@" ;;
esac
`;
