/** How a registry wants to be asked (WWW-Authenticate, RFC 9110 section 11.6.1). */
export type Challenge =
  | { readonly scheme: 'bearer'; readonly realm: string; readonly service: string | undefined; readonly scope: string | undefined }
  | { readonly scheme: 'basic' };

/** The best of the challenges in a header: bearer, then basic; undefined when there is none we can answer. */
export function parseChallenge(header: string | null): Challenge | undefined {
  const challenges = splitChallenges(header ?? '');
  const bearer = challenges.find(challenge => challenge.scheme === 'bearer');
  if (bearer?.parameters.realm !== undefined) {
    const { realm, service, scope } = bearer.parameters;
    return { scheme: 'bearer', realm, service, scope };
  }
  return challenges.some(challenge => challenge.scheme === 'basic') ? { scheme: 'basic' } : undefined;
}

interface RawChallenge {
  readonly scheme: string;
  readonly parameters: Readonly<Record<string, string>>;
}

function splitChallenges(header: string): RawChallenge[] {
  const challenges: { scheme: string; parameters: Record<string, string> }[] = [];
  const token = /\s*,?\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,]+)))?/y;
  for (let match = token.exec(header); match !== null; match = token.exec(header)) {
    const [, name = '', quoted, plain] = match;
    const value = quoted === undefined ? plain : quoted.replace(/\\(.)/g, '$1');
    if (value === undefined) challenges.push({ scheme: name.toLowerCase(), parameters: {} });
    else challenges.at(-1)?.parameters && Object.assign(challenges.at(-1)?.parameters ?? {}, { [name.toLowerCase()]: value });
  }
  return challenges;
}
