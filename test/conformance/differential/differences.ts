/** Where what the tables of this folder compare is not alike, and is not meant to be. */
export interface Difference {
  /** The command line or request it shows in; undefined: any. */
  readonly where?: RegExp;
  /** Lines of Docker's that are not there, or are others. With neither of the two, lines in another order. */
  readonly theirs?: RegExp;
  /** Lines of ours that are not there in Docker's. */
  readonly ours?: RegExp;
  /** Docker's order is that of a hash table, which may be ours. */
  readonly byChance?: true;
}

/** Those that Berth means, by the first cell of their row in docs/compatibility.md. */
export const differences: Readonly<Record<string, readonly Difference[]>> = {
  'order of `docker diff`': [
    { where: /diff %n$/, byChance: true },
    { where: /\/changes$/, theirs: /^\[\d+\]\.(?:Kind|Path): /, ours: /^\[\d+\]\.(?:Kind|Path): /, byChance: true },
  ],
  'a working directory that the image does not have': [
    { where: /^1 diff %n/, theirs: /^A \/work$/ },
    { where: /^events of starts that fail/, ours: /^(?:create|attach|destroy) .*name=story\d+3$/ },
  ],
  '`docker cp` with a running container': [
    { where: /cp %f\/env %n:\/scratch/, theirs: /^exit 1$|container rootfs is marked read-only/, ours: /^exit 0$/ },
    { where: /^events of cp where nothing may be written/, ours: /^extract-to-dir / },
  ],
  '`docker commit` of a running container': [{ where: /^events of commit of a running container/ }],
  '`PUT …/archive` with a body that is no tar': [
    { where: /^PUT .*path=\/tmp$/, theirs: /^status [25]00$|unexpected EOF/, ours: /^status 400$|application\/json|damaged|truncated/ },
  ],
  'a path through a file, such as `/etc/passwd/x`, in `…/archive`': [
    { where: /path=\/etc\/passwd\/x$/, theirs: /^status 500$|lstat /, ours: /^status 400$|not a directory/ },
  ],
  '`docker top` with options of `ps`': [
    { where: /top %n -e?o (?:args|comm,user)$/, theirs: /^exit 1$|Couldn't find PID field/, ours: /^exit 0$|^COMMAND|^sleep/ },
    { where: /^events of top and port/, ours: /^top / },
    { where: /top %n nonsense/, theirs: /ps: error/, ours: /ps: unsupported argument/ },
  ],
  'a relative working directory of an exec': [
    { where: /exec -w relative/, theirs: /^exit 126$|Cwd must be an absolute path/, ours: /^exit 1$|needs to be an absolute path/ },
    { where: /^events of exec in all ways/, theirs: /^exec_(?:create|start): false / },
  ],
  'the cgroup namespace on a machine with cgroup version 1': [{ theirs: /\.CgroupnsMode: "host"$/, ours: /\.CgroupnsMode: "private"$/ }],
  'the runtime that is used when none is chosen': [
    { theirs: /\.Runtime: "runc"$/, ours: /\.Runtime: "crun"$/ },
    { where: /exec -w \/no\/such\/place/, theirs: /chdir to cwd/, ours: /chdir `/ },
  ],
  'resizing what has no terminal': [
    { where: /%r\/resize\?h=1&w=1$/, theirs: /^status 200$/, ours: /^status 400$|application\/json|no terminal/ },
  ],
  'attaching to neither the stream nor the logs': [{ where: /%s\/attach\?stdout=1$/, theirs: /^status 200$/, ours: /^status 400$/ }],
  'words about values that cannot be read': [
    { where: /kill -s 99/, theirs: /does not support signal 99/, ours: /invalid signal: 99/ },
    { where: /exited=x/, theirs: /strconv/, ours: /it must be an exit code/ },
    { where: /until.*nonsense/, theirs: /failed to parse value as time or duration/, ours: /invalid time/ },
    { where: /filters=nonsense/, theirs: /invalid character/, ours: /is not JSON/ },
    { where: /since=x/, theirs: /strconv/, ours: /no time in seconds/ },
    { where: /resize/, theirs: /strconv/, ours: /invalid resize parameter/ },
    { where: /exec$/, theirs: /Invalid escape keys/, ours: /Invalid detach keys/ },
    { where: /create$/, theirs: /Config cannot be empty/, ours: /no image specified/ },
    { where: /since=2&until=1/, theirs: /since` time \(2\)/, ours: /since` time cannot/ },
  ],
};

/** What has changed in Docker itself since the version that is compared with (20.10): Berth answers as newer ones do. */
export const changedSince: readonly Difference[] = [
  { theirs: /Invalid signal: NOPE/, ours: /invalid signal: NOPE/ },
  { theirs: /Cannot kill container: .*: Container <id> is not running/, ours: /cannot kill container: .*: container <id> is not running/ },
  { theirs: /Container <id> is not running/, ours: /container <id> is not running/ },
  { theirs: /You cannot remove a (?:running|paused) container/, ours: /cannot remove container .*: container is (?:running|paused)/ },
  { theirs: /: failed to create shim task: /, ours: /: failed to create task for container: failed to create shim task: / },
  { theirs: /run is not a valid change command/, ours: /RUN is not a valid change command/ },
  { theirs: /Invalid filter '/, ours: /invalid filter '/ },
  { theirs: /no such container nosuch/, ours: /No such container: nosuch/ },
  // A program that is not there, or is a directory.
  { where: /exec %n nosuch|exec -w \/no\/such\/place/, theirs: /^exit 126$/, ours: /^exit 127$/ },
  { where: /exec %n \/etc$/, theirs: /permission denied/, ours: /is a directory/ },
  // Wrong requests are the client's fault.
  { where: /filters=nonsense|limit=x|since=x|until.*nonsense|%r\/exec$|\/unpause$/, theirs: /^status 500$/, ours: /^status 4(?:00|09)$/ },
  { where: /exec\/%e\/start/, theirs: /^status 200$|raw-stream/, ours: /^status 409$|application\/json|has already run/ },
  { where: /exec\/%e\/resize\?h=1/, theirs: /^status 404$|no such exec/, ours: /^status 409$|is not running/ },
  { where: /resize\?h=-1/, theirs: /^status 200$/, ours: /^status 400$|application\/json|invalid resize/ },
  { where: /condition=nonsense/, theirs: /^status 200$|StatusCode/, ours: /^status 400$|invalid condition/ },
  { where: /\/wait/, theirs: /^\.Error: <empty>$/ },
  // Fields.
  { theirs: /\.NetworkMode: "default"$/, ours: /\.NetworkMode: "bridge"$/ },
  { theirs: /\.RestartPolicy\.Name: <empty>$/, ours: /\.RestartPolicy\.Name: "no"$/ },
  { theirs: /\.OomKillDisable: false$/, ours: /\.OomKillDisable: <empty>$/ },
  { theirs: /\.MaskedPaths\[\d+\]: /, ours: /\.MaskedPaths\[\d+\]: / },
  { ours: /\.(?:DNSNames: <empty>|GwPriority: 0)$/ },
];
