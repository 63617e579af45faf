import { attachToContainer } from './attach.ts';
import { createCheckpoint, listCheckpoints, removeCheckpoint } from './checkpoints.ts';
import { commitContainer } from './commit.ts';
import { connectNetwork, disconnectNetwork } from './connect-network.ts';
import { type ContainerDependencies, createContext } from './context.ts';
import { createContainer } from './create.ts';
import { createExec, inspectExec, startExec, startExecDetached } from './exec-start.ts';
import { handleExit } from './exit.ts';
import { exportContainer, listChanges, putArchive, readArchive, statPath } from './files.ts';
import { killContainer } from './kill.ts';
import { launchAhead, networkNamespaceOf } from './launch.ts';
import { inspectContainer, listContainers } from './list.ts';
import { logSubject, readLogs } from './logs.ts';
import { pauseContainer, unpauseContainer } from './pause.ts';
import { pruneContainers } from './prune.ts';
import { recoverContainers } from './recover.ts';
import { removeContainer } from './remove.ts';
import { renameContainer } from './rename.ts';
import { resizeContainer, resizeExec } from './resize.ts';
import type { ContainerService } from './service.ts';
import { startContainer } from './start.ts';
import { isActive, isPaused } from './state.ts';
import { containerUsage } from './usage.ts';
import { restartContainer, stopContainer } from './stop.ts';
import { listProcesses } from './top.ts';
import { updateContainer } from './update.ts';
import { waitForContainer } from './wait.ts';

/** Opens the containers that the records know. Call `recover` before anything that changes one. */
export function createContainerService(dependencies: ContainerDependencies): ContainerService {
  const ctx = createContext(dependencies, handleExit);
  return {
    create: async (request, signal) => {
      const result = await createContainer(ctx, request, signal);
      // Once the client has its answer.
      setImmediate(() => launchAhead(ctx, result.id));
      return result;
    },
    start: (ref, signal, from) => startContainer(ctx, ref, signal, from),
    stop: (ref, options) => stopContainer(ctx, ref, options),
    restart: (ref, options, signal) => restartContainer(ctx, ref, options, signal),
    kill: (ref, signalName) => killContainer(ctx, ref, signalName),
    pause: ref => pauseContainer(ctx, ref),
    unpause: ref => unpauseContainer(ctx, ref),
    rename: (ref, name) => renameContainer(ctx, ref, name),
    update: (ref, changes) => updateContainer(ctx, ref, changes),
    remove: (ref, options) => removeContainer(ctx, ref, options),
    wait: (ref, condition, signal) => waitForContainer(ctx, ref, condition, signal),
    prune: filters => pruneContainers(ctx, filters, ctx.closing.signal),

    list: options => listContainers(ctx, options),
    inspect: async (ref, options) => await inspectContainer(ctx, ctx.containers.find(ref), options?.size === true),
    get: ref => ctx.containers.find(ref).container,
    top: async (ref, psArgs) => await listProcesses(ctx, ref, psArgs),
    usage: (ref, options, signal) => containerUsage(ctx, ref, options, signal),
    hostMemoryBytes: ctx.host.memoryBytes,
    logs: (ref, options, signal) => readLogs(ctx, ref, options, signal),
    logDetails: ref => ctx.logs.details(logSubject(ctx.containers.find(ref).container)),

    statPath: (ref, path, signal) => statPath(ctx, ref, path, signal),
    readArchive: (ref, path, signal) => readArchive(ctx, ref, path, signal),
    putArchive: (ref, path, options, tar, signal) => putArchive(ctx, ref, path, options, tar, signal),
    changes: (ref, signal) => listChanges(ctx, ref, signal),
    export: (ref, signal) => exportContainer(ctx, ref, signal),
    commit: (ref, request, signal) => commitContainer(ctx, ref, request, signal),
    createCheckpoint: (ref, request, signal) => createCheckpoint(ctx, ref, request, signal),
    listCheckpoints: (ref, directory) => listCheckpoints(ctx, ref, directory),
    removeCheckpoint: (ref, name, directory) => removeCheckpoint(ctx, ref, name, directory),

    attach: async (ref, options) => attachToContainer(ctx, ref, options),
    resize: (ref, size) => resizeContainer(ctx, ref, size),

    createExec: (ref, config) => createExec(ctx, ref, config),
    startExecDetached: (execId, signal) => startExecDetached(ctx, execId, signal),
    startExec: (execId, options) => startExec(ctx, execId, options),
    resizeExec: (execId, size) => resizeExec(ctx, execId, size),
    inspectExec: execId => inspectExec(ctx, execId),

    connectNetwork: (ref, network, endpoint, signal) => connectNetwork(ctx, ref, network, endpoint, signal),
    disconnectNetwork: (ref, network, { force }) => disconnectNetwork(ctx, ref, network, force),

    expectStart: () => ctx.runtime.expectStart(0),
    counts() {
      const states = ctx.containers.all().map(({ container }) => container.state);
      const paused = states.filter(isPaused).length;
      const active = states.filter(isActive).length;
      return { total: states.length, running: active - paused, paused, stopped: states.length - active };
    },
    networkNamespaceOf: ref => networkNamespaceOf(ctx, ref),
    usersOfImage: imageId =>
      ctx.containers
        .all()
        .filter(({ container }) => container.imageId === imageId)
        .map(({ id, container }) => ({ id, running: isActive(container.state) })),
    recover: signal => recoverContainers(ctx, signal),
    async close() {
      ctx.closing.abort(new Error('the daemon is ending'));
      ctx.agenda[Symbol.dispose]();
      for (const entry of ctx.containers.all()) {
        entry.restartTimer?.[Symbol.dispose]();
        entry.hub?.close();
        for (const exec of entry.execs?.values() ?? []) exec.hub?.close();
      }
      await ctx.ahead.abandon();
      await ctx.logs.close();
      await ctx.rubbish.settled();
    },
  };
}
