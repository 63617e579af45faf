import { formatDuration } from '#base/duration.ts';
import { EngineError } from '#base/errors.ts';
import { parseSignal } from '#base/signals.ts';
import type { ImageExecConfig } from '#oci/image-config.ts';
import { quote } from './characters.ts';
import { copyOf, type CopyLike, titleOf } from './copy-operation.ts';
import { expand, ExpandError } from './expand.ts';
import { PartError } from './flags.ts';
import type { IgnoreMatcher } from './ignore.ts';
import type {
  ArgInstruction,
  CmdInstruction,
  CommandLine,
  EntrypointInstruction,
  ExposeInstruction,
  HealthcheckInstruction,
  Instruction,
  KeyValue,
  RunInstruction,
  WorkdirInstruction,
} from './instructions.ts';
import type { Linter } from './linter.ts';
import type { Dispatched, Operation, StageState } from './operations.ts';
import { parseExposedPort } from './ports.ts';
import type { RuleName } from './rules.ts';
import { runOf, withShell } from './run-operation.ts';
import { DockerfileError, type Source } from './source.ts';
import { resolveInside } from './stage-state.ts';
import { suggest } from './suggest.ts';

/** What holds for every instruction of a build. */
export interface DispatchContext {
  readonly source: Source;
  /** `directives.escape` of the file. */
  readonly escape: '\\' | '`';
  readonly buildArgs: ReadonlyMap<string, string>;
  /** The variables outside of stages: platform arguments and `ARG`s before the first `FROM`. */
  readonly globals: ReadonlyMap<string, string>;
  readonly lint?: Linter;
  /** The rules of `.dockerignore`, for the check that warns of copying what they exclude. */
  readonly ignore?: IgnoreMatcher;
}

/** Values for `ARG` that direct the build and are in no command's environment. */
const directing = new Set(['BUILDKIT_SBOM_SCAN_CONTEXT', 'BUILDKIT_SBOM_SCAN_STAGE']);

/**
 * Gives one instruction its variables' values and applies it to a stage. Pure: what has to be done to files is in the result. Throws
 * DockerfileError for what turns out to be wrong only now, such as a variable that must be set, a signal or a port that does not exist.
 */
export function dispatch(state: StageState, instruction: Instruction, context: DispatchContext): Dispatched {
  try {
    return new Dispatcher(state, instruction, context).run();
  } catch (err) {
    const isReason =
      err instanceof PartError || err instanceof ExpandError || (err instanceof EngineError && !(err instanceof DockerfileError));
    if (!isReason) throw err;
    const range = err instanceof PartError && err.range !== undefined ? err.range : instruction.range;
    throw new DockerfileError(err.message, { range, source: context.source });
  }
}

class Dispatcher {
  readonly #state: StageState;
  readonly #instruction: Instruction;
  readonly #context: DispatchContext;
  readonly #config: ImageExecConfig;

  constructor(state: StageState, instruction: Instruction, context: DispatchContext) {
    this.#state = state;
    this.#instruction = instruction;
    this.#context = context;
    this.#config = state.image.config ?? {};
  }

