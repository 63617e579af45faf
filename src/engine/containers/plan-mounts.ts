import { invalidArgument, messageOf } from '#base/errors.ts';
import { cleanPath } from './config-merge.ts';
import type { ContainerConfig, HostConfig, MountPoint, MountRequest } from './model.ts';
import { isMountMode, isPropagation, parseMountMode } from './mount-mode.ts';
import { checkTmpfsOptions } from './tmpfs-options.ts';

/** A mount as asked for, checked, before any volume exists. */
export interface PlannedMount {
  readonly type: 'bind' | 'volume' | 'tmpfs' | 'image';
  readonly destination: string;
  /** Host path of a bind; image as asked for. */
  readonly source: string;
  /** Name of a volume; undefined: an anonymous one. */
  readonly volumeName: string | undefined;
  readonly driver: string;
  readonly driverOptions: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  readonly mode: string;
  readonly readWrite: boolean;
  readonly propagation: string;
  /** Whether an empty volume gets what the image has there. */
  readonly copiesImage: boolean;
  readonly subpath: string;
  readonly nonRecursive: boolean;
  readonly recursiveReadOnly: boolean;
  /** Whether a missing bind source is an error instead of being made. */
  readonly mustExist: boolean;
}

/**
 * Every mount a container will have, in the order of precedence: what binds and mounts say replaces what comes from other containers, and a volume of
 * the image only counts where nothing else is mounted. Rejects with InvalidArgument.
 */
export function planMounts(config: ContainerConfig, hostConfig: HostConfig, inherited: readonly MountPoint[]): PlannedMount[] {
  const asked = [...hostConfig.binds.map(bind => parseBind(bind, hostConfig.volumeDriver)), ...hostConfig.mounts.map(planMount)];
  const taken = new Set<string>();
  for (const [path, options] of Object.entries(hostConfig.tmpfs)) {
    if (path !== '' && !path.startsWith('/')) throw invalidArgument(`invalid mount path: '${path}' mount path must be absolute`);
    const destination = checkDestination(path, 'tmpfs');
    checkTmpfsOptions(options);
    if (taken.has(destination)) throw invalidArgument(`Duplicate mount point: ${destination}`);
    taken.add(destination);
  }
  for (const mount of asked) {
    if (taken.has(mount.destination)) throw invalidArgument(`Duplicate mount point: ${mount.destination}`);
    taken.add(mount.destination);
  }
  const all = [...asked];
  for (const mount of inherited.toReversed()) {
    if (taken.has(mount.destination)) continue;
    taken.add(mount.destination);
    all.push(inherit(mount));
  }
  for (const path of config.volumes) {
    const destination = checkDestination(path, 'volume');
    if (taken.has(destination)) continue;
    taken.add(destination);
    all.push({ ...nothingSpecial, type: 'volume', destination, driver: hostConfig.volumeDriver });
  }
  return all;
}

const nothingSpecial = {
  source: '',
  volumeName: undefined,
  driver: '',
  driverOptions: {},
  labels: {},
  mode: '',
  readWrite: true,
  propagation: '',
  copiesImage: true,
  subpath: '',
  nonRecursive: false,
  recursiveReadOnly: true,
  mustExist: false,
} as const satisfies Partial<PlannedMount>;

/** How clients know a volume for which nothing else was said: its content may be shared between containers. */
const sharedMode = 'z';

/** `source:destination[:mode]`, or only a destination for an anonymous volume. */
export function parseBind(text: string, volumeDriver: string): PlannedMount {
  const parts = text.split(':');
  const invalid = (reason?: string): Error =>
    invalidArgument(`invalid volume specification: '${text}'${reason === undefined ? '' : `: ${reason}`}`);
  const [first = '', second, modeText = ''] = parts;
  if (first === '' || parts.length > 3 || (parts.length === 2 && (second === '' || isMountMode(second ?? '')))) throw invalid();
  if (parts.length === 3 && !isMountMode(modeText)) throw invalidArgument(`invalid mode: ${modeText}`);
  const mode = modeText === '' ? { readWrite: true, propagation: '', noCopy: false } : parseMountMode(modeText);
  const isBind = second !== undefined && first.startsWith('/');
  const type = isBind ? 'bind' : 'volume';
  try {
    const destination = checkDestination(second ?? first, type);
    if (!isBind && mode.propagation !== '')
      throw invalidArgument('invalid mount config for type "volume": field BindOptions must not be specified');
    if (isBind && mode.noCopy) throw invalidArgument('invalid mount config for type "bind": field VolumeOptions must not be specified');
    return {
      ...nothingSpecial,
      type,
      destination,
      source: isBind ? cleanPath(first) : '',
      volumeName: isBind || second === undefined ? undefined : first,
      driver: isBind ? '' : volumeDriver,
      mode: modeText === '' && !isBind ? sharedMode : modeText,
      readWrite: mode.readWrite,
      propagation: mode.propagation,
      copiesImage: !isBind && !mode.noCopy,
    };
  } catch (err) {
    throw invalid(messageOf(err));
  }
}

