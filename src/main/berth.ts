import { basename } from 'node:path';

/**
 * One executable, many roles: the first word chooses, anything else is the command line, which answers to the name `docker` as well. Each role
 * loads only its own code.
 */
async function main(argv: readonly string[]): Promise<void> {
  const [role, ...rest] = argv;
  switch (role) {
    case 'daemon':
      return (await import('./daemon.ts')).main(rest);
    case 'registry':
      return (await import('./registry.ts')).main(rest);
    case 'internal-unpack':
      return (await import('./unpack.ts')).main(rest);
    case 'internal-layer':
      return (await import('./layer.ts')).main(rest);
    case 'internal-file-work':
      return (await import('./file-work.ts')).main(rest);
    case 'internal-files':
      return (await import('./files.ts')).main(rest);
    case 'internal-port-proxy':
      return (await import('./port-proxy.ts')).main(rest);
    default:
      return (await import('./cli.ts')).main(argv, basename(process.argv0) === 'docker' ? 'docker' : 'berth');
  }
}

await main(process.argv.slice(2));
