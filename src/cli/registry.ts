import type { Commands, Entry } from './command.ts';

// Each command's module is loaded when the command is called: start-up pays for one command only.
const container = {
  attach: { short: "Connect this terminal to a running container's streams", load: () => import('./commands/container/attach.ts') },
  commit: { short: 'Make an image of a container', load: () => import('./commands/container/commit.ts') },
  cp: { short: 'Copy files between a container and this machine', load: () => import('./commands/container/cp.ts') },
  create: { short: 'Create a container without starting it', load: () => import('./commands/container/create.ts') },
  diff: { short: 'Show which files of a container differ from its image', load: () => import('./commands/container/diff.ts') },
  exec: { short: 'Run a command in a running container', load: () => import('./commands/container/exec.ts') },
  export: { short: "Write a container's root file system as a tar archive", load: () => import('./commands/container/export.ts') },
  kill: { short: 'Send a signal to running containers', load: () => import('./commands/container/kill.ts') },
  logs: { short: 'Show what a container has written', load: () => import('./commands/container/logs.ts') },
  pause: { short: 'Freeze all processes of containers', load: () => import('./commands/container/pause.ts') },
  port: { short: 'Show the published ports of a container', load: () => import('./commands/container/port.ts') },
  rename: { short: 'Give a container another name', load: () => import('./commands/container/rename.ts') },
  restart: { short: 'Stop containers and start them again', load: () => import('./commands/container/restart.ts') },
  rm: { short: 'Remove containers', load: () => import('./commands/container/remove.ts') },
  run: { short: 'Create a container from an image and run it', load: () => import('./commands/container/run.ts') },
  start: { short: 'Start containers that are stopped', load: () => import('./commands/container/start.ts') },
  stats: { short: 'Show what containers use, as it changes', load: () => import('./commands/container/stats.ts') },
  stop: { short: 'Stop running containers', load: () => import('./commands/container/stop.ts') },
  top: { short: 'Show the processes of a container', load: () => import('./commands/container/top.ts') },
  unpause: { short: 'Let the processes of paused containers go on', load: () => import('./commands/container/unpause.ts') },
  update: { short: 'Change the limits of containers', load: () => import('./commands/container/update.ts') },
  wait: { short: 'Wait for containers to stop and print their exit codes', load: () => import('./commands/container/wait.ts') },
} as const satisfies Commands;

const containerList: Entry = { short: 'List containers', load: () => import('./commands/container/list.ts') };
const imageList: Entry = { short: 'List images', load: () => import('./commands/image/list.ts') };
const imageRemove: Entry = { short: 'Remove images', load: () => import('./commands/image/remove.ts') };

const build: Entry = { short: 'Build an image from a Dockerfile', load: () => import('./commands/image/build.ts') };

const image = {
  build,
  history: { short: 'Show the layers of an image and what made them', load: () => import('./commands/image/history.ts') },
  import: { short: 'Make an image from a tar archive of a root file system', load: () => import('./commands/image/import.ts') },
  load: { short: 'Load images from a tar archive', load: () => import('./commands/image/load.ts') },
  pull: { short: 'Fetch an image from a registry', load: () => import('./commands/image/pull.ts') },
  push: { short: 'Send an image to a registry', load: () => import('./commands/image/push.ts') },
  save: { short: 'Write images to a tar archive', load: () => import('./commands/image/save.ts') },
  tag: { short: 'Give an image another name', load: () => import('./commands/image/tag.ts') },
} as const satisfies Commands;

const events: Entry = { short: 'Show what happens at the daemon, as it happens', load: () => import('./commands/system/events.ts') };
const info: Entry = { short: 'Show what the daemon says about itself and its machine', load: () => import('./commands/system/info.ts') };

