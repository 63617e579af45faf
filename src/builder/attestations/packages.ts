import { Database } from 'bun:sqlite';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { InstalledPackage } from './installed-package.ts';
import { readRpmHeader } from './rpm-header.ts';

/** Which distribution it is, as os-release names it (`ID`); empty when it does not say. */
export interface InstalledPackages {
  readonly distribution: string;
  readonly packages: readonly InstalledPackage[];
}

/** Resolves a path inside a root; rejects with NotFound. */
export type Resolve = (path: string) => string;

/** Reads the databases of dpkg, apk and rpm in a root file system. What is not there is not installed. */
export function readPackages(resolve: Resolve): InstalledPackages {
  const packages = [
    ...readText(resolve, '/var/lib/dpkg/status').flatMap(readDpkg),
    ...readDirectory(resolve, '/var/lib/dpkg/status.d').flatMap(readDpkg),
    ...['/lib/apk/db/installed', '/usr/lib/apk/db/installed']
      .flatMap(path => readText(resolve, path))
      .slice(0, 1)
      .flatMap(readApk),
    ...['/usr/lib/sysimage/rpm/rpmdb.sqlite', '/var/lib/rpm/rpmdb.sqlite'].flatMap(path => readRpm(resolve, path)),
  ];
  const unique = new Map(packages.map(each => [`${each.kind} ${each.name} ${each.version} ${each.architecture}`, each]));
  const [release = ''] = ['/etc/os-release', '/usr/lib/os-release'].flatMap(path => readText(resolve, path));
  return {
    distribution: /^ID="?([^"\n]*)"?$/m.exec(release)?.[1] ?? '',
    packages: [...unique.values()].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : a.version < b.version ? -1 : 1)),
  };
}

function readText(resolve: Resolve, path: string): string[] {
  try {
    return [readFileSync(resolve(path), 'utf8')];
  } catch {
    // No such database: another package manager's, or none.
    return [];
  }
}

function readDirectory(resolve: Resolve, path: string): string[] {
  try {
    const directory = resolve(path);
    return readdirSync(directory)
      .filter(name => !name.endsWith('.md5sums'))
      .map(name => readFileSync(join(directory, name), 'utf8'));
  } catch {
    return [];
  }
}

/** Paragraphs of fields, as deb822(5) has them. */
function readDpkg(text: string): InstalledPackage[] {
  return text.split(/\n\n+/).flatMap(paragraph => {
    const field = (name: string): string => new RegExp(`^${name}: *(.*)$`, 'm').exec(paragraph)?.[1]?.trim() ?? '';
    const status = field('Status');
    if (field('Package') === '' || (status !== '' && !status.endsWith(' installed'))) return [];
    return [
      {
        kind: 'deb' as const,
        name: field('Package'),
        version: field('Version'),
        architecture: field('Architecture'),
        license: '',
        supplier: field('Maintainer'),
      },
    ];
  });
}

/** Lines of one letter, a colon and the value. */
function readApk(text: string): InstalledPackage[] {
  return text.split(/\n\n+/).flatMap(paragraph => {
    const fields = new Map(paragraph.split('\n').map(line => [line.slice(0, 1), line.slice(2)]));
    const name = fields.get('P') ?? '';
    if (name === '') return [];
    return [
      {
        kind: 'apk' as const,
        name,
        version: fields.get('V') ?? '',
        architecture: fields.get('A') ?? '',
        license: fields.get('L') ?? '',
        supplier: fields.get('m') ?? '',
      },
    ];
  });
}

function readRpm(resolve: Resolve, path: string): InstalledPackage[] {
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(resolve(path));
  } catch {
    return [];
  }
  using database = Database.deserialize(bytes);
  const rows = database.query<{ blob: Uint8Array }, []>('SELECT blob FROM Packages').all();
  return rows.flatMap(({ blob }) => readRpmHeader(blob) ?? []);
}
