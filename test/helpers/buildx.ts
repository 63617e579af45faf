import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { cached } from './paths.ts';
import { run } from './run.ts';

const plugins = cached('buildx/usr/libexec/docker/cli-plugins');

export interface BuildxRun {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A current stock docker command line with buildx and compose, which knows nothing of this machine's own settings. */
export class Buildx implements Disposable {
  readonly #home = mkdtempSync('/tmp/berth-buildx-');
  readonly #host: string;

  constructor(host: string) {
    this.#host = host;
    mkdirSync(join(this.#home, 'config/cli-plugins'), { recursive: true });
    for (const name of ['docker-buildx', 'docker-compose']) symlinkSync(join(plugins, name), join(this.#home, 'config/cli-plugins', name));
  }

  get environment(): Record<string, string> {
    return {
      DOCKER_HOST: this.#host,
      DOCKER_CONFIG: join(this.#home, 'config'),
      HOME: this.#home,
      PATH: process.env.PATH ?? '',
      BUILDKIT_PROGRESS: 'plain',
    };
  }

  /** A directory with these files. */
  directory(files: Readonly<Record<string, string>>): string {
    const path = mkdtempSync(join(this.#home, 'files-'));
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(dirname(join(path, name)), { recursive: true });
      writeFileSync(join(path, name), text);
    }
    return path;
  }

  command(...args: readonly string[]): string[] {
    return [cached('buildx/usr/bin/docker'), ...args];
  }

  /** The plugin itself, without the command line that starts it: signals reach it alone. */
  plugin(...args: readonly string[]): string[] {
    return [join(plugins, 'docker-buildx'), ...args];
  }

  async run(args: readonly string[], options: { readonly env?: Record<string, string>; readonly cwd?: string } = {}): Promise<BuildxRun> {
    return await run(this.command(...args), { ...options, env: { ...this.environment, ...options.env } });
  }

  async ok(args: readonly string[], options: Parameters<Buildx['run']>[1] = {}): Promise<BuildxRun> {
    const result = await this.run(args, options);
    if (result.exitCode !== 0) throw new Error(`docker ${args.join(' ')} failed: ${result.stdout}${result.stderr}`);
    return result;
  }

  [Symbol.dispose](): void {
    rmSync(this.#home, { recursive: true, force: true });
  }
}
