import { isBefore } from '#api/versions.ts';
import type { ApiVersion } from '#api/versions.ts';

export const rawStream = 'application/vnd.docker.raw-stream';
const multiplexedStream = 'application/vnd.docker.multiplexed-stream';

/** The content type of a container's output: a terminal's is raw, framed output says so to those who know the type. */
export const streamType = (tty: boolean, version: ApiVersion): string => (tty || isBefore(version, '1.42') ? rawStream : multiplexedStream);
