import { messageOf } from '#base/errors.ts';
import { defineCommand, exactArgs } from '../../command.ts';
import { parseImageName } from '../../container-options/image-name.ts';
import { ExitError } from '../../errors.ts';

export const command = defineCommand({
  usage: 'SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]',
  names: ['image tag', 'tag'],
  short: 'Give an image another name',
  args: exactArgs(2),
  flags: {},
  async run(cli, { args }) {
    const [source = '', target = ''] = args;
    const name = readTarget(target);
    const { images } = await cli.client();
    await images.tag(source, name.repository, name.tag);
  },
});

function readTarget(target: string): { repository: string; tag: string } {
  const parsing = `Error parsing reference: ${JSON.stringify(target)} is not a valid repository/tag: `;
  let name: ReturnType<typeof parseImageName>;
  try {
    name = parseImageName(target);
  } catch (err) {
    throw new ExitError(1, parsing + messageOf(err), { cause: err });
  }
  if (name === undefined) throw new ExitError(1, `${parsing}it reads like the id of an image`);
  if (target.includes('@')) throw new ExitError(1, 'refusing to create a tag with a digest reference');
  return name;
}
