import type { Attributes } from '#api/buildkit/messages.ts';
import { splitCsv } from '#base/csv.ts';
import { ExitError } from '../errors.ts';
import { cut } from '../flags/flag.ts';

export interface AttestationFlags {
  readonly attest: readonly string[];
  readonly provenance: string;
  readonly sbom: string;
}

const isBoolean = /^(?:1|t|true|0|f|false)$/i;

/** Reads `--attest`, `--provenance` and `--sbom` as options of the frontend: `attest:<type>`. Each type at most once. */
export function attestationOptions({ attest, provenance, sbom }: AttestationFlags): Attributes {
  const given = [...attest, ...short('provenance', provenance), ...short('sbom', sbom)];
  const options: Record<string, string> = {};
  for (const text of given) {
    const fields = splitCsv(text);
    const values = new Map(fields.map(field => [cut(field)[0].trim().toLowerCase(), cut(field)[1] ?? '']));
    const type = values.get('type') ?? '';
    if (type === '') throw new ExitError(1, `attestation type not specified in ${JSON.stringify(text)}`);
    if (type !== 'provenance' && type !== 'sbom')
      throw new ExitError(1, `unknown attestation type ${JSON.stringify(type)}: expected provenance or sbom`);
    const name = `attest:${type}`;
    if (Object.hasOwn(options, name)) throw new ExitError(1, `duplicate attestation field ${type}`);
    const rest = fields.filter(field => cut(field)[0].trim().toLowerCase() !== 'type');
    options[name] = rest.map(field => (field.includes(',') ? JSON.stringify(field) : field)).join(',');
  }
  return options;
}

/** `--sbom=true`, `--provenance=mode=max` as `--attest` would say it. */
function short(type: string, value: string): string[] {
  if (value === '') return [];
  if (!isBoolean.test(value)) return [`type=${type},${value}`];
  return [/^(?:1|t|true)$/i.test(value) ? `type=${type}` : `type=${type},disabled=true`];
}

/** Whether images that leave tell how they came about although nobody asked. */
export const hasDefaultAttestations = (): boolean => !/^(?:1|t|true)$/i.test(process.env.BUILDX_NO_DEFAULT_ATTESTATIONS ?? '');
