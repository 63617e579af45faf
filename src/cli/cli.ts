import type { Client } from '#client/client.ts';
import type { ConfigFile } from './config/config-file.ts';
import type { GlobalOptions } from './global-options.ts';
import type { OpenRegistries } from './remote/registry-port.ts';
import { Output } from './output/terminal.ts';

/** Extended attributes of this machine's files, links not followed. */
export interface FileAttributes {
  /** Names of all that a file has; none where its file system has none. Throws with the errno of the system. */
  list(path: string): string[];
  /** Undefined when the file has no such attribute, or its file system has none. */
  get(path: string, name: string): Uint8Array | undefined;
  /** Throws with the errno of the system. */
  set(path: string, name: string, value: Uint8Array): void;
}

/** What the program is. */
export interface Program {
  /** `docker` or `berth`: as it was called, and so as its messages call it. */
  readonly name: string;
  readonly version: string;
  /** Words that start something else than a command, and what that is; help names them. */
  readonly services: readonly (readonly [word: string, short: string])[];
  /** Loads what only few commands need. */
  readonly fileAttributes: () => Promise<FileAttributes>;
  readonly openRegistries: () => Promise<OpenRegistries>;
}

/** One run of the command line: where it reads, where it writes, whom it asks. Everything but the two outputs is made when first wanted. */
export class Cli {
  readonly name: string;
  readonly version: string;
  readonly services: Program['services'];
  readonly fileAttributes: Program['fileAttributes'];
  readonly openRegistries: Program['openRegistries'];
  readonly options: GlobalOptions;
  readonly out = new Output(1);
  readonly err = new Output(2);
  readonly #connect: (cli: Cli) => Promise<Client>;
  #config: ConfigFile | undefined;
  #client: Promise<Client> | undefined;

  constructor(
    { name, version, services, fileAttributes, openRegistries }: Program,
    options: GlobalOptions,
    connect: (cli: Cli) => Promise<Client>,
  ) {
    this.name = name;
    this.version = version;
    this.services = services;
    this.fileAttributes = fileAttributes;
    this.openRegistries = openRegistries;
    this.options = options;
    this.#connect = connect;
  }

  async config(): Promise<ConfigFile> {
    this.#config ??= (await import('./config/config-file.ts')).loadConfigFile(this.options, text => this.err.line(text));
    return this.#config;
  }

  client(): Promise<Client> {
    this.#client ??= this.#connect(this);
    return this.#client;
  }

  /** Ends connections that would keep the process waiting. */
  async close(): Promise<void> {
    if (this.#client === undefined) return;
    const client = await this.#client.catch(() => undefined);
    client?.close();
  }
}
