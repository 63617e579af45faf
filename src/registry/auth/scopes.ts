import { type Action, actions, type Need } from './access.ts';

/** `access` of a token (distribution, token specification). */
export interface Grant {
  readonly type: string;
  readonly name: string;
  readonly actions: readonly string[];
}

/** `repository:name:pull,push` texts, several in one separated by spaces. What cannot be read is left out. */
export function parseScopes(texts: readonly string[]): Grant[] {
  return texts
    .flatMap(text => text.split(' '))
    .flatMap(text => {
      const match = /^([a-z]+)(?:\([a-z]+\))?:(.+):([a-z*,]*)$/.exec(text);
      const [, type = '', name = '', wanted = ''] = match ?? [];
      return match === null ? [] : [{ type, name, actions: wanted.split(',').filter(action => action !== '') }];
    });
}

export const scopeOf = (need: Need): string =>
  'catalog' in need ? 'registry:catalog:*' : `repository:${need.repository}:${need.actions.join(',')}`;

export function grantsInclude(grants: readonly Grant[], need: Need): boolean {
  if ('catalog' in need) return grants.some(grant => grant.type === 'registry' && grant.name === 'catalog' && grant.actions.includes('*'));
  return need.actions.every(action =>
    grants.some(
      grant =>
        grant.type === 'repository' && grant.name === need.repository && (grant.actions.includes(action) || grant.actions.includes('*')),
    ),
  );
}

export const isAction = (text: string): text is Action => actions.some(action => action === text);
