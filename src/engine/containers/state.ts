import { conflict } from '#base/errors.ts';
import type { Container, ContainerState } from './model.ts';

/** The API's word for "never". */
export const zeroTime = '0001-01-01T00:00:00Z';

export type RunningState = Extract<ContainerState, { status: 'running' }>;

/** A restarting container counts as running wherever Docker asks "is it running": stop, remove, wait. */
export const isRunning = (state: ContainerState): state is RunningState => state.status === 'running';
export const isActive = (state: ContainerState): boolean => state.status === 'running' || state.status === 'restarting';
export const isPaused = (state: ContainerState): boolean => state.status === 'running' && state.paused;

/** The status word of the API: `paused` is a way of running. */
export const statusOf = (state: ContainerState): string => (isPaused(state) ? 'paused' : state.status);

export const startedAtOf = (state: ContainerState): string => ('startedAt' in state ? state.startedAt : zeroTime);
export const finishedAtOf = (state: ContainerState): string => ('finishedAt' in state ? state.finishedAt : zeroTime);
export const exitCodeOf = (state: ContainerState): number => ('exitCode' in state ? (state.exitCode ?? 0) : 0);
export const errorOf = (state: ContainerState): string => ('error' in state ? (state.error ?? '') : '');

/** The state of a container that runs. Rejects with Conflict. */
export function requireRunning(container: Container): RunningState {
  const { state } = container;
  if (state.status === 'restarting') {
    throw conflict(`Container ${container.id} is restarting, wait until the container is running`);
  }
  if (!isRunning(state)) throw conflict(`container ${container.id} is not running`);
  return state;
}

/** The state of a container that runs and is not paused. Rejects with Conflict. */
export function requireUnpaused(container: Container): RunningState {
  const state = requireRunning(container);
  if (state.paused) throw conflict(`Container ${container.id} is paused, unpause the container first`);
  return state;
}

/** What an ended run leaves behind, before a restart policy has its say. */
export function exitedState(
  state: ContainerState,
  exit: { readonly exitCode: number; readonly exitedAt: Date; readonly oomKilled: boolean },
  error?: string,
): ContainerState {
  return {
    status: 'exited',
    startedAt: startedAtOf(state),
    finishedAt: exit.exitedAt.toISOString(),
    exitCode: exit.exitCode,
    oomKilled: exit.oomKilled || (state.status === 'running' && state.oomKilled === true),
    ...(error === undefined ? {} : { error }),
  };
}

/** What a container has only while it runs, when it does not. */
export const noRun = { endpointStates: {}, ports: {}, sandboxKey: '' } as const satisfies Partial<Container>;
