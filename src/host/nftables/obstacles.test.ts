import { expect } from 'bun:test';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createNamespace, removeNamespace } from '#host/sys/netns.ts';
import { type Nftables, openNftables } from '#host/sys/nftables.ts';
import { needs } from '#test/helpers/needs.ts';
import { findObstacles } from './obstacles.ts';

const { test } = needs('root', 'nft');

/** Rules of a network namespace that nobody uses: what is dropped there is dropped for nobody. */
function withNftables(action: (nftables: Nftables) => void): void {
  const dir = mkdtempSync(join(tmpdir(), 'berth-nft-'));
  let nftables: Nftables | undefined;
  createNamespace(join(dir, 'ns'), () => (nftables = openNftables()));
  try {
    if (nftables !== undefined) action(nftables);
  } finally {
    nftables?.[Symbol.dispose]();
    removeNamespace(join(dir, 'ns'));
    rmSync(dir, { recursive: true });
  }
}

const dropping = 'chain FORWARD { type filter hook forward priority 0; policy drop; }';

test('a chain of others that drops what is forwarded is told with what to do', () => {
  withNftables(nftables => {
    expect(findObstacles(nftables, 'berth', 'br0')).toEqual([]);
    nftables.run(`table ip filter { chain FORWARD { type filter hook forward priority 0; policy accept; }; }`);
    expect(findObstacles(nftables, 'berth', 'br0')).toEqual([]);
    nftables.run(`delete table ip filter\ntable ip filter {\n${dropping}\n}`);
    expect(findObstacles(nftables, 'berth', 'br0').join()).toContain(
      'iptables -I FORWARD -i br0 -j ACCEPT; iptables -I FORWARD -o br0 -j ACCEPT',
    );
    nftables.run('table ip filter { chain DOCKER-USER { }; }');
    expect(findObstacles(nftables, 'berth', 'br0').join()).toContain('iptables -I DOCKER-USER -i br0 -j ACCEPT');
    nftables.run(`table inet strict {\n${dropping}\n}`);
    expect(findObstacles(nftables, 'berth', 'br0').join()).toContain('nft insert rule inet strict FORWARD iifname br0 accept');
  });
});

test('rules about the bridge mean that somebody has thought of it; rules about other interfaces and drops do not', () => {
  withNftables(nftables => {
    nftables.run(`table ip filter {\n${dropping}\nchain DOCKER-USER { iifname "docker0" accept; iifname "br0" drop; }\n}`);
    expect(findObstacles(nftables, 'berth', 'br0')).toHaveLength(1);
    nftables.run('add rule ip filter DOCKER-USER iifname "br0" accept');
    expect(findObstacles(nftables, 'berth', 'br0')).toEqual([]);
    expect(findObstacles(nftables, 'berth', 'br-1234')).toHaveLength(1);
    nftables.run('add rule ip filter DOCKER-USER iifname "br-*" accept');
    expect(findObstacles(nftables, 'berth', 'br-1234')).toEqual([]);
  });
});
