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
  'labels in `delete` events of images': [
    { where: /^events of images: /, theirs: /^delete name=sha256:<id>$/, ours: /^delete .*name=sha256:<id>/ },
    { where: /^events of images: (?:import|prune|removal)/, byChance: true },
  ],
  'a push of what is not here': [
    {
      where: /^1 push %g|^2 push %g/,
      theirs: /^The push refers to|^stderr: (?:tag|An image) does not exist/,
      ours: /^stderr: Error response.*(?:tag|An image) does not exist/,
    },
  ],
  'words about values that cannot be read': [
    { where: /reference=\[/, theirs: /syntax error in pattern/, ours: /invalid reference pattern/ },
    { where: /platform nonsense/, theirs: /cannot parse platform specifier/, ours: /invalid platform/ },
    { where: /(?:import|load -i) %f\/env$/, theirs: /Error processing tar file/, ours: /truncated tar archive/ },
    { where: /tag=-$/, theirs: /invalid tag format"$/, ours: /invalid tag format: / },
    { where: /images\/create$/, theirs: /no Host in request URL|^status 500$/, ours: /nothing to create an image from|^status 400$/ },
    { where: /fromSrc=ftp/, theirs: /Get \\"ftp|^status 500$/, ours: /cannot download ftp|^status 400$/ },
    { where: /images\/search$/, theirs: /index\.docker\.io|^status 500$/, ours: /it is empty|^status 400$/ },
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
  { theirs: /(?:run|nosuch) is not a valid change command/, ours: /(?:RUN|NOSUCH) is not a valid change command/ },
  { theirs: /invalid reference format: repository name must be lowercase/, ours: /repository name \(library\/UPPER\) must be lowercase/ },
  { theirs: /Limit \d+ is outside the range/, ours: /limit \d+ is outside the range/ },
  { theirs: /no such image: nosuch: No such image: nosuch:latest/, ours: /"No such image: nosuch:latest"/ },
  { where: /save|\/get/, theirs: /No such image: nosuch"?$/, ours: /No such image: nosuch:latest"?$/ },
  { where: /^12 inspect .* %n:arm/, theirs: /linux\/amd64/, ours: /linux\/arm64/ },
  { where: /term=https/, theirs: /Invalid repository name/, ours: /should not have a scheme/ },
  {
    where: /\/images\/nosuch\/push/,
    theirs: /X-Registry-Auth|^status 400$/,
    ours: /does not exist locally with the tag: nosuch|^status 404$/,
  },
  { where: /images\/(?:search\?term|busybox\/tag)/, theirs: /^status 500$/, ours: /^status 400$/ },
  { where: /^POST \/auth$/, theirs: /^status 500$/, ours: /^status 503$/ },
  // Its end is told when it comes.
  { where: /^events of a detached exec/, byChance: true },
  // Each tag is told of by itself.
  { where: /^events of images: push and pull/, theirs: /^(?:push|pull) name=%g/, ours: /^(?:push|pull) name=%g/, byChance: true },
  { where: /^events of images: push and pull/, byChance: true },
  // What the configuration of an image does not have comes from its present one: Compose 1 cannot do without.
  { where: /images\/busybox\/json/, theirs: /^\.ContainerConfig\./, ours: /^\.ContainerConfig\./ },
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
