import type { ConfigFile } from './config-file.ts';

const variables = [
  ['httpProxy', 'HTTP_PROXY'],
  ['httpsProxy', 'HTTPS_PROXY'],
  ['noProxy', 'NO_PROXY'],
  ['ftpProxy', 'FTP_PROXY'],
  ['allProxy', 'ALL_PROXY'],
] as const;

/** The proxy variables that the settings give to new containers, in both spellings, but for those that `env` names itself. */
export function proxyEnvironment(config: ConfigFile, daemonHost: string, env: readonly string[]): string[] {
  const proxies = config.values.proxies?.[daemonHost] ?? config.values.proxies?.default;
  if (proxies === undefined) return [];
  const named = new Set(env.map(entry => entry.split('=', 1)[0]));
  return variables.flatMap(([key, name]) => {
    const value = proxies[key];
    if (value === undefined || value === '') return [];
    return [name, name.toLowerCase()].filter(spelling => !named.has(spelling)).map(spelling => `${spelling}=${value}`);
  });
}
