import { invalidArgument } from '#base/errors.ts';
import type { EndpointConfig } from '#core/network.ts';
import { optionName } from './option-values.ts';

/** What stands for the interface's name, which is known only when it is made. */
const placeholder = 'IFNAME';
const families = ['ipv4', 'ipv6', 'mpls'];

/**
 * Kernel settings of one interface (`net.ipv4.conf.IFNAME.log_martians=1,…`, Docker: endpoint option sysctls) by path below /proc/sys. Rejects with
 * InvalidArgument.
 */
export function endpointSettings(config: EndpointConfig, name: string): Readonly<Record<string, string>> {
  const text = config.driverOpts?.[optionName.sysctls] ?? '';
  const settings: Record<string, string> = {};
  for (const part of text.split(',').filter(one => one !== '')) {
    const at = part.indexOf('=');
    // As sysctl(8) has it: with slashes between the parts a dot is a dot.
    const key = at === -1 ? part : part.slice(0, at);
    const slash = key.indexOf('/');
    const path = (slash !== -1 && slash < key.indexOf('.') >>> 0 ? key : key.replaceAll('.', '/')).split('/');
    const [root, family = '', , link, ...rest] = path;
    if (at === -1 || root !== 'net' || !families.includes(family) || link !== placeholder || rest.length !== 1 || !path.every(isPlain)) {
      throw invalidArgument(
        `invalid ${optionName.sysctls} "${part}": want net.X.Y.${placeholder}.Z=value, X one of ${families.join(', ')}`,
      );
    }
    settings[path.map(word => (word === placeholder ? name : word)).join('/')] = part.slice(at + 1);
  }
  return settings;
}

const isPlain = (word: string): boolean => /^\w+$/.test(word);
