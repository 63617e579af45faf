import { tempFolder } from './daemon.ts';
import { runOk } from './run.ts';

/** A folder with a certificate authority, and the certificates it signed, as --tlscacert, --tlscert and --tlskey take them. */
export class Authority implements AsyncDisposable {
  readonly path: string;
  readonly #folder: AsyncDisposable;

  private constructor(folder: AsyncDisposable & { readonly path: string }) {
    this.path = folder.path;
    this.#folder = folder;
  }

  static async make(): Promise<Authority> {
    const authority = new Authority(await tempFolder());
    await authority.#openssl('ca', '/CN=authority', []);
    return authority;
  }

  /** `subjects`: what it is a certificate for, such as `DNS:registry.test`. */
  async sign(
    name: string,
    subjects: readonly string[] = ['IP:127.0.0.1'],
  ): Promise<{ readonly ca: string; readonly cert: string; readonly key: string }> {
    const ca = this.file('ca.pem');
    await this.#openssl(name, `/CN=${name}`, [
      '-CA',
      ca,
      '-CAkey',
      this.file('ca-key.pem'),
      '-addext',
      `subjectAltName=${subjects.join(',')}`,
    ]);
    return { ca, cert: this.file(`${name}.pem`), key: this.file(`${name}-key.pem`) };
  }

  file(name: string): string {
    return `${this.path}/${name}`;
  }

  async #openssl(name: string, subject: string, more: readonly string[]): Promise<void> {
    const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '1'];
    await runOk([
      'openssl',
      'req',
      '-x509',
      ...kind,
      '-subj',
      subject,
      ...more,
      '-keyout',
      this.file(`${name}-key.pem`),
      '-out',
      this.file(`${name}.pem`),
    ]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#folder[Symbol.asyncDispose]();
  }
}
