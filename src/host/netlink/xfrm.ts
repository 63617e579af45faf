import { type IpAddress, ipBytes, ipFromBytes } from '#base/ip.ts';
import { isErrno } from '#base/errors.ts';
import type { NetlinkSocket } from '#host/sys/netlink.ts';
import { attribute, concat, parseAttributes } from './attributes.ts';
import { flags } from './rtnetlink.ts';

/** Messages, attributes and structures of linux/xfrm.h. */
const messageType = {
  newState: 0x10,
  deleteState: 0x11,
  getState: 0x12,
  newPolicy: 0x13,
  deletePolicy: 0x14,
  getPolicy: 0x15,
  updatePolicy: 0x19,
};
const XFRMA_ALG_CRYPT = 2;
const XFRMA_TMPL = 5;
const XFRMA_ALG_AUTH_TRUNC = 20;
const IPPROTO_UDP = 17;
const IPPROTO_ESP = 50;
const XFRM_MODE_TRANSPORT = 0;
const XFRM_POLICY_ALLOW = 0;
const XFRM_POLICY_BLOCK = 1;
const directions = { in: 0, out: 1 } as const;
const addressFamily = { 4: 2, 6: 10 } as const;
const unlimited = 0xff_ff_ff_ff_ff_ff_ff_ffn;
const wholePort = 0xff_ff;

const selectorBytes = 56;
const stateBytes = 224;
const policyBytes = 168;
const templateBytes = 64;
const lifetimeAt = { state: 96, policy: 56 };

/** Keys for one direction between two hosts (a security association). */
export interface State {
  readonly from: IpAddress;
  readonly to: IpAddress;
  readonly spi: number;
  readonly requestId: number;
  /** Of AES: 32 bytes. Empty in what is listed. */
  readonly cipherKey: Uint8Array;
  /** Of HMAC-SHA-256. */
  readonly authenticationKey: Uint8Array;
}

/** What happens to UDP datagrams for a port. */
export interface Policy {
  readonly direction: 'in' | 'out';
  readonly port: number;
  /** Unspecified: everybody. */
  readonly from: IpAddress;
  readonly to: IpAddress;
  /** The lowest counts. */
  readonly priority: number;
  readonly blocks: boolean;
  /** Of the keys that have to be used. */
  readonly requestId: number;
  /** 0: any of them. */
  readonly spi: number;
}

const sameAddress = (a: IpAddress, b: IpAddress): boolean => a.family === b.family && a.value === b.value;
export const sameState = (a: State, b: State): boolean => a.spi === b.spi && sameAddress(a.to, b.to) && sameAddress(a.from, b.from);
export const sameSelector = (a: Policy, b: Policy): boolean =>
  a.direction === b.direction && a.port === b.port && a.priority === b.priority && sameAddress(a.from, b.from) && sameAddress(a.to, b.to);
export const samePolicy = (a: Policy, b: Policy): boolean =>
  sameSelector(a, b) && a.blocks === b.blocks && a.requestId === b.requestId && a.spi === b.spi;

/** Packets that are sent again by somebody are not told apart: hosts that share keys and do not negotiate cannot agree on a number to begin with (RFC 4303, 3.3.3). */
export function addState(socket: NetlinkSocket, state: State): void {
  const bytes = new Uint8Array(stateBytes);
  const view = new DataView(bytes.buffer);
  view.setUint16(40, addressFamily[state.to.family], true);
  bytes.set(ipBytes(state.to), 56);
  view.setUint32(72, state.spi);
  view.setUint8(76, IPPROTO_ESP);
  bytes.set(ipBytes(state.from), 80);
  setUnlimited(view, lifetimeAt.state);
  view.setUint32(208, state.requestId, true);
  view.setUint16(212, addressFamily[state.to.family], true);
  view.setUint8(214, XFRM_MODE_TRANSPORT);
  const payload = concat(
    bytes,
    attribute(XFRMA_ALG_AUTH_TRUNC, algorithm('hmac(sha256)', state.authenticationKey, 128)),
    attribute(XFRMA_ALG_CRYPT, algorithm('cbc(aes)', state.cipherKey)),
  );
  socket.request({ type: messageType.newState, flags: flags.create, payload }, 'add keys of an encrypted network');
}

/** Not there is fine. */
export function deleteState(socket: NetlinkSocket, { to, spi }: Pick<State, 'to' | 'spi'>): void {
  const payload = new Uint8Array(24);
  const view = new DataView(payload.buffer);
  payload.set(ipBytes(to), 0);
  view.setUint32(16, spi);
  view.setUint16(20, addressFamily[to.family], true);
  view.setUint8(22, IPPROTO_ESP);
  unlessGone(() => socket.request({ type: messageType.deleteState, flags: flags.change, payload }, 'remove keys of an encrypted network'));
}

export function listStates(socket: NetlinkSocket): State[] {
  const payload = new Uint8Array();
  return socket.request({ type: messageType.getState, flags: flags.dump, payload }, 'list keys of encrypted networks').flatMap(bytes => {
    const view = viewOf(bytes);
    const family = familyOf(view.getUint16(212, true));
    if (family === undefined || view.getUint8(76) !== IPPROTO_ESP) return [];
    return [
      {
        to: addressIn(bytes, 56, family),
        from: addressIn(bytes, 80, family),
        spi: view.getUint32(72),
        requestId: view.getUint32(208, true),
        cipherKey: new Uint8Array(),
        authenticationKey: new Uint8Array(),
      },
    ];
  });
}

