import { CString, dlopen, type Pointer } from 'bun:ffi';
import { cstring } from './libc.ts';

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

/** Runs nftables commands (nft(8) syntax) in the network namespace the thread was in when it was made. */
export interface Nftables extends Disposable {
  /** One transaction. Throws an Error with nft's own words. */
  run(commands: string): void;
  /** What a `list` command answers, as libnftables-json(5). */
  list(command: string): unknown;
}

const open = () => dlopen('libnftables.so.1', symbols).symbols;
let library: ReturnType<typeof open> | undefined;

/** Through the nftables library; undefined where it is not installed. */
export function openNftables(): Nftables | undefined {
  try {
    library ??= open();
  } catch {
    return undefined;
  }
  const nft = library;
  const context = nft.nft_ctx_new(0);
  if (context === null) return undefined;
  nft.nft_ctx_buffer_output(context);
  nft.nft_ctx_buffer_error(context);
  const run = (commands: string): string => {
    const failed = nft.nft_run_cmd_from_buffer(context, cstring(commands)) !== 0;
    const output = text(nft.nft_ctx_get_output_buffer(context));
    const errors = text(nft.nft_ctx_get_error_buffer(context));
    if (failed) throw new Error(`nftables refused a change: ${errors.trim()}`);
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
    },
  };
}

function text(pointer: Pointer | bigint | null): string {
  return pointer === null ? '' : String(new CString(Number(pointer) as Pointer));
}
