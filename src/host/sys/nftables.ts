import { CString, dlopen, type Pointer } from 'bun:ffi';
import { closeSync, openSync } from 'node:fs';
import { failedPrecondition, resourceExhausted } from '#base/errors.ts';
import { cstring } from './libc.ts';
import { isNetlinkSocket } from './netlink.ts';

/** Runs nftables commands (nft(8) syntax) in the network namespace the thread was in when it was made. */
export interface Nftables extends Disposable {
  /** One transaction. Throws an Error with nft's own words. */
  run(commands: string): void;
  /** What a `list` command answers, as libnftables-json(5). */
  list(command: string): unknown;
}

const symbols = {
  nft_ctx_new: { args: ['u32'], returns: 'ptr' },
  nft_ctx_free: { args: ['ptr'], returns: 'void' },
  nft_ctx_buffer_output: { args: ['ptr'], returns: 'i32' },
  nft_ctx_buffer_error: { args: ['ptr'], returns: 'i32' },
  nft_ctx_get_output_buffer: { args: ['ptr'], returns: 'ptr' },
  nft_ctx_get_error_buffer: { args: ['ptr'], returns: 'ptr' },
  nft_ctx_output_set_flags: { args: ['ptr', 'u32'], returns: 'void' },
  nft_run_cmd_from_buffer: { args: ['ptr', 'ptr'], returns: 'i32' },
} as const;

const NFT_CTX_OUTPUT_JSON = 1 << 4;

const load = () => dlopen('libnftables.so.1', symbols).symbols;
let library: ReturnType<typeof load> | undefined;

/** Through the nftables library; where it cannot be loaded, through the `nft` program. Throws FailedPrecondition when neither is installed. */
export function openNftables(): Nftables {
  try {
    library ??= load();
  } catch {
    return throughProgram();
  }
  return throughLibrary(library);
}

/**
 * The library waits for its netlink socket with select(2), which ends the process when the number of the descriptor is 1024 or higher. A daemon with some
 * hundred containers has more: low numbers are kept for these sockets.
 */
const endOfSelect = 1024;
const mostKept = 8;
const kept: number[] = [];

function keepLowNumbers(): void {
  while (kept.length < mostKept) {
    const number = openSync('/dev/null', 'r');
    if (number < endOfSelect) kept.push(number);
    else return closeSync(number);
  }
}

/** A context whose socket has a low number. Another thread may open something in the very moment in which a kept one is free: then the next is tried. */
function newContext(nft: ReturnType<typeof load>): Pointer | bigint {
  keepLowNumbers();
  for (let number = kept.pop(); number !== undefined; number = kept.pop()) {
    closeSync(number);
    const lowest = openSync('/dev/null', 'r');
    closeSync(lowest);
    const context = nft.nft_ctx_new(0);
    if (context === null) throw new Error('the nftables library gave no context');
    if (lowest < endOfSelect && isNetlinkSocket(lowest)) return context;
    nft.nft_ctx_free(context);
  }
  throw resourceExhausted('packet rules cannot be changed: no descriptor below 1024 is left');
}

function throughLibrary(nft: ReturnType<typeof load>): Nftables {
  const context = newContext(nft);
  nft.nft_ctx_buffer_output(context);
  nft.nft_ctx_buffer_error(context);
  const run = (commands: string): string => {
    const failed = nft.nft_run_cmd_from_buffer(context, cstring(commands)) !== 0;
    const output = textAt(nft.nft_ctx_get_output_buffer(context));
    const errors = textAt(nft.nft_ctx_get_error_buffer(context));
    if (failed) throw refusal(errors);
    return output;
  };
  let isOpen = true;
  return {
    run: commands => void run(commands),
    list(command) {
      nft.nft_ctx_output_set_flags(context, NFT_CTX_OUTPUT_JSON);
      try {
        return JSON.parse(run(command));
      } finally {
        nft.nft_ctx_output_set_flags(context, 0);
      }
    },
    [Symbol.dispose]() {
      if (!isOpen) return;
      isOpen = false;
      nft.nft_ctx_free(context);
      keepLowNumbers();
    },
  };
}

function throughProgram(): Nftables {
  const program = Bun.which('nft', { PATH: `${process.env.PATH ?? ''}:/usr/sbin:/sbin` });
  if (program === null)
    throw failedPrecondition('networks need nftables: install the package nftables (libnftables.so.1 or the program nft)');
  const run = (args: readonly string[], input: string): string => {
    const result = Bun.spawnSync([program, ...args, '-f', '-'], { stdin: new TextEncoder().encode(input), stdout: 'pipe', stderr: 'pipe' });
    if (!result.success) throw refusal(result.stderr.toString());
    return result.stdout.toString();
  };
  return {
    run: commands => void run([], commands),
    list: command => JSON.parse(run(['-j'], command)),
    [Symbol.dispose]: () => undefined,
  };
}

const refusal = (words: string): Error => new Error(`nftables refused a change: ${words.trim()}`);

function textAt(pointer: Pointer | bigint | null): string {
  return pointer === null ? '' : String(new CString(Number(pointer) as Pointer));
}
