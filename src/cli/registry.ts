import type { Commands, Entry } from './command.ts';

// Each command's module is loaded when the command is called: start-up pays for one command only.
const container = {
  create: { short: 'Create a container without starting it', load: () => import('./commands/container/create.ts') },
  run: { short: 'Create a container from an image and run it', load: () => import('./commands/container/run.ts') },
} as const satisfies Commands;

const containerList: Entry = { short: 'List containers', load: () => import('./commands/container/list.ts') };
const imageList: Entry = { short: 'List images', load: () => import('./commands/image/list.ts') };

const image = {} as const satisfies Commands;

/** Every command there is. */
export const commands: Commands = {
  ...container,
  ...image,
  ps: containerList,
  images: imageList,
  version: { short: 'Show the versions of client and daemon', load: () => import('./commands/system/version.ts') },
  container: {
    short: 'Manage containers',
    commands: {
      ...container,
      ls: { ...containerList, also: ['list', 'ps'] },
    },
  },
  context: {
    short: 'Manage contexts: names for daemons',
    commands: {},
  },
  image: {
    short: 'Manage images',
    commands: {
      ...image,
      ls: { ...imageList, also: ['list'] },
    },
  },
  network: {
    short: 'Manage networks',
    commands: {},
  },
  system: {
    short: 'Manage the daemon',
    commands: {},
  },
  volume: {
    short: 'Manage volumes',
    commands: {},
  },
};

/** The commands shown first. */
export const commonCommands = ['run', 'exec', 'ps', 'pull', 'push', 'images', 'login', 'logout', 'search', 'version', 'info'];
