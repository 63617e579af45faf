import { decodeJson, list, map, object, string } from '#api/decode.ts';
import type { Attributes, TypeAndAttributes } from '#api/buildkit/messages.ts';
import type { ApiRequest } from '../api-request.ts';
import type { EngineBuild } from '../buildkit/engine-build.ts';
import { buildParameters } from './build.ts';

const output = object<{ Type?: string; Attrs?: Record<string, string> }>({ Type: string, Attrs: map(string) });

/** The parameters of `POST /build?version=2` as options of the Dockerfile frontend. Rejects with InvalidArgument for what cannot be. */
export function engineBuild(request: ApiRequest): EngineBuild {
  const { query } = request;
  const { buildArgs, labels, limits, platform, noCache, pull, names, target } = buildParameters(request);
  const remote = query.text('remote');
  const network = query.text('networkmode');
  const given: Record<string, string | undefined> = {
    filename: query.optional('dockerfile'),
    // Otherwise it comes over the session, or with the request.
    context: remote === '' || remote === 'client-session' ? undefined : remote,
    target,
    platform: platform && query.text('platform'),
    'no-cache': noCache === 'all' ? '' : undefined,
    'image-resolve-mode': pull ? 'pull' : 'local',
    'force-network-mode': network === 'default' ? '' : network,
    'cgroup-parent': limits.cgroupParent,
    'add-hosts': limits.extraHosts.map(host => host.replace(':', '=')).join(','),
    ulimit: limits.ulimits.map(({ name, soft, hard }) => `${name}=${String(soft)}:${String(hard)}`).join(','),
    'shm-size': numberText(limits.shmSizeBytes),
    memory: numberText(limits.memoryBytes),
    memswap: numberText(limits.memorySwapBytes),
    cpushares: numberText(limits.cpuShares),
    cpuperiod: numberText(limits.cpuPeriod),
    cpuquota: numberText(limits.cpuQuota),
    cpusetcpus: limits.cpusetCpus,
    cpusetmems: limits.cpusetMems,
    ...prefixed('build-arg:', Object.fromEntries(buildArgs)),
    ...prefixed('label:', labels),
  };
  const options = Object.fromEntries(
    Object.entries(given).filter((entry): entry is [string, string] => entry[1] !== undefined && (entry[1] !== '' || keepsEmpty(entry[0]))),
  );
  return {
    sessionId: query.text('session'),
    upload: remote === '' ? request.body : undefined,
    isQuiet: query.bool('q'),
    options,
    exporters: exporters(
      request,
      names.map(name => `${name.domain}/${name.path}:${name.tag ?? 'latest'}`),
    ),
    cache: {
      imports: cacheFrom(request).map(ref => ({ Type: 'registry', Attrs: { ref } })),
      exports: /^(1|t|true)$/i.test(buildArgs.get('BUILDKIT_INLINE_CACHE') ?? '') ? [{ Type: 'inline', Attrs: {} }] : [],
    },
    entitlements: network === 'host' ? ['network.host'] : [],
  };
}

function cacheFrom({ query }: ApiRequest): readonly string[] {
  const text = query.optional('cachefrom');
  return text === undefined || text === 'null' ? [] : decodeJson(text, list(string), 'cachefrom');
}

const keepsEmpty = (name: string): boolean => name === 'no-cache' || name.startsWith('build-arg:') || name.startsWith('label:');

const numberText = (value: number): string => (value === 0 ? '' : String(value));

const prefixed = (prefix: string, values: Attributes): Attributes =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [prefix + name, value]));

/** What `--output` asks for; without it, an image with these names. */
function exporters({ query }: ApiRequest, names: readonly string[]): TypeAndAttributes[] {
  const text = query.optional('outputs');
  const given = text === undefined || text === 'null' ? [] : decodeJson(text, list(output), 'outputs');
  if (given.length === 0) return [{ Type: 'moby', Attrs: { name: names.join(',') } }];
  return given.map(({ Type = '', Attrs = {} }) => ({
    Type,
    Attrs: Type === 'image' || Type === 'moby' ? { name: names.join(','), ...Attrs } : Attrs,
  }));
}
