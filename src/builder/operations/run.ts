import { chmod, chown, mkdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { newId } from '#base/id.ts';
import { failedPrecondition, invalidArgument, notFound, permissionDenied } from '#base/errors.ts';
import type { FileSource } from '#core/build-files.ts';
import { hostOwner, rootOwner } from '#core/id-map.ts';
import type { BindMount, CacheMount, Mount, SecretMount, SshMount } from '../dockerfile/instructions.ts';
import type { RunOperation } from '../dockerfile/operations.ts';
import { proxyEnvironment } from '../dockerfile/platform-args.ts';
import { StepFailed } from '../errors.ts';
import type { BuildStepMount } from '#core/build-steps.ts';
import { formatPlatform, type Platform } from '#oci/platform.ts';
import { type BuildSession, passableMode } from '../solver/session.ts';
import type { PreparedWork } from '../solver/perform.ts';
import { digestOf, type SourceTree } from './copy.ts';

/** The trees that `from=` of a step's mounts means; undefined without `from`: the build context. */
export type TreeOf = (from: string | undefined) => Promise<SourceTree | undefined>;

/** `platform`: what the stage's image is for. */
export async function prepareRun(
  session: BuildSession,
  operation: RunOperation,
  treeOf: TreeOf,
  platform: Platform,
): Promise<PreparedWork> {
  const { request } = session;
  checkEntitlements(session, operation);
  const network = operation.network === 'default' ? request.network : operation.network;
  const mounts = await Promise.all(operation.mounts.map(mount => identityOf(session, mount, treeOf)));
  const { args, env, cwd, user, script, security } = operation;
  const { ulimits, shmSizeBytes, extraHosts } = request.limits;
  return {
    identity: { run: args, env, cwd, user, script: script ?? null, network, security, mounts, ulimits, shmSizeBytes, extraHosts },
    description: operation.title,
    isLinked: false,
    isProcess: true,
    async perform({ id, rootPath }, tell, signal) {
      await using prepared = await prepareMounts(session, operation, id, treeOf, signal);
      tell({ kind: 'process', id });
      const step = {
        id,
        rootPath,
        args,
        env: [...env, ...proxyEnvironment(request.buildArgs), ...prepared.env],
        cwd,
        user,
        hostname: request.hostname,
        network,
        insecure: security === 'insecure',
        mounts: prepared.mounts,
        limits: request.limits,
      };
      let isForeign = false;
      const onOutput = (stream: 'stdout' | 'stderr', chunk: Uint8Array): void => {
        isForeign ||= stream === 'stderr' && /exec format error/i.test(decoder.decode(chunk));
        // Chunks may be of a buffer that is used again.
        tell({ kind: 'output', stream, chunk: chunk.slice() });
      };
      const exit = await session.context.steps.run(step, onOutput, signal);
      if (exit.exitCode !== 0) throw new StepFailed(args, exit.exitCode, isForeign ? foreignHint(platform, session.context.platform) : '');
    },
  };
}

const decoder = new TextDecoder();

/** What to do when the kernel knows no way to run a program. Empty where the program is for this machine, and damaged. */
function foreignHint(wanted: Platform, machine: Platform): string {
  if (wanted.architecture === machine.architecture) return '';
  return `this machine runs programs for ${formatPlatform(machine)}, and the image is for ${formatPlatform(wanted)}: install an emulator that the kernel knows (package qemu-user-static, with binfmt_misc mounted), or build on such a machine`;
}

/** Rejects with PermissionDenied for what the client has not allowed. */
export function checkEntitlements(
  { request }: BuildSession,
  { network, security, devices }: Pick<RunOperation, 'network' | 'security' | 'devices'>,
): void {
  const { entitlements } = request;
  if (network === 'host' && request.network !== 'host' && !entitlements.has('network.host'))
    throw permissionDenied('network.host is not allowed');
  if (security === 'insecure' && !entitlements.has('security.insecure')) throw permissionDenied('security.insecure is not allowed');
  const needed = devices.find(device => device.required);
  if (needed !== undefined) {
    throw failedPrecondition(`device ${JSON.stringify(needed.name)} is required, and this machine has no such device for builds`);
  }
}

/** What of a mount the result of a step depends on. Secrets and caches are not known by what they hold. */
export async function identityOf(session: BuildSession, mount: Mount, treeOf: TreeOf): Promise<unknown> {
  if (mount.type !== 'bind') return mount.type === 'cache' ? { ...mount, from: mount.from ?? null } : mount;
  const tree = await existing(mount, treeOf);
  return { ...mount, from: null, content: await digestOf(session.context.files, [sourceIn(tree, mount)], tree, session.signal) };
}

async function existing(mount: BindMount | CacheMount, treeOf: TreeOf): Promise<SourceTree> {
  const tree = await treeOf(mount.from);
  if (tree === undefined) throw invalidArgument(`cannot mount ${JSON.stringify(mount.source)}: there is no build context`);
  return tree;
}

/** The same tree with the owners that steps have on the host. */
async function mappedTree(session: BuildSession, tree: SourceTree): Promise<SourceTree> {
  if (session.context.steps.idMap === undefined || tree.chain === undefined) return tree;
  return { ...tree, root: await session.view(tree.chain, { mapped: true }) };
}

function sourceIn({ root }: SourceTree, mount: BindMount | CacheMount): FileSource {
  const pattern = mount.source.replace(/[*?[\\]/g, '\\$&');
  return { root, keepOwners: true, pattern, parents: false, excludes: [], unpack: false };
}

interface PreparedMounts extends AsyncDisposable {
  readonly mounts: readonly BuildStepMount[];
  readonly env: readonly string[];
}

/** Makes ready what is mounted beside the root. */
export async function prepareMounts(
  session: BuildSession,
  operation: Pick<RunOperation, 'mounts' | 'script'>,
  id: string,
  treeOf: TreeOf,
  signal: AbortSignal,
): Promise<PreparedMounts> {
  await using made = new AsyncDisposableStack();
  const mounts: BuildStepMount[] = [];
  const env: string[] = [];
  const secretsDir = join(session.context.secretsDir, id);
  made.defer(() => rm(secretsDir, { recursive: true, force: true }));
  for (const mount of operation.mounts) {
    if (mount.type === 'bind') mounts.push(await bindMount(session, mount, treeOf, made));
    else if (mount.type === 'tmpfs') mounts.push({ type: 'tmpfs', target: mount.target, sizeBytes: mount.sizeBytes });
    else if (mount.type === 'cache') mounts.push(await cacheMount(session, mount, treeOf, made, signal));
    else if (mount.type === 'secret') await secretMount(session, mount, secretsDir, { mounts, env }, signal);
    else await agentMount(session, mount, made, { mounts, env }, signal);
  }
  if (operation.script !== undefined) {
    const { path, content } = operation.script;
    const source = join(await session.directory('script'), 'script');
    made.defer(() => rm(dirname(source), { recursive: true, force: true }));
    await writeFile(source, content);
    await chmod(source, 0o755);
    const { uid, gid } = rootOwner(session.context.steps.idMap);
    await chown(source, uid, gid);
    mounts.push({ type: 'bind', source, target: path, readOnly: true });
  }
  const held = made.move();
  return { mounts, env, [Symbol.asyncDispose]: () => held.disposeAsync() };
}

async function bindMount(session: BuildSession, mount: BindMount, treeOf: TreeOf, made: AsyncDisposableStack): Promise<BuildStepMount> {
  const { files, workDir, steps } = session.context;
  const { root, chain } = await mappedTree(session, await existing(mount, treeOf));
  const found = files.resolve(root, mount.source);
  // Directories of the host have owners of the host.
  const source = steps.idMap === undefined || chain !== undefined ? found : made.use(await files.showMapped(found, workDir)).path;
  if (mount.readOnly || files.kindOf(root, mount.source) !== 'directory')
    return { type: 'bind', source, target: mount.target, readOnly: mount.readOnly };
  const scratch = made.use(await files.scratchOver(source, workDir));
  return { type: 'bind', source: scratch.path, target: mount.target, readOnly: false };
}

async function cacheMount(
  session: BuildSession,
  mount: CacheMount,
  treeOf: TreeOf,
  made: AsyncDisposableStack,
  signal: AbortSignal,
): Promise<BuildStepMount> {
  const { files, cacheMounts, steps } = session.context;
  const namespace = session.request.buildArgs.get('BUILDKIT_CACHE_MOUNT_NS') ?? '';
  const acquired = made.use(await cacheMounts.acquire(namespace === '' ? mount.id : `${namespace}/${mount.id}`, mount.sharing, signal));
  // The directories of one daemon are for one way to map ids.
  const owner = hostOwner(steps.idMap, { uid: mount.uid, gid: mount.gid });
  if (acquired.isNew) {
    await chmod(acquired.path, mount.mode);
    await chown(acquired.path, owner.uid, owner.gid);
    if (mount.from !== undefined) {
      const source = sourceIn(await mappedTree(session, await existing(mount, treeOf)), mount);
      await files.copy([source], { root: acquired.path, path: '/', owner: undefined, mode: undefined }, signal);
    }
  }
  const inside = mount.from === undefined && mount.source !== '/' ? mount.source : '/';
  if (inside !== '/') await files.makeDirectory({ root: acquired.path, path: inside, owner, mode: undefined }, signal);
  return { type: 'bind', source: files.resolve(acquired.path, inside), target: mount.target, readOnly: mount.readOnly };
}

const agentPath = /^\/run\/buildkit\/ssh_agent\.\d+$/;

async function agentMount(
  session: BuildSession,
  mount: SshMount,
  made: AsyncDisposableStack,
  into: { readonly mounts: BuildStepMount[]; readonly env: string[] },
  signal: AbortSignal,
): Promise<void> {
  // The path of a socket is short by necessity.
  const directory = join(session.context.secretsDir, newId().slice(0, 8));
  made.defer(() => rm(directory, { recursive: true, force: true }));
  const { idMap } = session.context.steps;
  await mkdir(directory, { recursive: true, mode: passableMode(idMap) });
  const source = join(directory, 's');
  const agent = await session.request.secrets.agent?.(mount.id, source, signal);
  if (agent === undefined) {
    if (mount.required) throw notFound(`unset ssh forward key ${mount.id}`);
    return;
  }
  made.use(agent);
  const { uid, gid } = hostOwner(idMap, { uid: mount.uid, gid: mount.gid });
  await chown(source, uid, gid);
  await chmod(source, mount.mode);
  const target = mount.target ?? `/run/buildkit/ssh_agent.${String(into.mounts.filter(({ target }) => agentPath.test(target)).length)}`;
  into.mounts.push({ type: 'bind', source, target, readOnly: false });
  if (!into.env.some(variable => variable.startsWith('SSH_AUTH_SOCK='))) into.env.push(`SSH_AUTH_SOCK=${target}`);
}

async function secretMount(
  session: BuildSession,
  mount: SecretMount,
  directory: string,
  into: { readonly mounts: BuildStepMount[]; readonly env: string[] },
  signal: AbortSignal,
): Promise<void> {
  const value = await session.request.secrets.secret(mount.id, signal);
  if (value === undefined) {
    if (mount.required) throw notFound(`secret ${mount.id}: not found`);
    return;
  }
  if (mount.env !== undefined) into.env.push(`${mount.env}=${new TextDecoder().decode(value)}`);
  if (mount.target === undefined) return;
  const { idMap } = session.context.steps;
  await mkdir(directory, { recursive: true, mode: passableMode(idMap) });
  const source = join(directory, String(into.mounts.length));
  await writeFile(source, value, { mode: 0o600 });
  const { uid, gid } = hostOwner(idMap, { uid: mount.uid, gid: mount.gid });
  await chown(source, uid, gid);
  await chmod(source, mount.mode);
  into.mounts.push({ type: 'bind', source, target: mount.target, readOnly: true });
}
