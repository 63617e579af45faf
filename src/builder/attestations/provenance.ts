/** What is known of how an image was made. */
export interface ProvenanceFacts {
  readonly builderId: string;
  readonly invocationId: string;
  readonly startedAt: string;
  readonly finishedAt: string;
  /** `linux/amd64`: what the daemon runs on. */
  readonly builderPlatform: string;
  /** What read the plan; empty: the client wrote it as a graph. */
  readonly frontend: string;
  /** The name of the Dockerfile in its context; empty: there is none. */
  readonly entryPoint: string;
  /** Where the context came from, when that was not a directory of the client. */
  readonly source: Material | undefined;
  /** The frontend's options; with build arguments and labels, which may say more than everybody should read. */
  readonly options: Readonly<Record<string, string>>;
  readonly locals: readonly string[];
  readonly dockerfile: string | undefined;
  readonly materials: readonly Material[];
}

export interface Material {
  readonly uri: string;
  /** By algorithm, in hex. */
  readonly digest?: Readonly<Record<string, string>>;
}

export interface ProvenanceOptions {
  /** `max` adds build arguments, labels and the Dockerfile. */
  readonly mode: 'min' | 'max';
  readonly version: 'v0.2' | 'v1';
  readonly isReproducible: boolean;
}

export interface Predicate {
  readonly type: string;
  readonly value: object;
}

/** Options that say what, not how; `min` leaves the rest out. */
const harmless = new Set([
  'filename',
  'target',
  'platform',
  'multi-platform',
  'image-resolve-mode',
  'no-cache',
  'force-network-mode',
  'context',
]);

/** SLSA provenance, in the shape that BuildKit gives it. */
export function provenance(facts: ProvenanceFacts, options: ProvenanceOptions): Predicate {
  const isMax = options.mode === 'max';
  const args = Object.fromEntries(
    Object.entries(facts.options).filter(
      ([name]) => !name.startsWith('attest:') && !name.startsWith('local-sessionid:') && (isMax || harmless.has(name)),
    ),
  );
  const parameters = {
    ...(facts.frontend !== '' && { frontend: facts.frontend }),
    ...(Object.keys(args).length > 0 && { args }),
    ...(facts.locals.length > 0 && { locals: facts.locals.map(name => ({ name })) }),
  };
  const configSource = { ...facts.source, ...(facts.entryPoint !== '' && { entryPoint: facts.entryPoint }) };
  const { dockerfile } = facts;
  const file = dockerfile && { filename: facts.entryPoint, language: 'Dockerfile', data: Buffer.from(dockerfile).toString('base64') };
  const source = file === undefined ? {} : { source: { infos: [file] } };
  const materials = [...(facts.source === undefined ? [] : [facts.source]), ...facts.materials];
  const completeness = { parameters: isMax, environment: true, materials: facts.locals.length === 0 };
  if (options.version === 'v1') {
    return {
      type: 'https://slsa.dev/provenance/v1',
      value: {
        buildDefinition: {
          buildType: 'https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md',
          externalParameters: { configSource: { ...facts.source, path: facts.entryPoint }, request: parameters },
          internalParameters: { builderPlatform: facts.builderPlatform },
          resolvedDependencies: materials,
        },
        runDetails: {
          builder: { id: facts.builderId },
          metadata: {
            invocationID: facts.invocationId,
            startedOn: facts.startedAt,
            finishedOn: facts.finishedAt,
            buildkit_completeness: { request: isMax, resolvedDependencies: completeness.materials },
            ...(options.isReproducible && { buildkit_reproducible: true }),
            ...(isMax && { buildkit_metadata: source }),
          },
        },
      },
    };
  }
  return {
    type: 'https://slsa.dev/provenance/v0.2',
    value: {
      builder: { id: facts.builderId },
      buildType: 'https://mobyproject.org/buildkit@v1',
      materials,
      invocation: { configSource, parameters, environment: { platform: facts.builderPlatform } },
      metadata: {
        buildInvocationID: facts.invocationId,
        buildStartedOn: facts.startedAt,
        buildFinishedOn: facts.finishedAt,
        completeness,
        reproducible: options.isReproducible,
        'https://mobyproject.org/buildkit@v1#metadata': isMax ? source : {},
      },
    },
  };
}

/** A package URL for an image (purl-spec, docker). */
export function imageMaterial(name: string, platform: string, digest: string | undefined): Material {
  const [, repository = name, tag] = /^(.*?)(?::([^:/]+))?$/.exec(name.replace(/@.*$/, '')) ?? [];
  const short = repository.replace(/^docker\.io\/(library\/)?/, '');
  const hex = digest?.replace(/^sha256:/, '');
  return {
    uri: `pkg:docker/${short}${tag === undefined ? '' : `@${tag}`}?platform=${encodeURIComponent(platform)}`,
    ...(hex !== undefined && { digest: { sha256: hex } }),
  };
}
