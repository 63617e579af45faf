// POSIX ustar: blocks of 512 bytes, a header and then the contents of each file.
const blockBytes = 512;

export interface ArchiveFile {
  readonly path: string;
  readonly mode: number;
  readonly contents: Uint8Array;
}

/** A tar archive of a few small files. */
export function writeArchive(files: readonly ArchiveFile[]): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const { path, mode, contents } of files) {
    parts.push(header(path, mode, contents.length), contents, new Uint8Array((blockBytes - (contents.length % blockBytes)) % blockBytes));
  }
  return Buffer.concat([...parts, new Uint8Array(2 * blockBytes)]);
}

function header(path: string, mode: number, sizeBytes: number): Uint8Array {
  const block = Buffer.alloc(blockBytes);
  const octal = (value: number, at: number, width: number): void => void block.write(value.toString(8).padStart(width - 1, '0'), at);
  block.write(path, 0, 100);
  octal(mode, 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  octal(sizeBytes, 124, 12);
  octal(0, 136, 12);
  block.write(' '.repeat(8), 148);
  block.write('0', 156);
  block.write('ustar\x0000', 257);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return block;
}

/** The regular files of a tar archive. Throws an Error when it is none. */
export function readArchive(archive: Uint8Array): ArchiveFile[] {
  const bytes = Buffer.from(archive);
  const files: ArchiveFile[] = [];
  for (let at = 0; at + blockBytes <= bytes.length; ) {
    const block = bytes.subarray(at, at + blockBytes);
    if (block.every(byte => byte === 0)) break;
    const field = (from: number, to: number): string => block.subarray(from, to).toString().replace(/\0.*$/s, '').trim();
    const sizeBytes = Number.parseInt(field(124, 136), 8);
    if (field(257, 262) !== 'ustar' || Number.isNaN(sizeBytes)) throw new Error('the file is not a tar archive');
    at += blockBytes;
    const type = field(156, 157);
    if (type === '' || type === '0')
      files.push({ path: field(0, 100), mode: Number.parseInt(field(100, 108), 8), contents: bytes.subarray(at, at + sizeBytes) });
    at += Math.ceil(sizeBytes / blockBytes) * blockBytes;
  }
  return files;
}
