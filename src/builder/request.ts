import type { RegistryAuth } from '#core/registry.ts';
import type { ImageConfigFile } from '#oci/image-config.ts';
import type { Platform } from '#oci/platform.ts';
import type { Reference } from '#oci/reference.ts';
import type { BuildStepLimits } from '#core/build-steps.ts';
import type { RemoteCache } from './cache/portable-cache.ts';
import type { Instruction } from './dockerfile/instructions.ts';
import type { LintWarning } from './dockerfile/linter.ts';
import type { Range, Source } from './dockerfile/source.ts';
import type { BaseImage, BuildWorkspace, ClientSecrets, Layer } from './ports.ts';

/** What is to be built. */
export interface BuildRequest {
  readonly dockerfile: { readonly name: string; readonly text: string };
  /** The directory with the build context; undefined: there is none. */
  readonly contextDir: string | undefined;
  /** Digests of what is in it, from builds that found the same files there. */
  readonly contextDigests?: KnownDigests | undefined;
  /** Names that stand for something else than an image or a stage (`--build-context`). */
  readonly namedContexts: ReadonlyMap<string, NamedContext>;
  /** A stage's name; empty: the last one. */
  readonly target: string;
  readonly buildArgs: ReadonlyMap<string, string>;
  /** Added to the image's labels. */
  readonly labels: Readonly<Record<string, string>>;
  /** Undefined: the machine's. */
  readonly platform: Platform | undefined;
  /** Steps that are done anew whatever the cache has: all, or those of these stages. */
  readonly noCache: 'all' | ReadonlySet<string>;
  /** Asks registries for newer base images. */
  readonly pull: boolean;
  /** For steps that do not say: `default`, `none`, `host`, or a network. */
  readonly network: string;
  readonly limits: BuildStepLimits;
  readonly hostname: string;
  /** What steps may ask for. */
  readonly entitlements: ReadonlySet<Entitlement>;
  readonly names: readonly Reference[];
  /** One layer for everything that the build adds to its base image. */
  readonly squash: boolean;
  /** The credentials for a registry, if there are any. */
  readonly authOf: (domain: string) => RegistryAuth | undefined | Promise<RegistryAuth | undefined>;
  readonly secrets: ClientSecrets;
  /** Opens caches that are elsewhere. */
  readonly openCaches?: (workspace: BuildWorkspace) => Promise<readonly RemoteCache[]>;
}

export type Entitlement = 'network.host' | 'security.insecure' | 'device';

/** Digests of selections of a directory's files, by what was selected. */
export type KnownDigests = Pick<Map<string, string>, 'get' | 'set'>;

export type NamedContext =
  | { readonly kind: 'directory'; readonly path: string; readonly digests?: KnownDigests | undefined }
  | { readonly kind: 'image'; readonly reference: string }
  /** An image that is brought here in another way than from a registry. */
  | { readonly kind: 'foreign'; readonly load: (workspace: BuildWorkspace, platform: Platform) => Promise<BaseImage> }
  /** What another build has come to, and still holds. */
  | { readonly kind: 'built'; readonly build: { readonly config: ImageConfigFile; readonly layers: readonly Layer[] } };

/** Follows a build. Steps are told of in the order in which things happen, which is not that of the file. */
export interface BuildObserver {
  /** Called first, with all steps in the order of the file. */
  planned(steps: readonly StepInfo[]): void;
  started(step: StepInfo): void;
  /** A process with this id does the step's work. */
  processStarted(step: StepInfo, id: string): void;
  /** Bytes that a step wrote. */
  output(step: StepInfo, stream: 'stdout' | 'stderr', chunk: Uint8Array): void;
  /** How a base image comes here. */
  progress(
    step: StepInfo,
    progress: { readonly id?: string; readonly status?: string; readonly current?: number; readonly total?: number },
  ): void;
  finished(step: StepInfo, result: StepResult): void;
  /** The step ended with an error; of steps that are stopped because another one failed, this is told as well. */
  failed?(step: StepInfo, err: unknown): void;
  /** What the build checks found, before anything is done. */
  linted?(warnings: readonly LintWarning[], source: Source): void;
}

/** One line of the file. */
export interface StepInfo {
  /** From 1. */
  readonly number: number;
  readonly code: string;
  readonly stage: string;
  /** The kind of the instruction: `run`, `copy`, …; `from` begins a stage, `global` stands outside of stages. */
  readonly kind: Instruction['kind'] | 'from' | 'global';
  /** What a stage begins with, when that is an image. */
  readonly image?: string;
  readonly range: Range;
}

export interface StepResult {
  /** `done`: files were worked on; `config`: only the configuration changed, or nothing had to be done. */
  readonly how: 'cached' | 'done' | 'config';
  /** The id that an image made of everything so far would have. */
  readonly imageId: string;
  /** The id of the process that did it, if there was one. */
  readonly processId?: string | undefined;
}
