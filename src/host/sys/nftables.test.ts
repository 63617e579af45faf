import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'bun:test';
import { needs } from '#test/helpers/needs.ts';
import { createNamespace, removeNamespace } from './netns.ts';
import { type Nftables, openNftables } from './nftables.ts';

const { test } = needs('root', 'nft');

test('rules are changed by a process that has more than a thousand files open', () => {
  const dir = mkdtempSync(join(tmpdir(), 'berth-nft-'));
  // What a daemon opens when it starts.
  openNftables()[Symbol.dispose]();
  const many = Array.from({ length: 1200 }, () => openSync('/dev/null', 'r'));
  const opened: Nftables[] = [];
  try {
    // Without a low number for its socket the library would end this process.
    createNamespace(join(dir, 'ns'), () => opened.push(openNftables(), openNftables()));
    const [one, two] = opened;
    one?.run('add table ip first\n');
    two?.run('add table ip second\n');
    one?.run('add table ip third\n');
    expect(JSON.stringify(two?.list('list tables')).match(/first|second|third/g)).toEqual(['first', 'second', 'third']);
    for (let round = 0; round < 20; round += 1) openNftables()[Symbol.dispose]();
  } finally {
    for (const nftables of opened) nftables[Symbol.dispose]();
    for (const fd of many) closeSync(fd);
    removeNamespace(join(dir, 'ns'));
    rmSync(dir, { recursive: true });
  }
});