/** Adds it, or replaces the one with the same addresses, port and direction. */
export function putPolicy(socket: NetlinkSocket, policy: Policy): void {
  const bytes = new Uint8Array(policyBytes);
  const view = new DataView(bytes.buffer);
  bytes.set(selector(policy), 0);
  setUnlimited(view, lifetimeAt.policy);
  view.setUint32(152, policy.priority, true);
  view.setUint8(160, directions[policy.direction]);
  view.setUint8(161, policy.blocks ? XFRM_POLICY_BLOCK : XFRM_POLICY_ALLOW);
  const payload = policy.blocks ? bytes : concat(bytes, attribute(XFRMA_TMPL, template(policy)));
  socket.request({ type: messageType.updatePolicy, flags: flags.put, payload }, 'add a rule of an encrypted network');
}

/** Not there is fine. */
export function deletePolicy(socket: NetlinkSocket, policy: Policy): void {
  const payload = new Uint8Array(64);
  payload.set(selector(policy), 0);
  payload[60] = directions[policy.direction];
  unlessGone(() =>
    socket.request({ type: messageType.deletePolicy, flags: flags.change, payload }, 'remove a rule of an encrypted network'),
  );
}

/** Those for UDP. */
export function listPolicies(socket: NetlinkSocket): Policy[] {
  const payload = new Uint8Array();
  return socket.request({ type: messageType.getPolicy, flags: flags.dump, payload }, 'list rules of encrypted networks').flatMap(bytes => {
    const view = viewOf(bytes);
    const family = familyOf(view.getUint16(40, true));
    const direction = view.getUint8(160) === directions.in ? 'in' : view.getUint8(160) === directions.out ? 'out' : undefined;
    if (family === undefined || direction === undefined || view.getUint8(44) !== IPPROTO_UDP) return [];
    const used = parseAttributes(bytes.subarray(policyBytes)).get(XFRMA_TMPL);
    return [
      {
        direction,
        to: addressIn(bytes, 0, family),
        from: addressIn(bytes, 16, family),
        port: view.getUint16(32),
        priority: view.getUint32(152, true),
        blocks: view.getUint8(161) === XFRM_POLICY_BLOCK,
        requestId: used === undefined ? 0 : viewOf(used).getUint32(44, true),
        spi: used === undefined ? 0 : viewOf(used).getUint32(16),
      },
    ];
  });
}

/** xfrm_selector. */
function selector({ port, from, to }: Policy): Uint8Array {
  const bytes = new Uint8Array(selectorBytes);
  const view = new DataView(bytes.buffer);
  bytes.set(ipBytes(to), 0);
  bytes.set(ipBytes(from), 16);
  view.setUint16(32, port);
  view.setUint16(34, wholePort);
  view.setUint16(40, addressFamily[to.family], true);
  view.setUint8(42, prefixLength(to));
  view.setUint8(43, prefixLength(from));
  view.setUint8(44, IPPROTO_UDP);
  return bytes;
}

const prefixLength = ({ family, value }: IpAddress): number => (value === 0n ? 0 : family === 4 ? 32 : 128);

/** xfrm_user_tmpl. */
function template({ from, to, spi, requestId }: Policy): Uint8Array {
  const bytes = new Uint8Array(templateBytes);
  const view = new DataView(bytes.buffer);
  bytes.set(ipBytes(to), 0);
  view.setUint32(16, spi);
  view.setUint8(20, IPPROTO_ESP);
  view.setUint16(24, addressFamily[to.family], true);
  bytes.set(ipBytes(from), 28);
  view.setUint32(44, requestId, true);
  view.setUint8(48, XFRM_MODE_TRANSPORT);
  // Whatever algorithms the keys are for.
  for (const at of [52, 56, 60]) view.setUint32(at, 0xff_ff_ff_ff, true);
  return bytes;
}

/** xfrm_algo, or with `truncatedBits` xfrm_algo_auth. */
function algorithm(name: string, key: Uint8Array, truncatedBits?: number): Uint8Array {
  const lengths = truncatedBits === undefined ? [key.length * 8] : [key.length * 8, truncatedBits];
  const bytes = new Uint8Array(64 + 4 * lengths.length + key.length);
  const view = new DataView(bytes.buffer);
  bytes.set(new TextEncoder().encode(name), 0);
  for (const [index, length] of lengths.entries()) view.setUint32(64 + 4 * index, length, true);
  bytes.set(key, 64 + 4 * lengths.length);
  return bytes;
}

/** xfrm_lifetime_cfg: bytes and packets, soft and hard; times of 0 never come. */
function setUnlimited(view: DataView, at: number): void {
  for (let index = 0; index < 4; index++) view.setBigUint64(at + 8 * index, unlimited, true);
}

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
const familyOf = (number: number): 4 | 6 | undefined => (number === addressFamily[4] ? 4 : number === addressFamily[6] ? 6 : undefined);
const addressIn = (bytes: Uint8Array, at: number, family: 4 | 6): IpAddress =>
  ipFromBytes(bytes.subarray(at, at + (family === 4 ? 4 : 16)));

function unlessGone(remove: () => void): void {
  try {
    remove();
  } catch (err) {
    if (!isErrno(err, 'ENOENT', 'ESRCH')) throw err;
  }
}
