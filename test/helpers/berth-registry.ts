import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually } from './eventually.ts';
import { berthCommand, projectRoot } from './paths.ts';
import { freePort } from './registry.ts';

export interface BerthRegistryOptions {
  /** The configuration, beside storage and address. Files it names are relative to the registry's folder. */
  readonly config?: Readonly<Record<string, unknown>> | ((folder: string) => Readonly<Record<string, unknown>>);
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Files to put into the folder first. */
  readonly files?: Readonly<Record<string, string>>;
  readonly tls?: boolean;
  /** Use this folder for the images. */
  readonly data?: string;
  readonly s3?: boolean;
  /** Run in this process' network, where nobody but its neighbours reaches it. */
  readonly beside?: number;
}

/** `berth registry serve` on a free port of the loopback interface, with storage in a temporary folder. */
export async function startBerthRegistry(options: BerthRegistryOptions = {}): Promise<BerthRegistry> {
  const registry = new BerthRegistry(await mkdtemp('/tmp/berth-rs-'), await freePort(), await freePort(), options);
  try {
    await registry.start();
  } catch (err) {
    await registry[Symbol.asyncDispose]();
    throw err;
  }
  return registry;
}

export class BerthRegistry implements AsyncDisposable {
  readonly folder: string;
  readonly data: string;
  readonly port: number;
  readonly debugPort: number;
  readonly #options: BerthRegistryOptions;
  #child: Bun.Subprocess | undefined;

  constructor(folder: string, port: number, debugPort: number, options: BerthRegistryOptions) {
    this.folder = folder;
    this.port = port;
    this.debugPort = debugPort;
    this.#options = options;
    this.data = options.data ?? join(folder, 'data');
  }

  /** `127.0.0.1:port` */
  get address(): string {
    return `127.0.0.1:${String(this.port)}`;
  }

  get url(): string {
    return `${this.#options.tls === true ? 'https' : 'http'}://${this.address}`;
  }

  get pid(): number {
    if (this.#child === undefined) throw new Error('the registry does not run');
    return this.#child.pid;
  }

  get isRunning(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  get configPath(): string {
    return join(this.folder, 'config.json');
  }

  async start(env: Readonly<Record<string, string>> = {}): Promise<void> {
    const { config, args = [], files = {}, s3, beside } = this.#options;
    for (const [name, text] of Object.entries(files))
      if (!(await Bun.file(join(this.folder, name)).exists())) await Bun.write(join(this.folder, name), text);
    const settings = typeof config === 'function' ? config(this.folder) : (config ?? {});
    await Bun.write(this.configPath, JSON.stringify(settings));
    const command = [
      ...(beside === undefined ? [] : ['nsenter', `--target=${String(beside)}`, '--net']),
      ...[...berthCommand(), 'registry', 'serve', this.configPath, '--addr', this.address],
      ...['--debug-addr', `127.0.0.1:${String(this.debugPort)}`, ...(s3 === true ? [] : ['--data', this.data]), ...args],
    ];
    const before = await this.#wholeLog();
    this.#child = Bun.spawn(['sh', '-c', 'exec "$@" >>"$0" 2>&1', this.logPath, ...command], {
      stdio: ['ignore', 'inherit', 'inherit'],
      cwd: projectRoot,
      env: { ...process.env, ...this.#options.env, ...env },
    });
    await eventually(
      'the registry is ready',
      async () => !this.isRunning || (await this.#wholeLog()).slice(before.length).includes('registry is ready'),
      {
        timeoutMs: 20_000,
      },
    ).catch(async (err: unknown) => {
      throw new Error(`the registry does not get ready\n${await this.log()}`, { cause: err });
    });
    if (!this.isRunning) throw new Error(`the registry ended while starting\n${await this.log()}`);
  }

  get logPath(): string {
    return join(this.folder, 'log');
  }

  async log(): Promise<string> {
    return (await this.#wholeLog()).slice(-8000);
  }

  async #wholeLog(): Promise<string> {
    const file = Bun.file(this.logPath);
    return (await file.exists()) ? await file.text() : '';
  }

  signal(name: NodeJS.Signals): void {
    this.#child?.kill(name);
  }

  async exited(): Promise<number> {
    return (await this.#child?.exited) ?? 0;
  }

  async kill(): Promise<void> {
    this.#child?.kill('SIGKILL');
    await this.#child?.exited;
  }

  async stop(): Promise<number> {
    this.#child?.kill('SIGTERM');
    return await this.exited();
  }

  async metrics(): Promise<string> {
    return await (await fetch(`http://127.0.0.1:${String(this.debugPort)}/metrics`)).text();
  }

  async call(method: string, path: string, options: CallOptions = {}): Promise<Answer> {
    const response = await fetch(/^https?:/.test(path) ? path : this.url + path, {
      method,
      headers: { ...options.headers },
      redirect: 'manual',
      ...(options.body !== undefined && { body: options.body as Uint8Array<ArrayBuffer> }),
      ...(this.#options.tls === true && { tls: { rejectUnauthorized: false } }),
    });
    return { status: response.status, headers: response.headers, bytes: await response.bytes() };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await rm(this.folder, { recursive: true, force: true });
  }
}

export interface CallOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | string | ReadableStream<Uint8Array>;
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly bytes: Uint8Array;
}

export const textOf = (answer: Answer): string => new TextDecoder().decode(answer.bytes);
export const jsonOf = (answer: Answer): unknown => JSON.parse(textOf(answer));
/** The codes of an error body. */
export const codesOf = (answer: Answer): string[] => (jsonOf(answer) as { errors: { code: string }[] }).errors.map(({ code }) => code);