function planMount(request: MountRequest): PlannedMount {
  const fail = (reason: string): Error => invalidArgument(`invalid mount config for type "${request.type}": ${reason}`);
  const { type } = request;
  if (request.target === '') throw fail('field Target must not be empty');
  if (type !== 'bind' && type !== 'volume' && type !== 'tmpfs' && type !== 'image') throw fail(`mount type unknown: "${type}"`);
  const destination = checkDestination(request.target, type);
  if (type !== 'bind' && request.bindOptions !== undefined) throw fail('field BindOptions must not be specified');
  if (type !== 'volume' && request.volumeOptions !== undefined) throw fail('field VolumeOptions must not be specified');
  if (type !== 'tmpfs' && request.tmpfsOptions !== undefined) throw fail('field TmpfsOptions must not be specified');
  if (type !== 'image' && request.imageOptions !== undefined) throw fail('field ImageOptions must not be specified');
  const common = { ...nothingSpecial, type, destination, readWrite: !request.readOnly };
  switch (type) {
    case 'bind': {
      const options = request.bindOptions;
      if (request.source === '') throw fail('field Source must not be empty');
      if (!request.source.startsWith('/')) throw fail(`invalid mount path: '${request.source}' mount path must be absolute`);
      if (options !== undefined && options.propagation !== '' && !isPropagation(options.propagation)) {
        throw fail(`invalid propagation mode: ${options.propagation}`);
      }
      if (!request.readOnly && (options?.readOnlyNonRecursive === true || options?.readOnlyForceRecursive === true)) {
        throw fail('mount type requires ReadOnly to be set when ReadOnlyNonRecursive or ReadOnlyForceRecursive is');
      }
      return {
        ...common,
        source: cleanPath(request.source),
        propagation: options?.propagation ?? '',
        nonRecursive: options?.nonRecursive ?? false,
        recursiveReadOnly: options?.readOnlyNonRecursive !== true,
        mustExist: options?.createMountpoint !== true,
        copiesImage: false,
      };
    }
    case 'volume': {
      const options = request.volumeOptions;
      if (request.source === '' && request.readOnly) throw fail('must not set ReadOnly mode when using anonymous volumes');
      if (request.source === '' && (options?.subpath ?? '') !== '') throw fail('must not set Subpath when using anonymous volumes');
      const subpath = checkedSubpath(type, options?.subpath ?? '');
      return {
        ...common,
        mode: sharedMode,
        volumeName: request.source === '' ? undefined : request.source,
        driver: options?.driverName ?? '',
        driverOptions: options?.driverOptions ?? {},
        labels: options?.labels ?? {},
        subpath,
        copiesImage: options?.noCopy !== true && subpath === '',
      };
    }
    case 'image':
      if (request.source === '') throw fail('field Source must not be empty');
      return {
        ...common,
        source: request.source,
        subpath: checkedSubpath(type, request.imageOptions?.subpath ?? ''),
        readWrite: false,
        copiesImage: false,
      };
    case 'tmpfs':
      if (request.source !== '') throw fail('field Source must not be specified');
      return { ...common, copiesImage: false };
  }
}

function checkedSubpath(type: string, subpath: string): string {
  if (!subpath.startsWith('/') && !subpath.split('/').includes('..')) return subpath;
  throw invalidArgument(`invalid mount config for type "${type}": invalid ${type} subpath '${subpath}': it must stay inside the ${type}`);
}

function inherit(mount: MountPoint): PlannedMount {
  if (mount.type !== 'bind' && mount.type !== 'volume' && mount.type !== 'tmpfs' && mount.type !== 'image') {
    throw invalidArgument(`cannot take over the mount at ${mount.destination}: its type ${mount.type} belongs to one container`);
  }
  return {
    ...nothingSpecial,
    type: mount.type,
    destination: mount.destination,
    source: mount.type === 'bind' ? mount.source : mount.type === 'image' ? mount.name : '',
    volumeName: mount.type === 'volume' ? mount.name : undefined,
    driver: mount.driver,
    mode: mount.mode,
    readWrite: mount.readWrite,
    propagation: mount.propagation,
    subpath: mount.subpath,
    nonRecursive: mount.nonRecursive,
    recursiveReadOnly: mount.recursiveReadOnly,
    copiesImage: false,
  };
}

function checkDestination(path: string, type: string): string {
  const fail = (reason: string): Error => invalidArgument(`invalid mount config for type "${type}": ${reason}`);
  if (path === '') throw fail('field Target must not be empty');
  if (!path.startsWith('/')) throw fail(`invalid mount path: '${path}' mount path must be absolute`);
  const destination = cleanPath(path);
  if (destination === '/') throw fail("invalid specification: destination can't be '/'");
  return destination;
}

/** `container[:ro]`. Rejects with InvalidArgument. */
export function parseVolumesFrom(text: string): { readonly container: string; readonly mode: string } {
  if (text === '') throw invalidArgument('volumes-from specification cannot be an empty string');
  const [container = '', ...modes] = text.split(':');
  const mode = modes.join(':');
  if (mode !== '') {
    const { propagation, noCopy } = parseMountMode(mode);
    if (propagation !== '' || noCopy) throw invalidArgument(`invalid mode: ${mode}`);
  }
  return { container, mode };
}
