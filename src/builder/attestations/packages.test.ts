import { Database } from 'bun:sqlite';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, test } from 'bun:test';
import { readPackages } from './packages.ts';
import { spdx } from './spdx.ts';

function withRoot(files: Readonly<Record<string, string | Uint8Array>>, look: (resolve: (path: string) => string) => void): void {
  const root = mkdtempSync('/tmp/berth-packages-');
  try {
    for (const [path, content] of Object.entries(files)) {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), content);
    }
    look(path => join(root, path));
  } finally {
    rmSync(root, { recursive: true });
  }
}

test('packages of dpkg, in one file and in several, those that are installed', () => {
  const status = [
    'Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.36-9\nMaintainer: Debian <a@example.org>\nDescription: C\n long text',
    'Package: gone\nStatus: deinstall ok config-files\nVersion: 1',
  ].join('\n\n');
  withRoot(
    {
      'var/lib/dpkg/status': status,
      'var/lib/dpkg/status.d/tz': 'Package: tzdata\nVersion: 2024a\nArchitecture: all\n',
      'etc/os-release': 'NAME=x\nID=debian\n',
    },
    resolve => {
      const found = readPackages(resolve);
      expect(found.distribution).toBe('debian');
      expect(found.packages.map(({ name, version, architecture }) => `${name} ${version} ${architecture}`)).toEqual([
        'libc6 2.36-9 amd64',
        'tzdata 2024a all',
      ]);
      expect(spdx(found, { name: 'n', createdAt: '2024-01-01T00:00:00Z' }).value).toMatchObject({
        packages: [
          {},
          { externalRefs: [{ referenceLocator: 'pkg:deb/debian/libc6@2.36-9?arch=amd64' }] },
          { externalRefs: [{ referenceLocator: 'pkg:deb/debian/tzdata@2024a?arch=all' }] },
        ],
      });
    },
  );
});

test('packages of apk', () => {
  withRoot(
    { 'lib/apk/db/installed': 'C:Q1abc=\nP:musl\nV:1.2.5-r0\nA:x86_64\nL:MIT\n\nP:busybox\nV:1.36.1-r29\nA:x86_64\nL:GPL-2.0-only\n' },
    resolve => {
      expect(readPackages(resolve).packages.map(({ kind, name, version, license }) => [kind, name, version, license])).toEqual([
        ['apk', 'busybox', '1.36.1-r29', 'GPL-2.0-only'],
        ['apk', 'musl', '1.2.5-r0', 'MIT'],
      ]);
    },
  );
});

test('packages of rpm, from the headers in its database', () => {
  const database = new Database(':memory:');
  database.run('CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob BLOB NOT NULL)');
  const insert = database.query('INSERT INTO Packages (blob) VALUES (?)');
  insert.run(header({ 1000: 'bash', 1001: '5.2.26', 1002: '3.fc40', 1014: 'GPLv3+', 1022: 'x86_64' }));
  insert.run(header({ 1000: 'vim', 1001: '9.1', 1002: '1', 1003: 2, 1022: 'x86_64' }));
  insert.run(new Uint8Array([1, 2, 3]));
  withRoot({ 'var/lib/rpm/rpmdb.sqlite': database.serialize() }, resolve => {
    expect(readPackages(resolve).packages.map(({ name, version }) => `${name} ${version}`)).toEqual(['bash 5.2.26-3.fc40', 'vim 2:9.1-1']);
  });
});

test('a root without any of them has no packages', () => {
  withRoot({}, resolve => expect(readPackages(resolve)).toEqual({ distribution: '', packages: [] }));
});

/** Counts, entries, data. */
function header(values: Readonly<Record<number, string | number>>): Uint8Array {
  const entries: number[] = [];
  let data = Buffer.alloc(0);
  for (const [tag, value] of Object.entries(values)) {
    entries.push(Number(tag), typeof value === 'number' ? 4 : 6, data.length, 1);
    const bytes = typeof value === 'number' ? Buffer.alloc(4) : Buffer.from(`${value}\0`);
    if (typeof value === 'number') bytes.writeUInt32BE(value);
    data = Buffer.concat([data, bytes]);
  }
  const head = Buffer.alloc(8 + entries.length * 4);
  head.writeUInt32BE(entries.length / 4, 0);
  head.writeUInt32BE(data.length, 4);
  for (const [index, value] of entries.entries()) head.writeUInt32BE(value, 8 + index * 4);
  return Buffer.concat([head, data]);
}
