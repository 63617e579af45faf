import { open } from 'node:fs/promises';
import { invalidArgument } from '#base/errors.ts';
import type { BuildHistory } from '#builder/history/build-history.ts';
import type { CallContext, ServiceHandlers } from './grpc.ts';

interface ReadRequest {
  readonly digest: string;
  readonly offset: number;
  /** 0: to the end. */
  readonly size: number;
}

/** The largest message that gets through in one piece. */
const chunkBytes = 16 * 1024;

/** containerd.services.content.v1.Content: the documents that records of builds name. For reading only. */
export function contentService(history: BuildHistory): ServiceHandlers {
  return {
    unary: {
      Info({ digest }: { readonly digest: string }) {
        const { blob } = history.document(digest);
        return { info: { digest: blob.digest, size: blob.sizeBytes } };
      },
    },
    streams: {
      async *Read({ digest, offset, size }: ReadRequest, { signal }: CallContext) {
        const { path, blob } = history.document(digest);
        if (offset < 0 || offset > blob.sizeBytes)
          throw invalidArgument(`invalid offset ${String(offset)}: ${digest} has ${String(blob.sizeBytes)} bytes`);
        const end = size > 0 ? Math.min(offset + size, blob.sizeBytes) : blob.sizeBytes;
        await using file = await open(path);
        for (let at = offset; at < end && !signal.aborted; ) {
          const { bytesRead, buffer } = await file.read(Buffer.alloc(Math.min(chunkBytes, end - at)), { position: at });
          if (bytesRead === 0) return;
          yield { offset: at, data: buffer.subarray(0, bytesRead) };
          at += bytesRead;
        }
      },
    },
  };
}
