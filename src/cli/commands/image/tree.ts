import type { ImageManifest, ImageSummary } from '#api/types/image.ts';
import { idText } from '../../output/text.ts';
import { humanSize } from '../../output/units.ts';

interface Line {
  readonly name: string;
  readonly id: string;
  readonly disk: string;
  readonly content: string;
  readonly extra: string;
}

const headings: Line = { name: 'IMAGE', id: 'ID', disk: 'DISK USAGE', content: 'CONTENT SIZE', extra: 'EXTRA' };

/** Images with the platforms of each below them: `docker images --tree`. What is attested of them is no image. */
export function imageTree(images: readonly ImageSummary[]): string {
  const lines = images.toSorted((a, b) => b.Created - a.Created).flatMap(linesOf);
  const width = (of: (line: Line) => string): number => Math.max(...[headings, ...lines].map(line => of(line).length));
  const [name, id, disk, content] = [
    width(line => line.name),
    width(line => line.id),
    width(line => line.disk),
    width(line => line.content),
  ];
  const text = (line: Line): string =>
    `${line.name.padEnd(name)}   ${line.id.padEnd(id)}   ${line.disk.padStart(disk)}   ${line.content.padStart(content)}   ${line.extra}`.trimEnd();
  return `${[headings, ...lines].map(text).join('\n')}\n\nU: in use\n`;
}

function linesOf(image: ImageSummary): Line[] {
  const platforms = (image.Manifests ?? []).filter(({ Kind }) => Kind === 'image');
  const [first = '<untagged>', ...others] = image.RepoTags;
  const top: Line = {
    name: first,
    id: idText(image.Id, true),
    disk: humanSize(platforms.length === 0 ? image.Size : sum(platforms, size => size.Total), 3),
    content: humanSize(
      sum(platforms, size => size.Content),
      3,
    ),
    extra: image.Containers > 0 || platforms.some(isUsed) ? 'U' : '',
  };
  const names = others.map((name): Line => ({ name, id: '', disk: '', content: '', extra: '' }));
  return [top, ...names, ...platforms.map((manifest, index) => platformLine(manifest, index === platforms.length - 1))];
}

function platformLine(manifest: ImageManifest, isLast: boolean): Line {
  const { os = '', architecture = '', variant = '' } = manifest.ImageData?.Platform ?? {};
  const platform = [os, architecture, variant].filter(part => part !== '').join('/');
  return {
    name: `${isLast ? '└─' : '├─'} ${platform === '' ? 'unknown' : platform}`,
    id: idText(manifest.ID, true),
    disk: humanSize(manifest.Available ? manifest.Size.Total : 0, 3),
    content: humanSize(manifest.Available ? manifest.Size.Content : 0, 3),
    extra: isUsed(manifest) ? 'U' : '',
  };
}

const isUsed = (manifest: ImageManifest): boolean => (manifest.ImageData?.Containers.length ?? 0) > 0;

const sum = (manifests: readonly ImageManifest[], of: (size: ImageManifest['Size']) => number): number =>
  manifests.reduce((bytes, { Available, Size }) => bytes + (Available ? of(Size) : 0), 0);
