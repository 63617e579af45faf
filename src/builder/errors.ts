import { EngineError } from '#base/errors.ts';

/** The process of a `RUN` ended with something else than 0. */
export class StepFailed extends EngineError {
  readonly args: readonly string[];
  readonly exitCode: number;

  constructor(args: readonly string[], exitCode: number) {
    super('FailedPrecondition', `process ${JSON.stringify(args.join(' '))} did not complete successfully: exit code: ${String(exitCode)}`);
    this.args = args;
    this.exitCode = exitCode;
  }
}
