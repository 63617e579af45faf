import type { Repository } from '../names.ts';

export const actions = ['pull', 'push', 'delete'] as const;
export type Action = (typeof actions)[number];

/** What a request needs: these actions on a repository, or the list of all repositories. */
export type Need = { readonly repository: Repository; readonly actions: readonly Action[] } | { readonly catalog: true };

/** Who asks, and what is allowed. */
export interface Actor {
  /** Empty for somebody who is not known. */
  readonly name: string;
  may(need: Need): boolean;
  /** Whether a repository shows up in lists. */
  maySee(repository: Repository): boolean;
}

export interface AccessRule {
  /** Patterns: `*` stands for a part of a name, `**` for any number of parts, `{user}` for who asks. */
  readonly repositories: readonly string[];
  /** Names; `authenticated` is everyone who is known, `anonymous` everyone. */
  readonly users: readonly string[];
  readonly actions: readonly (Action | 'catalog')[];
}

/** A pattern as a predicate. */
export function repositoryPattern(pattern: string): (name: string) => boolean {
  const source = pattern
    .split('/')
    .map(part => (part === '**' ? '**' : part.replace(/[.+?^${}()|[\]\\]/g, '\\$&').replaceAll('*', '[^/]*')))
    .join('/')
    .replaceAll(/\/\*\*$/g, '(?:/.*)?')
    .replaceAll('**/', '(?:.*/)?')
    .replaceAll('**', '.*');
  const compiled = new RegExp(`^${source}$`);
  return name => compiled.test(name);
}

/** Everyone known may do everything: what counts when the operator gives no rules. */
export const defaultRules: readonly AccessRule[] = [{ repositories: ['**'], users: ['authenticated'], actions: [...actions, 'catalog'] }];

export const anonymousPull: AccessRule = { repositories: ['**'], users: ['anonymous'], actions: ['pull', 'catalog'] };

export class AccessRules {
  readonly #rules: readonly AccessRule[];
  readonly #compiled = new Map<string, (name: string) => boolean>();

  constructor(rules: readonly AccessRule[]) {
    this.#rules = rules;
  }

  /** True when somebody who is not known may do anything. */
  get letAnonymousIn(): boolean {
    return this.#rules.some(rule => rule.users.includes('anonymous'));
  }

  /** The actions that a user (empty: not known) has on a repository. */
  allowed(user: string, repository: string): Set<Action> {
    const allowed = new Set<Action>();
    for (const rule of this.#rules) {
      if (!appliesTo(rule, user) || !rule.repositories.some(pattern => this.#matches(pattern, user, repository))) continue;
      for (const action of rule.actions) if (action !== 'catalog') allowed.add(action);
    }
    return allowed;
  }

  mayList(user: string): boolean {
    return this.#rules.some(rule => rule.actions.includes('catalog') && appliesTo(rule, user));
  }

  actor(user: string): Actor {
    return {
      name: user,
      may: need => {
        if ('catalog' in need) return this.mayList(user);
        const allowed = this.allowed(user, need.repository);
        return need.actions.every(action => allowed.has(action));
      },
      maySee: repository => this.allowed(user, repository).has('pull'),
    };
  }

  #matches(pattern: string, user: string, repository: string): boolean {
    // A name that is no part of a repository name must not become a pattern.
    if (pattern.includes('{user}') && !/^[a-z0-9._-]+$/.test(user)) return false;
    const filled = pattern.replaceAll('{user}', user);
    let compiled = this.#compiled.get(filled);
    if (compiled === undefined) {
      compiled = repositoryPattern(filled);
      if (this.#compiled.size > 10_000) this.#compiled.clear();
      this.#compiled.set(filled, compiled);
    }
    return compiled(repository);
  }
}

const appliesTo = (rule: AccessRule, user: string): boolean =>
  rule.users.includes('anonymous') || (user !== '' && (rule.users.includes('authenticated') || rule.users.includes(user)));

/** Where no authentication is configured. */
export const everyone: Actor = { name: '', may: () => true, maySee: () => true };
