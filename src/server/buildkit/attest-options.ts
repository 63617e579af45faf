import { splitCsv } from '#base/csv.ts';
import { invalidArgument } from '#base/errors.ts';
import type { Attributes } from '#api/buildkit/messages.ts';
import type { ProvenanceOptions } from '#builder/attestations/provenance.ts';
import { isTrue } from './frontend-options.ts';

/** What is to be said about the images of a build (`--attest`, `--provenance`, `--sbom`). */
export interface AttestOptions {
  readonly provenance: (ProvenanceOptions & { readonly builderId: string; readonly isInlineOnly: boolean }) | undefined;
  readonly sbom: object | undefined;
}

/** How a result came about, as far as attestations tell of it. */
export interface ResultFacts {
  readonly attest: AttestOptions;
  readonly options: Attributes;
  /** Undefined: the client wrote a graph. */
  readonly dockerfile: { readonly name: string; readonly text: string } | undefined;
  /** The images that stages began with. */
  readonly images: readonly string[];
}

/** Rejects with InvalidArgument for what cannot be. */
export function attestOptions(options: Attributes): AttestOptions {
  const [given, sbom] = [options['attest:provenance'], options['attest:sbom']];
  return {
    provenance: given === undefined || isDisabled(given) ? undefined : provenanceOptions(fieldsOf(given)),
    sbom: sbom === undefined || isDisabled(sbom) ? undefined : sbomOptions(fieldsOf(sbom)),
  };
}

const fieldsOf = (text: string): ReadonlyMap<string, string> =>
  new Map(
    (text === '' ? [] : splitCsv(text)).map(field => {
      const [, name = '', value = 'true'] = /^([^=]*)(?:=(.*))?$/.exec(field) ?? [];
      return [name, value];
    }),
  );

const isDisabled = (text: string): boolean => text === 'false' || fieldsOf(text).get('disabled') === 'true';

function provenanceOptions(fields: ReadonlyMap<string, string>): AttestOptions['provenance'] {
  const mode = fields.get('mode') ?? 'max';
  const version = fields.get('version') ?? 'v0.2';
  if (mode !== 'min' && mode !== 'max') throw invalidArgument(`invalid provenance mode ${JSON.stringify(mode)}: expected min or max`);
  if (version !== 'v0.2' && version !== 'v1')
    throw invalidArgument(`invalid provenance version ${JSON.stringify(version)}: expected v0.2 or v1`);
  return {
    mode,
    version,
    isReproducible: isTrue(fields.get('reproducible') ?? ''),
    isInlineOnly: isTrue(fields.get('inline-only') ?? ''),
    builderId: fields.get('builder-id') ?? '',
  };
}

function sbomOptions(fields: ReadonlyMap<string, string>): object {
  const generator = fields.get('generator') ?? '';
  if (generator !== '' && !/^(?:docker\.io\/)?docker\/(?:buildkit-syft-scanner|scout-sbom-indexer)(?:[:@]|$)/.test(generator)) {
    throw invalidArgument(
      `the SBOM generator ${generator} is not run by this daemon: it reads the package databases of images itself; leave generator= out`,
    );
  }
  return {};
}
