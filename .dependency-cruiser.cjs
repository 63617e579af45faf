// Who may import whom. main/ may import anything and nothing imports main/.
const may = {
  base: [],
  oci: ['base'],
  core: ['oci', 'base'],
  api: ['oci', 'base'],
  client: ['api', 'oci', 'base'],
  // Of the builder only the language, which is pure: src/builder/dockerfile.
  cli: ['client', 'builder', 'api', 'oci', 'base'],
  engine: ['core', 'oci', 'base'],
  builder: ['core', 'oci', 'base'],
  registry: ['core', 'oci', 'base'],
  host: ['core', 'oci', 'base'],
  // What the engine takes and gives is made of core's values: endpoints, events, log entries.
  server: ['api', 'engine', 'builder', 'core', 'oci', 'base'],
};

module.exports = {
  forbidden: [
    ...Object.entries(may).map(([from, to]) => ({
      name: `layer-${from}`,
      severity: 'error',
      from: { path: `^src/${from}/` },
      to: { path: '^src/', pathNot: `^src/(${[from, ...to].join('|')})/` },
    })),
    {
      name: 'nouns-meet-in-main',
      severity: 'error',
      from: { path: '^src/engine/([^/]+)/' },
      to: { path: '^src/engine/', pathNot: '^src/engine/$1/' },
    },
    {
      name: 'cli-knows-only-the-language-of-builds',
      severity: 'error',
      from: { path: '^src/cli/' },
      to: { path: '^src/builder/', pathNot: '^src/builder/dockerfile/' },
    },
    {
      name: 'the-language-of-builds-stands-alone',
      severity: 'error',
      from: { path: '^src/builder/dockerfile/' },
      to: { path: '^src/builder/', pathNot: '^src/builder/dockerfile/' },
    },
    {
      name: 'pure-layers-do-no-io',
      severity: 'error',
      from: { path: '^src/(api|core|oci|builder/dockerfile)/', pathNot: '[.](test|contract)[.]ts$' },
      to: { path: '^(node:)?(fs|net|http|https|dgram|tls|child_process|worker_threads)(/|$)' },
    },
    { name: 'ffi-lives-in-host-sys', severity: 'error', from: { path: '^src/', pathNot: '^src/host/sys/' }, to: { path: '^bun:ffi$' } },
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
  ],
  options: { tsPreCompilationDeps: true, tsConfig: { fileName: 'tsconfig.json' }, doNotFollow: { path: 'node_modules' } },
};
