import { expect } from 'bun:test';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createNamespace, removeNamespace } from '#host/sys/netns.ts';
import { type Nftables, openNftables } from '#host/sys/nftables.ts';
import { needs } from '#test/helpers/needs.ts';
import { closeChains, describeObstacle, findObstacles, openChain } from './foreign-chains.ts';

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

const words = (nftables: Nftables): string =>
  findObstacles(nftables, 'br0', 'berth')
    .map(one => describeObstacle(one, 'br0'))
    .join();
const dropping = 'chain FORWARD { type filter hook forward priority 0; policy drop; }';

test('a chain of others that drops what is forwarded is told with what to do', () => {
  withNftables(nftables => {
    expect(findObstacles(nftables, 'br0', 'berth')).toEqual([]);
    nftables.run(`table ip filter { chain FORWARD { type filter hook forward priority 0; policy accept; }; }`);
    expect(findObstacles(nftables, 'br0', 'berth')).toEqual([]);
    nftables.run(`delete table ip filter\ntable ip filter {\n${dropping}\n}`);
    expect(words(nftables)).toContain('iptables -I FORWARD -i br0 -j ACCEPT; iptables -I FORWARD -o br0 -j ACCEPT');
    nftables.run('table ip filter { chain DOCKER-USER { }; }');
    expect(words(nftables)).toContain('iptables -I DOCKER-USER -i br0 -j ACCEPT');
    nftables.run(`table inet strict {\n${dropping}\n}`);
    expect(words(nftables)).toContain('nft insert rule inet strict FORWARD iifname br0 accept');
  });
});

test('rules about the bridge mean that somebody has thought of it; rules about other interfaces and drops do not', () => {
  withNftables(nftables => {
    nftables.run(`table ip filter {\n${dropping}\nchain DOCKER-USER { iifname "docker0" accept; iifname "br0" drop; }\n}`);
    expect(findObstacles(nftables, 'br0', 'berth')).toHaveLength(1);
    nftables.run('add rule ip filter DOCKER-USER iifname "br0" accept');
    expect(findObstacles(nftables, 'br0', 'berth')).toEqual([]);
    expect(findObstacles(nftables, 'br-1234', 'berth')).toHaveLength(1);
    nftables.run('add rule ip filter DOCKER-USER iifname "br-*" accept');
    expect(findObstacles(nftables, 'br-1234', 'berth')).toEqual([]);
  });
});

test('a bridge is let through behind the rules of a chain that drops by its policy, before those of one that refuses by its last rule', () => {
  withNftables(nftables => {
    nftables.run(
      `table ip filter { chain FORWARD { type filter hook forward priority 0; policy drop; iifname "br0" ip daddr 10.9.9.9 drop; }; }`,
    );
    nftables.run(
      `table inet firewalld { chain filter_FORWARD { type filter hook forward priority 10; policy accept; ct state established accept; reject; }; }`,
    );
    for (const obstacle of findObstacles(nftables, 'br0', 'berth')) openChain(nftables, obstacle, 'br0', 'berth');
    expect(findObstacles(nftables, 'br0', 'berth')).toEqual([]);
    const verdicts = (table: string): string[] =>
      [...JSON.stringify(nftables.list(`list table ${table}`)).matchAll(/"(accept|drop|reject)":/g)].map(([, verdict = '']) => verdict);
    expect(verdicts('ip filter')).toEqual(['drop', 'accept', 'accept']);
    expect(verdicts('inet firewalld')).toEqual(['accept', 'accept', 'accept', 'reject']);
    expect(closeChains(nftables, 'berth', { allBut: ['br0'] })).toBe(0);
    expect(closeChains(nftables, 'berth', { bridge: 'br1' })).toBe(0);
    expect(closeChains(nftables, 'berth', { bridge: 'br0' })).toBe(4);
    expect(verdicts('ip filter')).toEqual(['drop']);
  });
});

test('what goes to bridges of others is left to whoever has rules about them; rules of ours are kept behind his', () => {
  withNftables(nftables => {
    nftables.run(
      `table ip filter { chain FORWARD { type filter hook forward priority 0; policy drop; oifname "docker0" ct state established accept; oifname "eth0" accept; }; }`,
    );
    const open = (): number => {
      const found = findObstacles(nftables, 'br0', 'berth', ['docker0', 'docker1', 'lan0']);
      for (const obstacle of found) openChain(nftables, obstacle, 'br0', 'berth');
      return found.length;
    };
    const rules = (): string[] =>
      [...JSON.stringify(nftables.list('list table ip filter')).matchAll(/"oifname"\}\},"right":"(\w+)"|"comment":"(berth: br0)"/g)].map(
        ([, name, comment]) => name ?? comment ?? '',
      );
    expect(open()).toBe(1);
    expect(open()).toBe(0);
    const ours = (...closedTo: string[]): string[] => [
      ...closedTo.flatMap(name => ['berth: br0', name]),
      'berth: br0',
      'berth: br0',
      'br0',
    ];
    expect(rules()).toEqual(['docker0', 'eth0', ...ours('docker0')]);
    nftables.run('add rule ip filter FORWARD oifname "docker1" ct state established accept');
    expect(open()).toBe(1);
    expect(rules()).toEqual(['docker0', 'eth0', 'docker1', ...ours('docker0', 'docker1')]);
    expect(open()).toBe(0);
    nftables.run('flush chain ip filter FORWARD');
    expect(open()).toBe(1);
    expect(rules()).toEqual(ours());
  });
});
