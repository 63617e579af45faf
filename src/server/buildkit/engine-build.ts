import type { JsonMessage } from '#api/types/image.ts';
import type { Attributes, StatusUpdate, TypeAndAttributes } from '#api/buildkit/messages.ts';
import { newId } from '#base/id.ts';
import { codec } from './codec.ts';
import type { ControlContext } from './control-context.ts';
import { Job } from './job.ts';
import { type CacheOptions, runRecorded } from './recorded-build.ts';

/** A build that was asked for through `POST /build?version=2`: its files, secrets and credentials come over a session all the same. */
export interface EngineBuild {
  readonly sessionId: string;
  /** The context, as an archive; undefined: it is elsewhere. */
  readonly upload?: AsyncIterable<Uint8Array> | undefined;
  /** The options of the Dockerfile frontend. */
  readonly options: Attributes;
  readonly exporters: readonly TypeAndAttributes[];
  readonly entitlements: readonly string[];
  readonly cache: CacheOptions;
  /** The image's id is told as text as well. */
  readonly isQuiet: boolean;
}

const updates = codec<StatusUpdate>('moby.buildkit.v1.StatusResponse');

/** Builds, and tells of it in the messages that such clients read. */
export async function buildForEngine(
  context: ControlContext,
  { sessionId, upload, options, exporters, entitlements, cache, isQuiet }: EngineBuild,
  put: (message: JsonMessage) => void,
  signal: AbortSignal,
): Promise<void> {
  const job = new Job({ ref: newId(), sessionId, entitlements, upload }, context.results, signal);
  const telling = (async () => {
    for await (const update of job.progress.updates(signal))
      put({ id: 'moby.buildkit.trace', aux: updates.encode(update).toString('base64') });
  })();
  try {
    const response = await runRecorded(context, job, {
      frontend: 'dockerfile.v0',
      graph: null,
      options,
      exporters,
      cache,
      isInternal: false,
    });
    await telling;
    const id = response['containerimage.config.digest'];
    if (id === undefined) return;
    put({ id: 'moby.image.id', aux: { ID: id } });
    if (isQuiet) put({ stream: `${id}\n` });
  } finally {
    await telling;
  }
}
