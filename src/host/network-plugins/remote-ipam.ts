import { formatIp, parseCidr } from '#base/ip.ts';
import type { RemoteIpam, RemoteUndo } from '#core/network-plugins.ts';
import { PluginFailure } from '#core/network-plugins.ts';
import type { PluginCalls } from './plugin-call.ts';

/** Keys of options as Docker's daemons send them. */
const requestType = 'RequestAddressType';
const gatewayKey = 'com.docker.network.gateway';
const macKey = 'com.docker.network.endpoint.macaddress';

/** Addresses of a plugin, by Docker's protocol for remote IPAM drivers. Asks it first what it needs. */
export async function createRemoteIpam(calls: PluginCalls): Promise<RemoteIpam> {
  const spaces = await calls.call<{ readonly LocalDefaultAddressSpace?: string; readonly GlobalDefaultAddressSpace?: string }>(
    'GetDefaultAddressSpaces',
    {},
    { timeoutMs: calls.greetingMs },
  );
  const needs = await capabilities(calls);
  return {
    name: calls.name,
    needsMac: needs.RequiresMACAddress === true,
    needsReplay: needs.RequiresRequestReplay === true,
    addressSpaces: { local: spaces.LocalDefaultAddressSpace ?? '', global: spaces.GlobalDefaultAddressSpace ?? '' },
    async requestPool({ addressSpace, subnet, range, options, family }) {
      const answer = await calls.call<{ readonly PoolID?: string; readonly Pool?: string; readonly Data?: Record<string, string> | null }>(
        'RequestPool',
        { AddressSpace: addressSpace, Pool: subnet, SubPool: range, Options: options, V6: family === 6 },
      );
      const { PoolID = '', Pool = '', Data } = answer;
      const gateway = Data?.[gatewayKey] ?? '';
      if (PoolID === '' || parseCidr(Pool)?.prefix.family !== family)
        throw calls.nonsense('RequestPool', `the pool "${Pool}" (id "${PoolID}"): want one of IPv${String(family)} and an id`);
      if (gateway !== '' && parseCidr(gateway)?.prefix.family !== family)
        throw calls.nonsense('RequestPool', `the gateway "${gateway}": want an address and a prefix length`);
      return { poolId: PoolID, subnet: Pool, gateway };
    },
    async requestAddress(poolId, address, { gateway = false, mac }) {
      const { Address = '' } = await calls.call<{ readonly Address?: string }>('RequestAddress', {
        PoolID: poolId,
        Address: address,
        Options: { ...(gateway ? { [requestType]: gatewayKey } : {}), ...(mac === undefined ? {} : { [macKey]: mac }) },
      });
      const found = parseCidr(Address);
      if (found === undefined) throw calls.nonsense('RequestAddress', `"${Address}": want an address and a prefix length`);
      if (address !== '' && formatIp(found.address) !== address)
        throw calls.nonsense('RequestAddress', `${Address} in place of ${address}, which it was asked for`);
      return `${formatIp(found.address)}/${String(found.prefix.length)}`;
    },
    async undo(undo: RemoteUndo) {
      const body =
        undo.call === 'ReleaseAddress' ? { PoolID: undo.poolId, Address: undo.address } : 'poolId' in undo ? { PoolID: undo.poolId } : {};
      await calls.callIfKnown(undo.call, body, { timeoutMs: calls.times.undoMs, isPatient: false });
    },
  };
}

interface Needs {
  readonly RequiresMACAddress?: boolean;
  readonly RequiresRequestReplay?: boolean;
}

/** A plugin that does not know the question needs nothing. */
async function capabilities(calls: PluginCalls): Promise<Needs> {
  try {
    return (await calls.callIfKnown<Needs>('GetCapabilities', {}, { timeoutMs: calls.greetingMs })) ?? {};
  } catch (err) {
    if (err instanceof PluginFailure && err.kind === 'FailedPrecondition') return {};
    throw err;
  }
}
