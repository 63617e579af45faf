/** Ends the command with this exit code after showing the message, if there is one, on stderr. */
export class ExitError extends Error {
  readonly exitCode: number;

  constructor(exitCode: number, message = '', options?: ErrorOptions) {
    super(message, options);
    this.name = 'ExitError';
    this.exitCode = exitCode;
  }
}

/** Words on the command line that cannot be understood: exit code 125, with the command's usage. */
export class FlagError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'FlagError';
  }
}
