import { readPackages } from '#builder/attestations/packages.ts';
import { imageMaterial, type Material, type Predicate, provenance, type ProvenanceOptions } from '#builder/attestations/provenance.ts';
import { spdx } from '#builder/attestations/spdx.ts';
import { formatPlatform, hostPlatform } from '#oci/platform.ts';
import { canonicalString, tryParseReference, withDefaultTag } from '#oci/reference.ts';
import type { FrontendContext } from './frontend-context.ts';
import type { Job, KeptResult } from './job.ts';

export interface NamedPredicate extends Predicate {
  /** The name of its file, where results are files. */
  readonly file: string;
}

/** What is said about a result. `isInline`: it goes along with the image when that is pushed or written; some of it is meant for nothing else. */
export async function predicatesOf(
  context: FrontendContext,
  job: Job,
  result: KeptResult,
  { isInline }: { readonly isInline: boolean },
): Promise<NamedPredicate[]> {
  const { build, facts } = result;
  const predicates: NamedPredicate[] = [];
  if (facts.attest.sbom !== undefined) {
    const root = await build.view();
    const packages = readPackages(path => context.services.builds.place(root, path));
    const document = spdx(packages, { name: facts.dockerfile?.name ?? 'graph', createdAt: new Date().toISOString() });
    predicates.push({ ...document, file: 'sbom.spdx.json' });
  }
  const wanted = facts.attest.provenance;
  if (wanted !== undefined && (isInline || !wanted.isInlineOnly))
    predicates.push({ ...(await provenanceOf(context, job, result, wanted)), file: 'provenance.json' });
  return predicates;
}

/** How a result was made. */
export async function provenanceOf(
  context: FrontendContext,
  job: Job,
  result: KeptResult,
  options: ProvenanceOptions & { readonly builderId: string },
): Promise<Predicate> {
  const { facts } = result;
  const { context: remote } = facts.options;
  return provenance(
    {
      builderId: options.builderId,
      invocationId: job.ref,
      startedAt: new Date(job.startedMs).toISOString(),
      finishedAt: new Date().toISOString(),
      builderPlatform: formatPlatform(hostPlatform()),
      frontend: facts.dockerfile === undefined ? '' : 'dockerfile.v0',
      entryPoint: facts.dockerfile?.name ?? '',
      source: remote === undefined || remote.startsWith('http://buildkit-session/') ? undefined : { uri: remote },
      options: facts.options,
      locals: facts.dockerfile !== undefined && remote === undefined ? ['context', 'dockerfile'] : [],
      dockerfile: facts.dockerfile?.text,
      materials: await materialsOf(context, result),
    },
    options,
  );
}

async function materialsOf({ services }: FrontendContext, { build, facts }: KeptResult): Promise<Material[]> {
  const materials: Material[] = [];
  for (const name of new Set(facts.images)) {
    const reference = tryParseReference(name);
    const full = reference === undefined ? name : canonicalString(withDefaultTag(reference));
    const image = await services.images.inspect(name).catch(() => undefined);
    const digest = reference?.digest ?? image?.repoDigests[0]?.replace(/^.*@/, '') ?? image?.id;
    materials.push(imageMaterial(full, formatPlatform(build.platform), digest));
  }
  return materials;
}