/** Every command there is. */
export const commands: Commands = {
  ...container,
  ...image,
  ps: containerList,
  images: imageList,
  rmi: imageRemove,
  events,
  info,
  inspect: { short: 'Show all details of objects of any kind', load: () => import('./commands/system/inspect.ts') },
  login: { short: 'Keep credentials for a registry', load: () => import('./commands/registry/login.ts') },
  logout: { short: 'Forget the credentials for a registry', load: () => import('./commands/registry/logout.ts') },
  search: { short: 'Search for images on a registry', load: () => import('./commands/registry/search.ts') },
  version: { short: 'Show the versions of client and daemon', load: () => import('./commands/system/version.ts') },
  builder: {
    short: 'Manage builds',
    requires: { since: '1.31' },
    commands: {
      build,
      prune: { short: 'Remove build cache', requires: { since: '1.39' }, load: () => import('./commands/builder/prune.ts') },
      du: { short: 'Show what the build cache holds', load: () => import('./commands/builder/disk-usage.ts') },
    },
  },
  buildx: {
    short: 'Build with BuildKit',
    commands: {
      build: { ...build, also: ['b'] },
      du: { short: 'Show what the build cache holds', load: () => import('./commands/builder/disk-usage.ts') },
      imagetools: {
        short: 'Work on images in registries',
        commands: {
          create: { short: 'Make an image of images that registries have', load: () => import('./commands/imagetools/create.ts') },
          inspect: { short: 'Show what a registry has under a name', load: () => import('./commands/imagetools/inspect.ts') },
        },
      },
      prune: { short: 'Remove build cache', requires: { since: '1.39' }, load: () => import('./commands/builder/prune.ts') },
    },
  },
  checkpoint: {
    short: 'Manage checkpoints: processes saved to go on later',
    requires: { since: '1.25', experimental: true },
    commands: {
      create: { short: 'Save the processes of a running container', load: () => import('./commands/checkpoint/create.ts') },
      ls: { short: 'List the checkpoints of a container', load: () => import('./commands/checkpoint/list.ts'), also: ['list'] },
      rm: { short: 'Remove a checkpoint', load: () => import('./commands/checkpoint/remove.ts'), also: ['remove'] },
    },
  },
  container: {
    short: 'Manage containers',
    commands: {
      ...container,
      ls: { ...containerList, also: ['list', 'ps'] },
      inspect: { short: 'Show all details of containers', load: () => import('./commands/container/inspect.ts') },
      prune: { short: 'Remove all stopped containers', requires: { since: '1.25' }, load: () => import('./commands/container/prune.ts') },
      rm: { ...container.rm, also: ['remove'] },
    },
  },
  context: {
    short: 'Manage contexts: names for daemons',
    commands: {
      create: { short: 'Create a context', load: () => import('./commands/context/create.ts') },
      export: { short: 'Write a context to a tar archive', load: () => import('./commands/context/export.ts') },
      import: { short: 'Create a context from an archive', load: () => import('./commands/context/import.ts') },
      inspect: { short: 'Show all details of contexts', load: () => import('./commands/context/inspect.ts') },
      ls: { short: 'List contexts', load: () => import('./commands/context/list.ts'), also: ['list'] },
      rm: { short: 'Remove contexts', load: () => import('./commands/context/remove.ts'), also: ['remove'] },
      show: { short: 'Print the name of the context in use', load: () => import('./commands/context/show.ts') },
      update: { short: 'Change a context', load: () => import('./commands/context/update.ts') },
      use: { short: 'Choose the context to use from now on', load: () => import('./commands/context/use.ts') },
    },
  },
  image: {
    short: 'Manage images',
    commands: {
      ...image,
      inspect: { short: 'Show all details of images', load: () => import('./commands/image/inspect.ts') },
      ls: { ...imageList, also: ['list'] },
      prune: { short: 'Remove images that nothing uses', requires: { since: '1.25' }, load: () => import('./commands/image/prune.ts') },
      rm: { ...imageRemove, also: ['remove'] },
    },
  },
  manifest: {
    short: 'Put together images for several platforms',
    commands: {
      annotate: { short: 'Say what an image of a list runs on', load: () => import('./commands/manifest/annotate.ts') },
      create: { short: 'Put together a list of images for several platforms', load: () => import('./commands/manifest/create.ts') },
      inspect: { short: 'Show a manifest or a list', load: () => import('./commands/manifest/inspect.ts') },
      push: { short: 'Send a list to its registry', load: () => import('./commands/manifest/push.ts') },
      rm: { short: 'Forget lists that are being put together', load: () => import('./commands/manifest/remove.ts') },
    },
  },
  network: {
    short: 'Manage networks',
    commands: {
      connect: { short: 'Connect a container to a network', load: () => import('./commands/network/connect.ts') },
      create: { short: 'Create a network', load: () => import('./commands/network/create.ts') },
      disconnect: { short: 'Disconnect a container from a network', load: () => import('./commands/network/disconnect.ts') },
      inspect: { short: 'Show all details of networks', load: () => import('./commands/network/inspect.ts') },
      ls: { short: 'List networks', load: () => import('./commands/network/list.ts'), also: ['list'] },
      prune: { short: 'Remove networks that nothing uses', requires: { since: '1.25' }, load: () => import('./commands/network/prune.ts') },
      rm: { short: 'Remove networks', load: () => import('./commands/network/remove.ts'), also: ['remove'] },
    },
  },
  system: {
    short: 'Manage the daemon',
    commands: {
      df: { short: 'Show how much disk space is used', requires: { since: '1.25' }, load: () => import('./commands/system/df.ts') },
      'dial-stdio': {
        short: "Connect standard input and output to the daemon's socket",
        load: () => import('./commands/system/dial-stdio.ts'),
        hidden: true,
      },
      events,
      info,
      prune: {
        short: 'Remove everything that nothing uses',
        requires: { since: '1.25' },
        load: () => import('./commands/system/prune.ts'),
      },
      verify: { short: 'Look for damage in images and heal it', load: () => import('./commands/system/verify.ts') },
    },
  },
  volume: {
    short: 'Manage volumes',
    commands: {
      create: { short: 'Create a volume', load: () => import('./commands/volume/create.ts') },
      inspect: { short: 'Show all details of volumes', load: () => import('./commands/volume/inspect.ts') },
      ls: { short: 'List volumes', load: () => import('./commands/volume/list.ts'), also: ['list'] },
      prune: { short: 'Remove volumes that nothing uses', requires: { since: '1.25' }, load: () => import('./commands/volume/prune.ts') },
      rm: { short: 'Remove volumes', load: () => import('./commands/volume/remove.ts'), also: ['remove'] },
    },
  },
};

/** The commands shown first. */
export const commonCommands = ['run', 'exec', 'ps', 'build', 'pull', 'push', 'images', 'login', 'logout', 'search', 'version', 'info'];

/** Words of Docker's that this version does not answer to. */
export const laterCommands: readonly string[] = [
  ...['bake', 'compose', 'config', 'node', 'plugin'],
  ...['secret', 'service', 'stack', 'swarm', 'trust'],
];
