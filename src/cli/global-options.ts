/** What was said before the command's name. */
export interface GlobalOptions {
  readonly configDir?: string;
  readonly context?: string;
  readonly hosts: readonly string[];
  readonly debug: boolean;
  readonly tls: boolean;
  readonly tlsVerify: boolean;
  readonly tlsVerifyGiven: boolean;
  readonly tlsCaCert?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
}
