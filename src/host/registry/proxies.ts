import { invalidArgument } from '#base/errors.ts';
import { hostOf, inBlock, isLoopback } from './addresses.ts';

/** Through whom requests go; empty: directly. Never logged: a proxy's address may carry a password. */
export interface ProxySettings {
  readonly http: string;
  readonly https: string;
  /** As NO_PROXY has it: names with the names below them, `.names` below alone, addresses, blocks, `*`, each with or without a port, by commas. */
  readonly none: string;
}

export const noProxies: ProxySettings = { http: '', https: '', none: '' };

/**
 * Takes the proxies out of an environment, where a runtime would find them and follow rules of its own. What the operator has set comes first; in the
 * environment small letters count less, as everywhere. Rejects with InvalidArgument for a proxy that is no web address.
 */
export function takeProxies(env: Record<string, string | undefined>, given: Partial<ProxySettings>): ProxySettings {
  const take = (name: string): string => {
    const value = env[name] || env[name.toLowerCase()] || '';
    delete env[name];
    delete env[name.toLowerCase()];
    return value;
  };
  const found = { http: take('HTTP_PROXY'), https: take('HTTPS_PROXY'), none: take('NO_PROXY') };
  const settings = { http: given.http || found.http, https: given.https || found.https, none: given.none || found.none };
  return { ...settings, http: checkProxy(settings.http), https: checkProxy(settings.https) };
}

function checkProxy(text: string): string {
  if (text === '') return '';
  const address = text.includes('://') ? text : `http://${text}`;
  if (!URL.canParse(address) || !/^https?:$/.test(new URL(address).protocol)) {
    throw invalidArgument(`invalid proxy "${withoutPassword(text)}": expected an address such as http://proxy.example.com:3128`);
  }
  return address;
}

/** A proxy's address as it may be shown. */
export const withoutPassword = (proxy: string): string => proxy.replace(/^([a-z][a-z0-9+.-]*:\/\/)?[^/]*@/i, '$1xxxxx:xxxxx@');

/** The proxy for an address; undefined: none. Loopback addresses never go through one. */
export function proxyFor(url: URL, { http, https, none }: ProxySettings): string | undefined {
  const proxy = url.protocol === 'https:' ? https : http;
  if (proxy === '' || isLoopback(url.host)) return undefined;
  const port = url.port === '' ? (url.protocol === 'https:' ? '443' : '80') : url.port;
  const rules = none.split(',').flatMap(rule => (rule.trim() === '' ? [] : [rule.trim().toLowerCase()]));
  return rules.some(rule => isExempt(hostOf(url.host).toLowerCase(), port, rule)) ? undefined : proxy;
}

function isExempt(host: string, port: string, rule: string): boolean {
  if (rule === '*') return true;
  if (rule.includes('/')) return inBlock(host, rule);
  const rulePort = /:(\d+)$/.exec(rule)?.[1];
  const name = hostOf(rule).replace(/^\*\./, '.');
  if (rulePort !== undefined && hostOf(rule) !== rule && rulePort !== port) return false;
  return name.startsWith('.') ? host.endsWith(name) : host === name || host.endsWith(`.${name}`);
}
