import { invalidArgument } from '#base/errors.ts';

/** Container Device Interface (CNCF, SPEC.md): what files of a vendor say a container needs to use a device. Field names are those of the files. */
export interface CdiSpec {
  readonly cdiVersion: string;
  /** `vendor.com/class`. */
  readonly kind: string;
  readonly devices: readonly CdiDevice[];
  /** For any of the devices, once. */
  readonly containerEdits: ContainerEdits;
}

export interface CdiDevice {
  readonly name: string;
  readonly containerEdits: ContainerEdits;
}

export interface ContainerEdits {
  readonly env: readonly string[];
  readonly deviceNodes: readonly CdiDeviceNode[];
  readonly mounts: readonly CdiMount[];
  readonly hooks: readonly CdiHook[];
  readonly additionalGids: readonly number[];
  readonly intelRdt: IntelRdt | undefined;
}

export interface CdiDeviceNode {
  readonly path: string;
  readonly hostPath: string | undefined;
  readonly type: string | undefined;
  readonly major: number | undefined;
  readonly minor: number | undefined;
  readonly fileMode: number | undefined;
  readonly permissions: string | undefined;
  readonly uid: number | undefined;
  readonly gid: number | undefined;
}

export interface CdiMount {
  readonly hostPath: string;
  readonly containerPath: string;
  readonly type: string | undefined;
  readonly options: readonly string[];
}

export const hookNames = ['prestart', 'createRuntime', 'createContainer', 'startContainer', 'poststart', 'poststop'] as const;

export interface CdiHook {
  readonly hookName: (typeof hookNames)[number];
  readonly path: string;
  readonly args: readonly string[];
  readonly env: readonly string[];
  readonly timeout: number | undefined;
}

export interface IntelRdt {
  readonly closID?: string;
  readonly l3CacheSchema?: string;
  readonly memBwSchema?: string;
  readonly enableCMT?: boolean;
  readonly enableMBM?: boolean;
}

const vendorPattern = /^[A-Za-z](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?$/;
const classPattern = /^[A-Za-z](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?$/;
const namePattern = /^[A-Za-z0-9](?:[A-Za-z0-9_.:-]*[A-Za-z0-9])?$/;

/** Whether a text is `vendor.com/class=name`. */
export function isQualifiedDevice(text: string): boolean {
  const [, vendor = '', kind = '', name = ''] = /^([^/=]+)\/([^/=]+)=([^=]+)$/.exec(text) ?? [];
  return vendorPattern.test(vendor) && classPattern.test(kind) && namePattern.test(name);
}

type Fields = Readonly<Record<string, unknown>>;

/** Reads a file's contents, parsed from JSON or YAML. Rejects with InvalidArgument naming the field. */
export function parseCdiSpec(value: unknown): CdiSpec {
  const spec = fieldsOf(value, 'a CDI spec');
  const cdiVersion = textOf(spec, 'cdiVersion');
  if (!/^(0\.[1-8]|1\.[01])\.\d+$/.test(cdiVersion)) throw invalidArgument(`unknown CDI version "${cdiVersion}"`);
  const kind = textOf(spec, 'kind');
  const [vendor = '', kindClass = '', ...rest] = kind.split('/');
  if (!vendorPattern.test(vendor) || !classPattern.test(kindClass) || rest.length > 0) throw invalidArgument(`invalid kind "${kind}"`);
  const devices = listOf(spec, 'devices').map(device => {
    const fields = fieldsOf(device, 'devices');
    const name = textOf(fields, 'name');
    if (!namePattern.test(name)) throw invalidArgument(`invalid device name "${name}"`);
    return { name, containerEdits: editsOf(fields.containerEdits) };
  });
  if (devices.length === 0) throw invalidArgument(`no devices for ${kind}`);
  if (new Set(devices.map(device => device.name)).size < devices.length) throw invalidArgument(`a device of ${kind} is named twice`);
  return { cdiVersion, kind, devices, containerEdits: editsOf(spec.containerEdits) };
}

function editsOf(value: unknown): ContainerEdits {
  const edits = value === undefined || value === null ? {} : fieldsOf(value, 'containerEdits');
  return {
    env: listOf(edits, 'env').map(variable => {
      if (typeof variable !== 'string' || !/^[^=]+=/.test(variable))
        throw invalidArgument(`invalid environment variable ${JSON.stringify(variable)}`);
      return variable;
    }),
    deviceNodes: listOf(edits, 'deviceNodes').map(nodeOf),
    mounts: listOf(edits, 'mounts').map(mountOf),
    hooks: listOf(edits, 'hooks').map(hookOf),
    additionalGids: listOf(edits, 'additionalGids').map(gid => wholeNumber(gid, 'additionalGids')),
    intelRdt: edits.intelRdt === undefined ? undefined : (fieldsOf(edits.intelRdt, 'intelRdt') as IntelRdt),
  };
}

function nodeOf(value: unknown): CdiDeviceNode {
  const node = fieldsOf(value, 'deviceNodes');
  const type = optionalText(node, 'type');
  if (type !== undefined && !['b', 'c', 'u', 'p'].includes(type)) throw invalidArgument(`invalid device type "${type}"`);
  const permissions = optionalText(node, 'permissions');
  if (permissions !== undefined && !/^[rwm]*$/.test(permissions)) throw invalidArgument(`invalid device permissions "${permissions}"`);
  const number = (key: string): number | undefined => (node[key] === undefined ? undefined : wholeNumber(node[key], key));
  return {
    path: textOf(node, 'path'),
    hostPath: optionalText(node, 'hostPath'),
    type,
    permissions,
    major: number('major'),
    minor: number('minor'),
    fileMode: number('fileMode'),
    uid: number('uid'),
    gid: number('gid'),
  };
}

function mountOf(value: unknown): CdiMount {
  const mount = fieldsOf(value, 'mounts');
  return {
    hostPath: textOf(mount, 'hostPath'),
    containerPath: textOf(mount, 'containerPath'),
    type: optionalText(mount, 'type'),
    options: textsOf(mount, 'options'),
  };
}

function hookOf(value: unknown): CdiHook {
  const hook = fieldsOf(value, 'hooks');
  const given = textOf(hook, 'hookName');
  const hookName = hookNames.find(name => name === given);
  if (hookName === undefined) throw invalidArgument(`invalid hook name "${given}"`);
  const timeout = hook.timeout === undefined ? undefined : wholeNumber(hook.timeout, 'timeout');
  return { hookName, path: textOf(hook, 'path'), args: textsOf(hook, 'args'), env: textsOf(hook, 'env'), timeout };
}

function fieldsOf(value: unknown, what: string): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalidArgument(`${what} must be an object`);
  return value as Fields;
}

function textOf(fields: Fields, key: string): string {
  const value = fields[key];
  if (typeof value !== 'string' || value === '') throw invalidArgument(`"${key}" must be a text that is not empty`);
  return value;
}

const optionalText = (fields: Fields, key: string): string | undefined =>
  fields[key] === undefined || fields[key] === '' ? undefined : textOf(fields, key);

function listOf(fields: Fields, key: string): readonly unknown[] {
  const value = fields[key] ?? [];
  if (!Array.isArray(value)) throw invalidArgument(`"${key}" must be a list`);
  return value;
}

const textsOf = (fields: Fields, key: string): string[] =>
  listOf(fields, key).map(item => {
    if (typeof item !== 'string') throw invalidArgument(`"${key}" must be a list of texts`);
    return item;
  });

function wholeNumber(value: unknown, key: string): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0) throw invalidArgument(`"${key}" must be a whole number`);
  return value;
}
