import { defineCommand, noArgs } from '../../command.ts';

export const command = defineCommand({
  usage: '',
  names: ['system dial-stdio'],
  short: "Connect standard input and output to the daemon's socket",
  args: noArgs,
  flags: {},
  async run(cli) {
    const { connection } = await cli.client();
    const { openRaw } = await import('#client/hijack.ts');
    await using stream = await openRaw(await connection.socketAddress());
    const send = async (): Promise<void> => {
      for await (const chunk of Bun.stdin.stream()) await stream.write(chunk);
      stream.closeWrite();
    };
    send().catch(() => stream.closeWrite());
    for await (const chunk of stream.output) cli.out.write(chunk);
  },
});
