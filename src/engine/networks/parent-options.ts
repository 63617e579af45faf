import { invalidArgument } from '#base/errors.ts';
import type { ParentLink } from '#core/network-driver.ts';
import type { ParentSettings } from './model.ts';
import { choice, interfaceName, mtuOf, optionName, type Options } from './option-values.ts';

/** What the default bridge network is named is no parent's business; these are the options of macvlan and ipvlan networks. */
interface ParentNetwork {
  readonly id: string;
  readonly driver: 'macvlan' | 'ipvlan';
  readonly internal: boolean;
  readonly options: Options;
}

/**
 * Reads the options of a macvlan or ipvlan network. `exists` says whether the host has such an interface. A parent `eth0.10` that is not there is
 * made as VLAN 10 of `eth0`; without a parent, and for an internal network, one is made that leads nowhere. Rejects with InvalidArgument.
 */
export function readParentOptions({ id, driver, internal, options }: ParentNetwork, exists: (name: string) => boolean): ParentSettings {
  const asked = options[optionName.parent] ?? '';
  if (asked === 'lo') throw invalidArgument('loopback interface is not a valid parent: name an interface that leads to a network');
  const link = asked === '' || internal ? dummyParent(id) : parentLink(interfaceName(optionName.parent, asked), exists);
  const mtu = mtuOf(options);
  if (driver === 'macvlan') {
    refuse(options, [optionName.ipvlanMode, optionName.ipvlanFlag], driver);
    return { link, mtu, kind: driver, mode: choice(options, optionName.macvlanMode, ['bridge', 'private', 'vepa', 'passthru'], 'bridge') };
  }
  refuse(options, [optionName.macvlanMode], driver);
  return {
    link,
    mtu,
    kind: driver,
    mode: choice(options, optionName.ipvlanMode, ['l2', 'l3', 'l3s'], 'l2'),
    flag: choice(options, optionName.ipvlanFlag, ['bridge', 'private', 'vepa'], 'bridge'),
  };
}

/** Goes with the network. */
const dummyParent = (id: string): ParentLink => ({ name: `dm-${id.slice(0, 12)}`, made: { kind: 'dummy' } });

function parentLink(name: string, exists: (name: string) => boolean): ParentLink {
  if (exists(name)) return { name, made: undefined };
  const [, on, number] = /^(.+)\.(\d+)$/.exec(name) ?? [];
  if (on === undefined || number === undefined) {
    throw invalidArgument(`invalid parent "${name}": this host has no such interface; name one it has, or a VLAN of one such as eth0.10`);
  }
  const vlan = Number(number);
  if (vlan < 1 || vlan > 4094) throw invalidArgument(`invalid parent "${name}": want a VLAN number from 1 to 4094, not ${number}`);
  if (!exists(on)) throw invalidArgument(`invalid parent "${name}": this host has no interface ${on} to make a VLAN of`);
  return { name, made: { kind: 'vlan', on, vlan } };
}

function refuse(options: Options, names: readonly string[], driver: string): void {
  const wrong = names.find(name => options[name] !== undefined);
  if (wrong !== undefined) throw invalidArgument(`unknown option ${wrong} for driver ${driver}`);
}
