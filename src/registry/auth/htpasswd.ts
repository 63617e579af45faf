import { readFile } from 'node:fs/promises';
import { failedPrecondition } from '#base/errors.ts';
import type { Logger } from '#base/log.ts';
import { Semaphore } from '#base/semaphore.ts';

/** A check takes a processor for tens of milliseconds: strangers must not get them all. */
const checks = new Semaphore(2);
const rememberMs = 5 * 60_000;
const maxRemembered = 1_000;
/** Compared with when there is no such user, so that the answer takes as long. */
const nobody = '$2b$10$abcdefghijklmnopqrstuuO6S8uF5yFOqB1rD0yVJm9Xv0m8e8k7G';

/** Users and bcrypt hashes from a file as `htpasswd -B` makes it. */
export class Htpasswd {
  readonly #path: string;
  readonly #log: Logger;
  #hashes: ReadonlyMap<string, string> = new Map();
  /** Passwords that were right, as keyed hashes: bcrypt for every request would be most of a pull's time. */
  readonly #remembered = new Map<string, number>();
  readonly #key = crypto.getRandomValues(new Uint8Array(32));

  private constructor(path: string, log: Logger) {
    this.#path = path;
    this.#log = log;
  }

  /** Rejects with FailedPrecondition when the file cannot be read. */
  static async open(path: string, log: Logger): Promise<Htpasswd> {
    const opened = new Htpasswd(path, log);
    await opened.reload();
    return opened;
  }

  async reload(): Promise<void> {
    const text = await readFile(this.#path, 'utf8').catch((err: unknown) => {
      throw failedPrecondition(`the password file ${this.#path} cannot be read: ${err instanceof Error ? err.message : String(err)}`, {
        cause: err,
      });
    });
    const hashes = new Map<string, string>();
    for (const [index, line] of text.split('\n').entries()) {
      const entry = line.trim();
      if (entry === '' || entry.startsWith('#')) continue;
      const colon = entry.indexOf(':');
      const hash = entry.slice(colon + 1);
      if (colon > 0 && /^\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}$/.test(hash)) hashes.set(entry.slice(0, colon), hash.replace(/^\$2y/, '$2b'));
      else this.#log.warn('a line of the password file is not "user:bcrypt hash" and was left out', { path: this.#path, line: index + 1 });
    }
    this.#hashes = hashes;
    this.#remembered.clear();
  }

  async check(user: string, password: string): Promise<boolean> {
    const hash = this.#hashes.get(user);
    const token = this.#tokenOf(user, password);
    const since = this.#remembered.get(token);
    if (hash !== undefined && since !== undefined && performance.now() - since < rememberMs) return true;
    const isRight = await checks.run(AbortSignal.timeout(30_000), () => Bun.password.verify(password, hash ?? nobody).catch(() => false));
    if (!isRight || hash === undefined || this.#hashes.get(user) !== hash) return false;
    if (this.#remembered.size >= maxRemembered) this.#remembered.clear();
    this.#remembered.set(token, performance.now());
    return true;
  }

  /** Changes when the user's password does; undefined when there is no such user. */
  fingerprint(user: string): string | undefined {
    const hash = this.#hashes.get(user);
    return hash === undefined ? undefined : new Bun.CryptoHasher('sha256').update(hash).digest('hex').slice(0, 32);
  }

  #tokenOf(user: string, password: string): string {
    return new Bun.CryptoHasher('sha256', this.#key).update(JSON.stringify([user, password])).digest('hex');
  }
}

/** User and password of a Basic header; undefined when there is none or it is malformed. */
export function basicCredentials(header: string | null): { readonly user: string; readonly password: string } | undefined {
  const encoded = /^basic +([A-Za-z0-9+/=_-]+)$/i.exec(header ?? '')?.[1];
  if (encoded === undefined) return undefined;
  const text = Buffer.from(encoded, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  return colon < 0 ? undefined : { user: text.slice(0, colon), password: text.slice(colon + 1) };
}
