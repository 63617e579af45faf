import { invalidArgument } from '#base/errors.ts';

/** `major.minor`, such as `1.51`. */
export type ApiVersion = `${number}.${number}`;

export const maxApiVersion: ApiVersion = '1.51';
export const minApiVersion: ApiVersion = '1.24';

export const parseApiVersion = (text: string): ApiVersion | undefined =>
  /^\d{1,4}\.\d{1,4}$/.test(text) ? (text as ApiVersion) : undefined;

/** Negative when `a` is older than `b`, 0 when they are the same. */
export function compareVersions(a: ApiVersion, b: ApiVersion): number {
  const [aMajor, aMinor] = parts(a);
  const [bMajor, bMinor] = parts(b);
  return aMajor - bMajor || aMinor - bMinor;
}

export const isBefore = (a: ApiVersion, b: ApiVersion): boolean => compareVersions(a, b) < 0;

function parts(version: ApiVersion): [major: number, minor: number] {
  const dot = version.indexOf('.');
  return [Number(version.slice(0, dot)), Number(version.slice(dot + 1))];
}

/** The version a request asks for, when this API serves it. Rejects with InvalidArgument in the words that clients know. */
export function requireServed(text: string): ApiVersion {
  const version = parseApiVersion(text);
  if (version === undefined) throw invalidArgument(`invalid API version "${text}": expected two numbers such as ${maxApiVersion}`);
  if (isBefore(version, minApiVersion)) {
    throw invalidArgument(
      `client version ${version} is too old. Minimum supported API version is ${minApiVersion}, please upgrade your client to a newer version`,
    );
  }
  if (isBefore(maxApiVersion, version)) {
    throw invalidArgument(`client version ${version} is too new. Maximum supported API version is ${maxApiVersion}`);
  }
  return version;
}