  run(): Dispatched {
    const instruction = this.#instruction;
    switch (instruction.kind) {
      case 'add':
      case 'copy':
        return this.#copy(instruction);
      case 'arg':
        return this.#arg(instruction);
      case 'cmd':
        return this.#cmd(instruction);
      case 'entrypoint':
        return this.#entrypoint(instruction);
      case 'env':
        return this.#env(instruction.pairs);
      case 'expose':
        return this.#expose(instruction);
      case 'healthcheck':
        return this.#healthcheck(instruction);
      case 'label':
        return this.#label(instruction.pairs);
      case 'maintainer':
        return this.#commit(`MAINTAINER ${instruction.author}`, {}, { author: instruction.author });
      case 'onbuild':
        return { state: this.#changed({ OnBuild: [...(this.#config.OnBuild ?? []), instruction.trigger] }) };
      case 'run':
        return this.#run(instruction);
      case 'shell':
        return this.#commit(`SHELL [${instruction.shell.join(' ')}]`, { Shell: instruction.shell });
      case 'stopsignal': {
        const signal = this.#word(instruction.signal);
        parseSignal(signal);
        return this.#commit(`STOPSIGNAL ${signal}`, { StopSignal: signal });
      }
      case 'user': {
        const user = this.#word(instruction.user);
        return this.#commit(`USER ${user}`, { User: user });
      }
      case 'volume': {
        const volumes = instruction.volumes.map(volume => this.#word(volume));
        if (volumes.includes('')) throw new PartError('VOLUME specified can not be an empty string');
        const all = { ...this.#config.Volumes, ...Object.fromEntries(volumes.map(volume => [volume, {}])) };
        return this.#commit(`VOLUME [${volumes.join(' ')}]`, { Volumes: all });
      }
      case 'workdir':
        return this.#workdir(instruction);
    }
  }

  /** A word with its variables' values, and a warning for those that have none. */
  readonly #word = (text: string): string => {
    const { text: value, unmatched } = expand(text, this.#lookup, { escape: this.#context.escape });
    this.#reportUnset(unmatched);
    return value;
  };

  readonly #lookup = (name: string): string | undefined => this.#state.variables.get(name);

  #reportUnset(names: ReadonlySet<string>): void {
    const declared = new Set(this.#state.args.map(({ name }) => name));
    for (const name of names) {
      if (declared.has(name) || directing.has(name)) continue;
      const match = suggest(name, this.#state.variables.keys());
      this.#report('UndefinedVar', `Usage of undefined variable '$${name}'${match === undefined ? '' : ` (did you mean $${match}?)`}`);
    }
  }

  #report(rule: RuleName, detail: string): void {
    this.#context.lint?.report(rule, this.#instruction.range, detail, this.#instruction.comments);
  }

  #changed(config: ImageExecConfig, image: { author?: string } = {}, state: Partial<StageState> = {}): StageState {
    return { ...this.#state, ...state, image: { ...this.#state.image, ...image, config: { ...this.#config, ...config } } };
  }

  /** The state after the instruction, its line in the history included. */
  #commit(
    createdBy: string,
    config: ImageExecConfig,
    image: { author?: string } = {},
    { state, operation, isLayer = false }: { state?: Partial<StageState>; operation?: Operation; isLayer?: boolean } = {},
  ): Dispatched {
    const history = { created_by: createdBy, comment: 'buildkit.dockerfile.v0', ...(!isLayer && { empty_layer: true }) };
    const changed = this.#changed(config, image, state);
    return {
      state: { ...changed, image: { ...changed.image, history: [...(changed.image.history ?? []), history] } },
      history,
      ...(operation !== undefined && { operation }),
    };
  }

  #given(name: 'cmd' | 'entrypoint' | 'healthcheck' | 'workdir'): Partial<StageState> {
    return { given: new Set([...this.#state.given, name]) };
  }

  /** Warns of an instruction of which only the last counts. */
  #once(name: 'cmd' | 'entrypoint' | 'healthcheck'): Partial<StageState> {
    if (this.#state.given.has(name)) {
      const word = this.#instruction.keyword;
      this.#report(
        'MultipleInstructionsDisallowed',
        `Multiple ${word} instructions should not be used in the same stage because only the last one will be used`,
      );
    }
    return this.#given(name);
  }

  #copy(instruction: CopyLike): Dispatched {
    const { operation, history } = copyOf(instruction, {
      word: this.#word,
      document: text => {
        const { text: value, unmatched } = expand(text, this.#lookup, { ignoreQuotes: true });
        this.#reportUnset(unmatched);
        return value;
      },
      title: titleOf(instruction.code, text => expand(text, this.#lookup, { escape: this.#context.escape }).text),
      cwd: this.#config.WorkingDir ?? '',
    });
    const { ignore } = this.#context;
    if (ignore !== undefined && operation.kind === 'copy' ? operation.from === undefined : ignore !== undefined) {
      for (const source of operation.sources) this.#checkIgnored(source, ignore);
    }
    return this.#commit(`${history} # buildkit`, {}, {}, { operation, isLayer: true });
  }

  #checkIgnored(source: string, ignore: IgnoreMatcher | undefined): void {
    const path = ignore?.excludedSource(source);
    if (path === undefined) return;
    const verb = this.#instruction.kind === 'add' ? 'Add' : 'Copy';
    this.#report('CopyIgnoredFile', `Attempting to ${verb} file ${quote(path)} that is excluded by .dockerignore`);
  }

  #run(instruction: RunInstruction): Dispatched {
    const { operation, history } = runOf(instruction, { state: this.#state, word: this.#word, escape: this.#context.escape });
    return this.#commit(`RUN ${history} # buildkit`, {}, {}, { operation, isLayer: true });
  }

  #workdir(instruction: WorkdirInstruction): Dispatched {
    const path = this.#word(instruction.path);
    if (!this.#state.given.has('workdir') && !path.startsWith('/')) {
      this.#report('WorkdirRelativePath', `Relative workdir ${quote(path)} can have unexpected results if the base image changes`);
    }
    const cwd = resolveInside(this.#config.WorkingDir ?? '', path);
    const operation: Operation = {
      kind: 'workdir',
      title: titleOf(instruction.code, text => expand(text, this.#lookup, { escape: this.#context.escape }).text),
      range: instruction.range,
      path: cwd,
      user: this.#config.User ?? '',
    };
    const isLayer = cwd !== '/';
    const settings = { state: this.#given('workdir'), isLayer, ...(isLayer && { operation }) };
    return this.#commit(`WORKDIR ${cwd}`, { WorkingDir: cwd }, {}, settings);
  }

  #pairs(pairs: readonly KeyValue[]): KeyValue[] {
    const command = this.#instruction.keyword;
    for (const { legacy } of pairs) {
      if (legacy) {
        this.#report('LegacyKeyValueFormat', `"${command} key=value" should be used instead of legacy "${command} key value" format`);
      }
    }
    return pairs.map(pair => ({ ...pair, key: this.#word(pair.key), value: this.#word(pair.value) }));
  }

  #env(pairs: readonly KeyValue[]): Dispatched {
    const env = [...(this.#config.Env ?? [])];
    const variables = new Map(this.#state.variables);
    const values = this.#pairs(pairs);
    for (const { key, value } of values) {
      this.#checkSecret('ENV', key);
      const at = env.findIndex(entry => entry === key || entry.startsWith(`${key}=`));
      if (at < 0) env.push(`${key}=${value}`);
      else env[at] = `${key}=${value}`;
      variables.set(key, value);
    }
    return this.#commit(`ENV ${formatPairs(values)}`, { Env: env }, {}, { state: { variables } });
  }

  #label(pairs: readonly KeyValue[]): Dispatched {
    const values = this.#pairs(pairs);
    const labels = { ...this.#config.Labels, ...Object.fromEntries(values.map(({ key, value }) => [key, value])) };
    return this.#commit(`LABEL ${formatPairs(values)}`, { Labels: labels });
  }

  #checkSecret(instruction: 'ARG' | 'ENV', name: string): void {
    if (!isSecretName(name)) return;
    this.#report('SecretsUsedInArgOrEnv', `Do not use ARG or ENV instructions for sensitive data (${instruction} ${quote(name)})`);
  }

  #arg(instruction: ArgInstruction): Dispatched {
    const variables = new Map(this.#state.variables);
    const args = [...this.#state.args];
    const shown: string[] = [];
    for (const definition of instruction.args) {
      this.#checkSecret('ARG', definition.name);
      const value = this.#argValue(definition.name, definition.value, variables);
      if (value !== undefined && !directing.has(definition.name)) variables.set(definition.name, value);
      args.push({ name: definition.name, ...(value !== undefined && { value }) });
      shown.push(value === undefined ? definition.name : `${definition.name}=${value}`);
    }
    return this.#commit(`ARG ${shown.join(' ')}`, {}, {}, { state: { variables, args } });
  }

  /** What the caller gave, else the default, else the value outside of stages. */
  #argValue(name: string, fallback: string | undefined, variables: ReadonlyMap<string, string>): string | undefined {
    const given = this.#context.buildArgs.get(name);
    if (given !== undefined) return given;
    if (fallback === undefined) return this.#context.globals.get(name);
    const { text, unmatched } = expand(fallback, key => variables.get(key), { escape: this.#context.escape });
    this.#reportUnset(unmatched);
    return text;
  }

  #commandArgs(command: CommandLine): readonly string[] {
    if (command.form === 'exec') return command.args;
    if ((this.#config.Shell ?? []).length === 0) {
      const word = this.#instruction.keyword;
      this.#report('JSONArgsRecommended', `JSON arguments recommended for ${word} to prevent unintended behavior related to OS signals`);
    }
    return withShell(this.#config, command.text);
  }

  #cmd({ command }: CmdInstruction): Dispatched {
    const state = this.#once('cmd');
    const args = this.#commandArgs(command);
    return this.#commit(`CMD [${args.map(quote).join(' ')}]`, { Cmd: args, ArgsEscaped: true }, {}, { state });
  }

  #entrypoint({ command }: EntrypointInstruction): Dispatched {
    const state = this.#once('entrypoint');
    const args = this.#commandArgs(command);
    // What a base image wants as arguments means nothing to another program.
    const cmd = this.#state.given.has('cmd') ? {} : { Cmd: null };
    const entrypoint = args.length === 0 ? null : args;
    return this.#commit(`ENTRYPOINT [${args.map(quote).join(' ')}]`, { Entrypoint: entrypoint, ...cmd }, {}, { state });
  }

  #healthcheck({ test, interval, timeout, startPeriod, startInterval, retries }: HealthcheckInstruction): Dispatched {
    const state = this.#once('healthcheck');
    const nanos = { Interval: interval, Timeout: timeout, StartPeriod: startPeriod, StartInterval: startInterval };
    const healthcheck = {
      Test: test,
      ...Object.fromEntries(Object.entries({ ...nanos, Retries: retries }).filter(([, value]) => value !== 0)),
    };
    const durations = Object.entries(nanos).map(([name, value]) => `${name}:${formatDuration(BigInt(value))}`);
    const shown = `{Test:[${test.join(' ')}] ${durations.join(' ')} Retries:${retries}}`;
    return this.#commit(`HEALTHCHECK ${shown}`, { Healthcheck: healthcheck }, {}, { state });
  }

  #expose({ ports }: ExposeInstruction): Dispatched {
    const exposed: string[] = [];
    for (const port of ports) {
      for (const word of expand(port, this.#lookup, { escape: this.#context.escape }).words) {
        const parsed = parseExposedPort(word);
        if (parsed.hasUpperCase) {
          this.#report('ExposeProtoCasing', `Defined protocol '${word}' in EXPOSE instruction should be lowercase`);
        }
        if (parsed.isMapping) {
          this.#report('ExposeInvalidFormat', `EXPOSE instruction should not define an IP address or host-port mapping, found '${word}'`);
        }
        exposed.push(...parsed.ports);
      }
    }
    const all = { ...this.#config.ExposedPorts, ...Object.fromEntries(exposed.map(port => [port, {}])) };
    return this.#commit(`EXPOSE [${exposed.join(' ')}]`, { ExposedPorts: all });
  }
}

const formatPairs = (pairs: readonly KeyValue[]): string => pairs.map(({ key, value }) => `${key}=${value}`).join(' ');

const secretWord = /(?:_|^)(?:apikey|auth|credential|credentials|key|password|pword|passwd|secret|token)(?:_|$)/i;
const harmlessWord = /(?:_|^)(?:public|file|version)(?:_|$)/i;

const isSecretName = (name: string): boolean => secretWord.test(name) && !harmlessWord.test(name);
