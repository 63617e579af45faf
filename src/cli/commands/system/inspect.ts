import { kindOf, messageOf, notFound } from '#base/errors.ts';
import type { Client } from '#client/client.ts';
import { defineCommand, minArgs } from '../../command.ts';
import { ExitError } from '../../errors.ts';
import { bool, text } from '../../flags/flag.ts';
import { formatUsage } from '../../flags/format.ts';
import { inspectEach } from '../../output/inspect.ts';

type Getter = (client: Client, name: string, size: boolean) => Promise<unknown>;

/** In the order in which they are tried when nobody says what a name means. */
const getters: Readonly<Record<string, Getter>> = {
  container: (client, name, size) => client.containers.inspect(name, { size }),
  image: (client, name) => client.images.inspect(name),
  network: (client, name) => client.networks.inspect(name),
  volume: (client, name) => client.volumes.inspect(name),
};
const otherTypes = ['config', 'node', 'plugin', 'secret', 'service', 'task'];

export const command = defineCommand({
  usage: '[OPTIONS] NAME|ID [NAME|ID...]',
  names: ['inspect'],
  short: 'Show all details of objects of any kind',
  args: minArgs(1),
  flags: {
    format: text(formatUsage('object'), { short: 'f' }),
    size: bool('Show how much disk space a container takes', { short: 's' }),
    type: text('Look among objects of this kind only'),
  },
  async run(cli, { flags, args, changed }) {
    const { type, size } = flags;
    const known = [...otherTypes, ...Object.keys(getters)].toSorted();
    if (changed.has('type') && type === '')
      throw new ExitError(1, `type is empty: must be one of ${known.map(name => JSON.stringify(name)).join(', ')}`);
    if (type !== '' && !known.includes(type)) {
      throw new ExitError(1, `unknown type: ${JSON.stringify(type)}: must be one of ${known.map(name => JSON.stringify(name)).join(', ')}`);
    }
    const client = await cli.client();
    return await inspectEach(cli, args, flags.format, name => find(client, name, type, size));
  },
});

async function find(client: Client, name: string, type: string, size: boolean): Promise<unknown> {
  if (type !== '') {
    const getter = getters[type];
    if (getter !== undefined) return await getter(client, name, size);
    return await client.connection.json('GET', `/${type === 'config' ? 'configs' : `${type}s`}/${encodeURIComponent(name)}`);
  }
  for (const getter of Object.values(getters)) {
    try {
      return await getter(client, name, size);
    } catch (err) {
      // Not of this kind: perhaps of the next.
      if (kindOf(err) !== 'NotFound' && !/no such|not found/i.test(messageOf(err))) throw err;
    }
  }
  throw notFound(`Error: No such object: ${name}`);
}
