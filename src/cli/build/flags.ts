import { bool, csvList, flagOf, int64, list, text, type Flag, type FlagOptions, type FlagValues } from '../flags/flag.ts';
import { bytes, swapBytes } from '../flags/units.ts';
import { checkExtraHost } from '../container-options/checks.ts';
import { parseUlimit } from '../container-options/devices.ts';
import { checkLabel } from '../container-options/key-values.ts';

const each = <T>(hint: string, parse: (value: string) => T, usage: string, options: FlagOptions<readonly T[]> = {}): Flag<readonly T[]> =>
  flagOf({ hint, initial: [], parse: (value: string, current: readonly T[]) => [...current, parse(value)] }, usage, options);

/** The flags of `build`. */
export const buildFlags = {
  'add-host': each('list', checkExtraHost, 'Add a line to /etc/hosts of the steps (host:ip)'),
  allow: list('Allow what steps may not do otherwise: network.host, security.insecure, device', { hint: 'stringArray' }),
  annotation: list('Add an annotation to the image', { hint: 'stringArray' }),
  attest: list('Add an attestation (type=sbom or type=provenance)', { hint: 'stringArray' }),
  'build-arg': list('Give an ARG a value; a name alone takes it from the environment', { hint: 'stringArray' }),
  'build-context': list('Add a context that the Dockerfile can name (name=path)', { hint: 'stringArray' }),
  builder: text('Builder to use', { hidden: true }),
  'cache-from': list('Where to look for cached steps: an image, or type=local,src=path', { hint: 'stringArray' }),
  'cache-to': list('Where to keep the cache (type=inline, type=registry,ref=name, type=local,dest=path)', { hint: 'stringArray' }),
  call: text('What to do with the Dockerfile: build, check, outline or targets', { default: 'build' }),
  'cgroup-parent': text('Parent of the control groups of the steps'),
  check: bool('The same as --call=check'),
  compress: bool('Compress the context', { hidden: true }),
  'cpu-period': int64("Length of the scheduler's period, in microseconds", { hidden: true }),
  'cpu-quota': int64("Processor time in each of the scheduler's periods, in microseconds", { hidden: true }),
  'cpu-shares': int64('Share of processor time, relative to others', { short: 'c', hidden: true }),
  'cpuset-cpus': text('Processors to run on (0-3, 0,1)', { hidden: true }),
  'cpuset-mems': text('Memory nodes to use (0-3, 0,1)', { hidden: true }),
  'disable-content-trust': bool('Skip the check of signatures', { default: true, hidden: true }),
  file: text('The Dockerfile (default "PATH/Dockerfile"); - reads it from stdin', { short: 'f' }),
  'force-rm': bool('Remove intermediate containers also when the build fails', { hidden: true }),
  iidfile: text("Write the image's id to this file"),
  isolation: text('Isolation technology', { hidden: true }),
  label: each('list', checkLabel, 'Set a label of the image', { hint: 'stringArray' }),
  load: bool('The same as --output=type=docker, which is what happens anyhow'),
  memory: bytes('Limit of memory of the steps', { short: 'm', hidden: true }),
  'memory-swap': swapBytes('Limit of memory and swap together; -1 for no limit of swap', { hidden: true }),
  'metadata-file': text('Write what the build resulted in to this file, as JSON'),
  network: text('Network of the steps', { default: 'default' }),
  'no-cache': bool('Do every step anew'),
  'no-cache-filter': csvList('Do every step of these stages anew', { hint: 'stringArray' }),
  output: list('Where the result goes (type=local,dest=path)', { short: 'o', hint: 'stringArray' }),
  platform: csvList('Platform to build for, such as linux/arm64', { hint: 'stringArray' }),
  policy: list('Policies for sources', { hint: 'stringArray', hidden: true }),
  progress: text('How to show progress: auto, none, plain, quiet, rawjson or tty', { default: 'auto' }),
  provenance: text('The same as --attest=type=provenance'),
  pull: bool('Ask registries for newer base images'),
  push: bool('The same as --output=type=registry: push the image when it is built'),
  quiet: bool("Print the image's id only", { short: 'q' }),
  resource: list('Limits of the steps (memory=2g, cpu-quota=50000)', { hint: 'stringArray' }),
  rm: bool('Remove intermediate containers', { default: true, hidden: true }),
  sbom: text('The same as --attest=type=sbom'),
  secret: list('A secret for the steps (id=name,src=path)', { hint: 'stringArray' }),
  'security-opt': csvList('Security options', { hidden: true }),
  'shm-size': bytes('Size of /dev/shm of the steps'),
  squash: bool('Make one layer of those that are new', { hidden: true }),
  ssh: list('An SSH agent or keys for the steps (default, id=socket or id=key)', { hint: 'stringArray' }),
  tag: list("The image's name (name:tag)", { short: 't', hint: 'stringArray' }),
  target: text('The stage to build'),
  ulimit: each('ulimit', parseUlimit, 'Resource limits of the steps (name=soft[:hard])'),
};

export type BuildFlags = FlagValues<typeof buildFlags>;
