import type { JsonMessage } from '#api/types/image.ts';
import { readJsonLines } from '#client/json-stream.ts';
import { isErrno } from '#base/errors.ts';
import { openSync } from 'node:fs';
import { defineCommand, noArgs } from '../../command.ts';
import { parsePlatform } from '../../container-options/platform.ts';
import { ExitError } from '../../errors.ts';
import { bool, csvList, text } from '../../flags/flag.ts';
import { showProgress } from '../../output/progress.ts';
import { isInputTerminal } from '../../streams/session.ts';

export const command = defineCommand({
  usage: '[OPTIONS]',
  names: ['image load', 'load'],
  short: 'Load images from a tar archive',
  args: noArgs,
  flags: {
    input: text('Read this file and not stdin', { short: 'i' }),
    platform: csvList('Load only these platforms, such as linux/amd64', { requires: { since: '1.48' } }),
    quiet: bool('Print what was loaded only', { short: 'q' }),
  },
  async run(cli, { flags }) {
    if (flags.input === '' && isInputTerminal()) throw new ExitError(1, 'requested load from stdin, but stdin is empty');
    const input = flags.input === '' ? Bun.stdin.stream() : openArchive(flags.input);
    const { images } = await cli.client();
    const answer = await images.load(input, { quiet: flags.quiet || !cli.out.isTerminal, platforms: flags.platform.map(parsePlatform) });
    if (answer.json) await showProgress(readJsonLines<JsonMessage>(answer.body), cli.out);
    else for await (const chunk of answer.body) cli.out.write(chunk);
  },
});

/** A file that is sent as it is read. */
export function openArchive(path: string): ReadableStream<Uint8Array> {
  try {
    return Bun.file(openSync(path, 'r')).stream();
  } catch (err) {
    if (isErrno(err, 'ENOENT')) throw new ExitError(1, `open ${path}: no such file or directory`, { cause: err });
    throw err;
  }
}
