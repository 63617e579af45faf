import { closeSync, constants, openSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { EngineError, failedPrecondition, internal, invalidArgument, isErrno, kindOf, messageOf, resourceExhausted } from '#base/errors.ts';
import type { ExtractOptions, PathStat, ViewMount } from '#core/files.ts';
import { type IdMap, type Owner, rootOwner } from '#core/id-map.ts';
import { strictlyOutward } from '#host/rootfs/owner-translation.ts';
import { createRootFiles } from '#host/rootfs/root-files.ts';
import { changeOwnerOf, enterDirectory, enterRoot, readSome, writeFully } from '#host/sys/fs.ts';
import { bindMount, makePrivate, makeReadOnly } from '#host/sys/mount.ts';
import { enterMountNamespace, leaveMountNamespace } from '#host/sys/mount-namespace.ts';
import { endWithParent } from '#host/sys/parent.ts';
import { openInRoot, openRoot, ownedFd, pathOnly } from '#host/sys/rooted.ts';
import { inodeAt } from '#host/sys/inode.ts';
import { TarParser } from '#oci/tar/parser.ts';
import { ArchiveWriter } from './archive.ts';
import { RootExtractor } from './extract.ts';
import type { Answer, Entering, Job, Refusal } from './job.ts';
import { changesOf, writeLayer } from './layer.ts';
import { evaluate, locate, type Place } from './view-path.ts';

const input = 0;
const output = 1;
/** Says why an answer that has begun breaks off. */
const errors = 2;
const namespaceFd = 3;
const readBytes = 1024 * 1024;

/**
 * The process that works on files (see job.ts). All that it needs is loaded before it enters: nothing is looked up in a view, which may be hostile. It enters
 * with one thread only, so it works with synchronous calls.
 */
export function filesChild(parentPid: number): void {
  try {
    endWithParent(parentPid);
    process.umask(0);
    const view = readLine<Entering>();
    if (view === undefined) return;
    const rootFd = enter(view);
    answer({ ok: true, value: undefined });
    const job = readLine<Job>();
    if (job !== undefined) work(job, rootFd, view.kind === 'layer' ? undefined : view.idMap);
  } catch (err) {
    writeFully(output, encodeLine(refusal(err)));
    process.exitCode = 1;
  }
}

/** Returns a descriptor of the view's root. */
function enter(view: Entering): number {
  switch (view.kind) {
    case 'layer':
      return -1;
    case 'running':
      enterMountNamespace(namespaceFd);
      closeSync(namespaceFd);
      break;
    case 'root':
    case 'stopped':
      leaveMountNamespace();
      makePrivate('/');
      if (view.kind === 'stopped') for (const mount of view.mounts) mountInView(view.root, mount, rootOwner(view.idMap));
      enterRoot(view.root);
      break;
  }
  const rootFd = openRoot('/');
  enterDirectory(rootFd);
  return rootFd;
}

/** Makes the mount point where it is missing, as the container's start would. */
function mountInView(root: string, { source, destination, readOnly }: ViewMount, owner: Owner): void {
  const files = createRootFiles();
  const stats = statSync(source, { throwIfNoEntry: false });
  if (stats === undefined) return;
  if (stats.isDirectory()) files.ensureDirectory(root, destination, owner);
  else if (files.kindOf(root, destination) === 'missing') makeFile(root, destination, owner);
  using rootFd = ownedFd(openRoot(root));
  using place = ownedFd(openInRoot(rootFd.fd, destination, pathOnly));
  bindMount(source, `/proc/self/fd/${String(place.fd)}`, { recursive: true });
  if (!readOnly) return;
  // The descriptor is of what is below the mount.
  using mounted = ownedFd(openInRoot(rootFd.fd, destination, pathOnly));
  makeReadOnly(`/proc/self/fd/${String(mounted.fd)}`);
}

function makeFile(root: string, path: string, owner: Owner): void {
  const files = createRootFiles();
  files.ensureDirectory(root, dirname(path), owner);
  using rootFd = ownedFd(openRoot(root));
  using directory = ownedFd(openInRoot(rootFd.fd, dirname(path), constants.O_RDONLY | constants.O_DIRECTORY));
  using file = ownedFd(openSync(`/proc/self/fd/${String(directory.fd)}/${path.slice(path.lastIndexOf('/') + 1)}`, 'wx', 0o644));
  changeOwnerOf(file.fd, owner.uid, owner.gid);
}

function work(job: Job, rootFd: number, idMap: IdMap | undefined): void {
  switch (job.do) {
    case 'stat': {
      using place = locate(rootFd, job.path);
      return answer({ ok: true, value: statOf(rootFd, place) });
    }
    case 'archive': {
      using place = locate(rootFd, job.path);
      answer({ ok: true, value: statOf(rootFd, place) });
      return streaming(() => writeArchive(place, idMap));
    }
    case 'root':
      answer({ ok: true, value: undefined });
      return streaming(() => {
        using root = ownedFd(openInRoot(rootFd, '/', constants.O_RDONLY | constants.O_DIRECTORY));
        const archive = new ArchiveWriter(chunk => buffered(chunk), idMap);
        archive.below(root.fd, '', inodeAt(root.fd, ''), { sameDevice: true });
        archive.end();
      });
    case 'extract':
      extract(rootFd, job.path, job.options, idMap);
      return answer({ ok: true, value: undefined });
    case 'changes':
      return answer({ ok: true, value: changesOf(job) });
    case 'layer':
      answer({ ok: true, value: undefined });
      return streaming(() => writeLayer(job, chunk => buffered(chunk)));
  }
}

function statOf(rootFd: number, { path, name, inode }: Place): PathStat {
  const { type, mode, sizeBytes, mtime } = inode;
  return { name, type, mode, sizeBytes, mtime, linkTarget: type === 'symlink' ? evaluate(rootFd, path) : '' };
}

function writeArchive({ directoryFd, base, name, inode }: Place, idMap: IdMap | undefined): void {
  const archive = new ArchiveWriter(chunk => buffered(chunk), idMap);
  if (inode.type !== 'directory') {
    archive.member(directoryFd, base, name, inode);
  } else {
    const fd = openInRoot(directoryFd, base === '' ? '.' : base, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
    using directory = ownedFd(fd);
    archive.tree(directory.fd, name, inode);
  }
  archive.end();
}

function extract(rootFd: number, path: string, { readOnlyRoot, mounts, ...options }: ExtractOptions, idMap: IdMap | undefined): void {
  const target = evaluate(rootFd, path);
  using place = locate(rootFd, target);
  if (place.inode.type !== 'directory') throw invalidArgument('extraction point is not a directory');
  requireWritable(target, readOnlyRoot, mounts);
  const extractor = new RootExtractor(rootFd, target, options, strictlyOutward(idMap));
  const parser = new TarParser(extractor);
  const buffer = new Uint8Array(readBytes);
  try {
    for (let count = readSome(input, buffer); count > 0; count = readSome(input, buffer)) parser.push(buffer.subarray(0, count));
    parser.finish();
  } finally {
    extractor.finish();
  }
}

/** The innermost mount that a path is in decides; the root where it is in none. */
function requireWritable(path: string, readOnlyRoot: boolean, mounts: ExtractOptions['mounts']): void {
  const inside = mounts.filter(({ destination }) => path === destination || path.startsWith(`${destination}/`));
  const [innermost] = inside.toSorted((a, b) => b.destination.length - a.destination.length);
  if (innermost?.readOnly === true) throw invalidArgument('mounted volume is marked read-only');
  if (innermost === undefined && readOnlyRoot) throw invalidArgument('container rootfs is marked read-only');
}

/** What comes before a line break is kept for who reads the bytes after it: nothing is read too far. */
function readLine<T>(): T | undefined {
  const byte = new Uint8Array(1);
  const bytes: number[] = [];
  while (readSome(input, byte) === 1) {
    if (byte[0] === 0x0a) return JSON.parse(Buffer.from(bytes).toString('utf8')) as T;
    bytes.push(byte[0] ?? 0);
  }
  return undefined;
}

const encodeLine = (value: unknown): Uint8Array => Buffer.from(`${JSON.stringify(value)}\n`);
const answer = (value: Answer<unknown>): void => writeFully(output, encodeLine(value));

// Small members are sent together.
const outgoing = new Uint8Array(256 * 1024);
let outgoingBytes = 0;

function buffered(chunk: Uint8Array): void {
  if (outgoingBytes + chunk.length > outgoing.length) sendBuffered();
  if (chunk.length > outgoing.length) return writeFully(output, chunk);
  outgoing.set(chunk, outgoingBytes);
  outgoingBytes += chunk.length;
}

function sendBuffered(): void {
  writeFully(output, outgoing.subarray(0, outgoingBytes));
  outgoingBytes = 0;
}

/** Once bytes have gone out a failure is told beside them. */
function streaming(write: () => void): void {
  try {
    write();
    sendBuffered();
  } catch (err) {
    // Nobody reads any more.
    if (!isErrno(err, 'EPIPE')) writeFully(errors, encodeLine(refusal(err)));
    process.exitCode = 1;
  }
}

function refusal(err: unknown): Refusal {
  const explained = explain(err);
  return { ok: false, kind: kindOf(explained), message: messageOf(explained) };
}

function explain(err: unknown): unknown {
  if (err instanceof EngineError) return err.kind === 'DataLoss' ? invalidArgument(err.message, { cause: err }) : err;
  if (isErrno(err, 'ENOSPC', 'EDQUOT')) return resourceExhausted(messageOf(err), { cause: err });
  if (isErrno(err, 'EROFS')) return invalidArgument(messageOf(err), { cause: err });
  if (isErrno(err, 'ESRCH')) return failedPrecondition(messageOf(err), { cause: err });
  return internal(messageOf(err), { cause: err });
}
