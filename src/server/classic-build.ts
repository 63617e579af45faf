import type { JsonMessage } from '#api/types/image.ts';
import { errorMessage } from '#api/json-stream.ts';
import { messageOf } from '#base/errors.ts';
import { shortId } from '#base/id.ts';
import { StepFailed } from '#builder/errors.ts';
import type { BuildObserver, StepInfo, StepResult } from '#builder/request.ts';
import { toMessage } from './progress-stream.ts';

/**
 * Tells of a build as the classic builder did, which is what clients without BuildKit read: one step after the other, in the order of the file. What a later
 * step says while an earlier one is under way waits until that one has ended.
 */
export class ClassicBuildStream implements BuildObserver {
  readonly #put: (message: JsonMessage) => void;
  readonly #isQuiet: boolean;
  readonly #pending = new Map<number, PendingStep>();
  #steps: readonly StepInfo[] = [];
  /** The number of the step whose words go out at once. */
  #current = 1;

  constructor(put: (message: JsonMessage) => void, isQuiet: boolean) {
    this.#put = put;
    this.#isQuiet = isQuiet;
  }

  planned(steps: readonly StepInfo[]): void {
    this.#steps = steps;
  }

  started(step: StepInfo): void {
    this.#say(step, `Step ${String(step.number)}/${String(this.#steps.length)} : ${step.code}`);
    this.#say(step, '\n');
  }

  processStarted(step: StepInfo, id: string): void {
    this.#say(step, ` ---> Running in ${shortId(id)}\n`);
  }

  output(step: StepInfo, stream: 'stdout' | 'stderr', chunk: Uint8Array): void {
    const pending = this.#of(step);
    const decoder = (pending.decoders[stream] ??= new TextDecoder());
    const text = decoder.decode(chunk, { stream: true });
    if (text !== '') this.#say(step, stream === 'stdout' ? text : inRed(text));
  }

  progress(step: StepInfo, progress: Parameters<BuildObserver['progress']>[1]): void {
    this.#tell(step, toMessage(progress));
  }

  finished(step: StepInfo, { how, imageId, processId }: StepResult): void {
    const pending = this.#of(step);
    for (const [stream, decoder] of Object.entries(pending.decoders)) {
      const rest = decoder.decode();
      if (rest !== '') this.#say(step, stream === 'stdout' ? rest : inRed(rest));
    }
    if (how === 'cached') this.#say(step, ' ---> Using cache\n');
    if (processId !== undefined) this.#say(step, ` ---> Removed intermediate container ${shortId(processId)}\n`);
    // The last step has made the image, whose id is known a moment later.
    if (imageId !== '' && step.number < this.#steps.length) this.#say(step, ` ---> ${shortId(imageId)}\n`);
    pending.isFinished = true;
    while (this.#pending.get(this.#current)?.isFinished === true) {
      this.#pending.delete(this.#current);
      this.#current += 1;
      for (const message of this.#pending.get(this.#current)?.messages.splice(0) ?? []) this.#put(message);
    }
  }

  built(imageId: string, names: readonly string[]): void {
    if (this.#isQuiet) return this.#put({ stream: `${imageId}\n` });
    this.#put({ stream: ` ---> ${shortId(imageId)}\n` });
    this.#put({ aux: { ID: imageId } });
    this.#put({ stream: `Successfully built ${shortId(imageId)}\n` });
    for (const name of names) this.#put({ stream: `Successfully tagged ${name}\n` });
  }

  /** Whatever waits for its turn is told: the turn does not come any more. */
  failed(): void {
    for (const [, { messages }] of [...this.#pending].toSorted(([a], [b]) => a - b))
      for (const message of messages.splice(0)) this.#put(message);
  }

  #say(step: StepInfo, text: string): void {
    this.#tell(step, { stream: text });
  }

  #tell(step: StepInfo, message: JsonMessage): void {
    if (this.#isQuiet) return;
    const pending = this.#of(step);
    if (step.number === this.#current) this.#put(message);
    else pending.messages.push(message);
  }

  #of(step: StepInfo): PendingStep {
    const known = this.#pending.get(step.number);
    if (known !== undefined) return known;
    const made: PendingStep = { messages: [], decoders: {}, isFinished: false };
    this.#pending.set(step.number, made);
    return made;
  }
}

interface PendingStep {
  readonly messages: JsonMessage[];
  readonly decoders: { stdout?: TextDecoder; stderr?: TextDecoder };
  isFinished: boolean;
}

const inRed = (text: string): string => `\u001B[91m${text}\u001B[0m`;

/** How a failed build is told; a failed process with its exit code, which clients exit with. */
export function buildErrorMessage(err: unknown): JsonMessage {
  if (!(err instanceof StepFailed)) return errorMessage(messageOf(err));
  const words = `The command '${err.args.join(' ')}' returned a non-zero code: ${String(err.exitCode)}`;
  return errorMessage(err.hint === '' ? words : `${words}: ${err.hint}`, err.exitCode);
}
