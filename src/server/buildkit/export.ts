import { failedPrecondition, invalidArgument, notImplemented } from '#base/errors.ts';
import { splitCsv } from '#base/csv.ts';
import type { Result, TypeAndAttributes } from '#api/buildkit/messages.ts';
import type { SolvedBuild } from '#builder/solver/solve.ts';
import { canonicalString, parseReference, type Reference, withDefaultTag } from '#oci/reference.ts';
import type { FrontendContext } from './frontend.ts';
import type { Job } from './job.ts';

/** What is told of an export, by the keys that clients know. */
export type ExportResponse = Record<string, string>;

export interface Exported {
  readonly context: FrontendContext;
  readonly job: Job;
  readonly result: Result;
}

/** The one build of a result that has no platforms; undefined when it has several. */
export function onlyBuild(job: Job, result: Result): SolvedBuild | undefined {
  const [only, ...others] = buildsOf(job, result);
  return others.length === 0 ? only : undefined;
}

export function buildsOf(job: Job, { ref, refs, refDeprecated, refsDeprecated }: Result): SolvedBuild[] {
  const ids = [
    ref?.id ?? refDeprecated ?? '',
    ...Object.values(refs?.refs ?? {}).map(({ id }) => id),
    ...Object.values(refsDeprecated?.refs ?? {}),
  ];
  return ids.filter(id => id !== '').map(id => job.result(id));
}

/** Brings what a build has come to where the client wants it. */
export async function exportResult(exported: Exported, exporters: readonly TypeAndAttributes[]): Promise<ExportResponse> {
  const response: ExportResponse = {};
  for (const exporter of exporters) Object.assign(response, await exportOnce(exported, exporter));
  return response;
}

async function exportOnce(exported: Exported, { Type, Attrs }: TypeAndAttributes): Promise<ExportResponse> {
  switch (Type) {
    case 'moby':
    case 'image':
      return await exportImage(exported, Attrs);
    default:
      throw notImplemented(`the exporter ${JSON.stringify(Type)} is not known: expected image, local, tar, oci or docker`);
  }
}

async function exportImage({ job, result }: Exported, attributes: TypeAndAttributes['Attrs']): Promise<ExportResponse> {
  const build = onlyBuild(job, result);
  if (build === undefined) {
    throw failedPrecondition(
      'images of several platforms are not kept by this daemon: push them, or write them to a file with --output type=oci,dest=…',
    );
  }
  const names = namesOf(attributes.name ?? '');
  const vertex = job.progress.vertex('export image', 'exporting to image');
  return await vertex.run(async () => {
    const id = await build.save(names);
    vertex.part(`writing image ${id}`, { isDone: true });
    for (const name of names) vertex.part(`naming to ${canonicalString(name)}`, { isDone: true });
    return {
      'containerimage.config.digest': id,
      'containerimage.digest': id,
      ...(names.length === 0 ? {} : { 'image.name': names.map(canonicalString).join(',') }),
    };
  });
}

export function namesOf(text: string): Reference[] {
  return (text === '' ? [] : splitCsv(text)).map(name => {
    const reference = parseReference(name);
    if (reference.digest !== undefined)
      throw invalidArgument(`invalid image name ${JSON.stringify(name)}: a name to be given cannot have a digest`);
    return withDefaultTag(reference);
  });
}
