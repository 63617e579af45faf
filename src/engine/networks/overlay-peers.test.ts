import { expect, test } from 'bun:test';
import { kindOf } from '#base/errors.ts';
import { silentLogger } from '#base/log.ts';
import type { TunnelEncryption, TunnelPeers } from '#core/network-driver.ts';
import type { OverlayPeers } from '#core/overlay-peers.ts';
import type { Context } from './context.ts';
import type { Network, OverlaySettings } from './model.ts';
import { checkEncryption, followPeers, putEncryption, tunnelBytes } from './overlay-peers.ts';

const settings: OverlaySettings = {
  ...{ link: 'vx0', vni: 5000, port: 25_480, peers: ['10.0.0.2'], local: undefined },
  encryption: { keyFile: '' },
};
const network = { id: 'n', name: 'net', overlay: settings } as Network;
const keyOf = (byte: number): Uint8Array => new Uint8Array(32).fill(byte);

/** A store as a cluster has one, and what the kernel is told. */
function clustered() {
  const state = { hosts: ['10.0.0.3'], keys: [keyOf(1)] };
  const told: (TunnelEncryption | TunnelPeers)[] = [];
  let changed: (networkId: string) => void = () => undefined;
  const store: OverlayPeers = {
    peersOf: () => ({ hosts: state.hosts, interfaces: [] }),
    keysOf: () => state.keys,
    watch: listener => {
      changed = listener;
      return { [Symbol.dispose]: () => (changed = () => undefined) };
    },
  };
  const ctx = {
    overlayPeers: store as OverlayPeers | undefined,
    networks: { byId: (id: string) => (id === network.id ? network : undefined) },
    driver: {
      checkEncryption: () => undefined,
      putEncryption: (encryption: TunnelEncryption) => told.push(encryption) > 0,
      putTunnelPeers: (_link: string, peers: TunnelPeers) => void told.push(peers),
    },
    log: silentLogger,
  };
  return { state, told, ctx: ctx as unknown as Context, change: () => changed('n') };
}

test('hosts and keys of a cluster’s store reach the kernel as they change, keys before hosts', () => {
  const { state, told, ctx, change } = clustered();
  expect(putEncryption(ctx, network)).toBe(true);
  expect(told.splice(0)).toMatchObject([{ vni: 5000, port: 25_480, hosts: ['10.0.0.2', '10.0.0.3'], keys: [keyOf(1)] }]);
  {
    using _following = followPeers(ctx);
    Object.assign(state, { hosts: ['10.0.0.2', '10.0.0.4'], keys: [keyOf(2), keyOf(1)] });
    change();
    const hosts = ['10.0.0.2', '10.0.0.4'];
    expect(told.splice(0)).toEqual([
      { vni: 5000, port: 25_480, local: undefined, hosts, keys: [keyOf(2), keyOf(1)] },
      { hosts, interfaces: [] },
    ]);
  }
  change();
  expect(told).toEqual([]);
});

test('without a store and without a file there is nothing to encrypt with', () => {
  const { ctx } = clustered();
  expect(() => checkEncryption(ctx, settings)).not.toThrow();
  let refusal: unknown;
  try {
    checkEncryption({ ...ctx, overlayPeers: undefined } as unknown as Context, settings);
  } catch (err) {
    refusal = err;
  }
  expect(kindOf(refusal)).toBe('InvalidArgument');
});

test('what is put around packets is left room for', () => {
  const { encryption: _none, ...plain } = settings;
  expect([tunnelBytes(plain), tunnelBytes(settings), tunnelBytes({ ...settings, peers: ['fd00::2'] })]).toEqual([50, 107, 127]);
});
