import { EngineError } from '#base/errors.ts';

/** The process of a `RUN` ended with something else than 0. */
export class StepFailed extends EngineError {
  readonly args: readonly string[];
  readonly exitCode: number;
  /** What may be the reason, and what to do; empty when nothing is known. */
  readonly hint: string;

  constructor(args: readonly string[], exitCode: number, hint = '') {
    const words = `process ${JSON.stringify(args.join(' '))} did not complete successfully: exit code: ${String(exitCode)}`;
    super('FailedPrecondition', hint === '' ? words : `${words}: ${hint}`);
    this.args = args;
    this.exitCode = exitCode;
    this.hint = hint;
  }
}
