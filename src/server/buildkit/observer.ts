import type { LintWarning } from '#builder/dockerfile/linter.ts';
import type { Source } from '#builder/dockerfile/source.ts';
import type { BuildObserver, StepInfo, StepResult } from '#builder/request.ts';
import { tryParseReference, canonicalString, withDefaultTag } from '#oci/reference.ts';
import { type Progress, pullSteps, type VertexProgress } from './progress.ts';
import { toSourceRange } from './status.ts';

/** The instructions that work on files: the others are part of the image's configuration and are not shown. */
const shown: readonly StepInfo['kind'][] = ['from', 'run', 'copy', 'add', 'workdir'];

/** Tells of the steps of one platform's build as pieces of work. */
export class StepObserver implements BuildObserver {
  readonly #progress: Progress;
  readonly #platform: string;
  readonly #vertexes = new Map<number, VertexProgress>();
  readonly #fetched = new Set<number>();
  /** Where the first error happened. */
  failedStep: StepInfo | undefined;
  /** The digest of its piece of work. */
  failedVertex: string | undefined;
  /** The images that the stages begin with. */
  images: readonly string[] = [];

  /** `platform`: empty when there is only one. */
  constructor(progress: Progress, platform: string) {
    this.#progress = progress;
    this.#platform = platform;
  }

  planned(steps: readonly StepInfo[]): void {
    this.images = steps.flatMap(({ image }) => (image === undefined ? [] : [image]));
    const visible = steps.filter(step => shown.includes(step.kind) && (step.kind !== 'from' || step.image !== undefined));
    const stages = new Set(steps.filter(step => step.kind === 'from').map(step => step.stage));
    for (const stage of stages) {
      const own = visible.filter(step => step.stage === stage);
      const isNamed = stages.size > 1 || !/^stage-\d+$/.test(stage);
      for (const [index, step] of own.entries()) {
        const words = [this.#platform, isNamed ? stage : '', `${String(index + 1)}/${String(own.length)}`].filter(word => word !== '');
        this.#vertexes.set(
          step.number,
          this.#progress.vertex(`${this.#platform} ${String(step.number)}`, `[${words.join(' ')}] ${titleOf(step)}`),
        );
      }
    }
  }

  started(step: StepInfo): void {
    this.#vertexes.get(step.number)?.start();
  }

  processStarted(): void {
    // Its output says so.
  }

  output(step: StepInfo, stream: 'stdout' | 'stderr', chunk: Uint8Array): void {
    this.#vertexes.get(step.number)?.output(stream, chunk);
  }

  progress(step: StepInfo, progress: Parameters<BuildObserver['progress']>[1]): void {
    this.#fetched.add(step.number);
    const vertex = this.#vertexes.get(step.number);
    if (vertex !== undefined) pullSteps(vertex, progress);
  }

  finished(step: StepInfo, { how }: StepResult): void {
    const isCached = how === 'cached' || (step.kind === 'from' && !this.#fetched.has(step.number));
    this.#vertexes.get(step.number)?.finish({ isCached });
  }

  failed(step: StepInfo, err: unknown): void {
    // Those that are stopped because of the first one say nothing new.
    if (this.failedStep !== undefined) return;
    this.failedStep = step;
    const vertex = this.#vertexes.get(step.number);
    this.failedVertex = vertex?.digest;
    vertex?.fail(err);
  }

  linted(warnings: readonly LintWarning[], source: Source): void {
    const vertex = this.#progress.vertex('dockerfile', '[internal] load build definition');
    const info = { filename: source.name, data: new TextEncoder().encode(source.text), language: 'Dockerfile' };
    for (const { rule, detail, range } of warnings) {
      vertex.warn({
        text: `${rule.name}: ${detail} (line ${String(range.start.line)})`,
        detail: [new TextEncoder().encode(rule.description)],
        url: rule.url,
        info,
        ranges: [toSourceRange(range)],
      });
    }
  }
}

function titleOf({ code, kind, image }: StepInfo): string {
  if (kind !== 'from' || image === undefined) return code.replaceAll(/\s*\\\n\s*/g, ' ');
  const reference = tryParseReference(image);
  return `FROM ${reference === undefined ? image : canonicalString(withDefaultTag(reference))}`;
}
