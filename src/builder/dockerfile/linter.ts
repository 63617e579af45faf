import { checkComment } from './directives.ts';
import { type Rule, type RuleName, rules } from './rules.ts';
import { DockerfileError, formatExcerpt, type Range, type Source } from './source.ts';

/** What `# check=` or `BUILDKIT_DOCKERFILE_CHECK` says: which rules do not count, and whether one that is broken fails the build. */
export interface CheckOptions {
  readonly skip: ReadonlySet<string> | 'all';
  readonly experimental: ReadonlySet<string> | 'all';
  readonly error: boolean;
}

/** A broken rule. */
export interface LintWarning {
  readonly rule: Rule;
  readonly detail: string;
  readonly range: Range;
}

const nothing: CheckOptions = { skip: new Set(), experimental: new Set(), error: false };

/** Reads `skip=A,B;error=true;experimental=all`. Throws an Error whose message is the reason. */
export function parseCheckOptions(text: string): CheckOptions {
  if (text.trim() === '') return nothing;
  let options = nothing;
  for (const part of text.trim().split(';')) {
    const at = part.indexOf('=');
    if (at < 0) throw new Error(`invalid check option ${JSON.stringify(part)}`);
    const [key, value] = [part.slice(0, at).trim(), part.slice(at + 1).trim()];
    if (key === 'skip' || key === 'experimental') options = { ...options, [key]: ruleSet(value) };
    else if (key === 'error') {
      if (!/^(1|0|t|f|T|F|true|false|TRUE|FALSE|True|False)$/.test(value)) {
        throw new Error(`failed to parse check option ${JSON.stringify(part)}: expected true or false`);
      }
      options = { ...options, error: /^(1|t)/i.test(value) };
    } else throw new Error(`invalid check option ${JSON.stringify(key)}`);
  }
  return options;
}

const ruleSet = (text: string): ReadonlySet<string> | 'all' => (text === 'all' ? 'all' : new Set(text.split(',').map(name => name.trim())));

const has = (set: ReadonlySet<string> | 'all', name: string): boolean => set === 'all' || set.has(name);

const join = (a: ReadonlySet<string> | 'all', b: ReadonlySet<string> | 'all'): ReadonlySet<string> | 'all' =>
  a === 'all' || b === 'all' ? 'all' : new Set([...a, ...b]);

/** Collects broken rules; what is found twice, as when a file is looked at for two platforms, is kept once. */
export class Linter {
  readonly options: CheckOptions;
  readonly #found: Map<string, LintWarning>;

  constructor(options: CheckOptions = nothing, found = new Map<string, LintWarning>()) {
    this.options = options;
    this.#found = found;
  }

  /** A linter for which some rules do not count; what it finds is found here. */
  without(...names: readonly RuleName[]): Linter {
    return new Linter({ ...this.options, skip: join(this.options.skip, new Set(names)) }, this.#found);
  }

  /** Notes a broken rule, unless it does not count or a comment above the instruction (`# check=skip=Rule`) excuses it. */
  report(name: RuleName, range: Range, detail: string, comments: readonly string[] = []): void {
    const rule = rules[name];
    const { skip, experimental } = this.#optionsWith(comments);
    if (rule.experimental ? !has(experimental, name) : has(skip, name)) return;
    const key = `${range.start.line} ${name} ${detail}`;
    if (!this.#found.has(key)) this.#found.set(key, { rule, detail, range });
  }

  #optionsWith(comments: readonly string[]): CheckOptions {
    const text = comments.map(checkComment).find(found => found !== undefined);
    if (text === undefined) return this.options;
    try {
      const more = parseCheckOptions(text);
      return {
        ...this.options,
        skip: join(this.options.skip, more.skip),
        experimental: join(this.options.experimental, more.experimental),
      };
    } catch {
      // A comment that only looks like options is a comment.
      return this.options;
    }
  }

  /** In the order of the file. */
  get warnings(): readonly LintWarning[] {
    return [...this.#found.values()].sort((a, b) => a.range.start.line - b.range.start.line);
  }

  /** Throws DockerfileError when a rule is broken and `error=true` says that this fails the build. */
  check(source: Source): void {
    if (!this.options.error || this.#found.size === 0) return;
    const names = [...new Set(this.warnings.map(({ rule }) => rule.name))];
    throw new DockerfileError(`lint violation found for rules: ${names.join(', ')}`, { source });
  }
}

/** `Rule: detail (line 3)`: a warning in one line. */
export const shortWarning = ({ rule, detail, range }: LintWarning): string => `${rule.name}: ${detail} (line ${range.start.line})`;

/** A warning with the rule's page and the lines, as `docker build --check` shows it. */
export function formatWarning({ rule, detail, range }: LintWarning, source: Source): string {
  const link = rule.url === '' ? '' : ` - ${rule.url}`;
  const wholeLines = { start: { line: range.start.line, column: 1 }, end: { line: range.end.line, column: Number.MAX_SAFE_INTEGER } };
  return `\nWARNING: ${rule.name}${link}\n${detail}\n${formatExcerpt(source, wholeLines)}`;
}
