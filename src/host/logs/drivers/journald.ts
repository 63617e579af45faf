import { randomBytes } from 'node:crypto';
import { closeSync } from 'node:fs';
import { invalidArgument, isErrno } from '#base/errors.ts';
import { shortId } from '#base/id.ts';
import type { LogSubject } from '#core/logs.ts';
import { sealedMemoryFile } from '#host/sys/memory-file.ts';
import { passingDescriptors, sendPacket } from '#host/sys/message-socket.ts';
import { attributeOptions, chosenAttributes } from '../attributes.ts';
import type { TakePiece } from '../capture/pieces.ts';
import { trimTime } from '../json-file/encode.ts';
import { defaultTag, renderTag } from '../tag.ts';
import { UnixDatagramSender } from './datagrams.ts';
import type { DriverTools, LogDriver, Receiver } from './driver.ts';

export const journald: LogDriver = {
  name: 'journald',
  check(config) {
    for (const key of Object.keys(config)) {
      if (!attributeOptions.some(name => name === key)) throw invalidArgument(`unknown log opt '${key}' for journald log driver`);
    }
  },
  open: (subject, tools) => new JournalReceiver(subject, tools),
};

const priorities = { stdout: '6', stderr: '3' } as const;

class JournalReceiver implements Receiver {
  readonly #sender: UnixDatagramSender;
  readonly #fields: Buffer;
  #ordinal = 0;
  #entries: Buffer[] = [];

  constructor(subject: LogSubject, { render, journalSocket }: DriverTools) {
    this.#sender = new UnixDatagramSender([journalSocket]);
    const tag = renderTag(subject, defaultTag, render);
    const fields: Record<string, string> = {
      CONTAINER_ID: shortId(subject.id),
      CONTAINER_ID_FULL: subject.id,
      CONTAINER_NAME: subject.name,
      CONTAINER_TAG: tag,
      IMAGE_NAME: subject.imageName,
      SYSLOG_IDENTIFIER: tag,
      // Tells this sender's ordinals from those of another daemon's.
      CONTAINER_LOG_EPOCH: randomBytes(32).toString('hex'),
      ...chosenAttributes(subject, fieldName),
    };
    const named = Object.entries(fields).filter(([name]) => name !== '');
    this.#fields = Buffer.concat(named.map(([name, value]) => field(name, Buffer.from(value, 'utf8'))));
  }

  readonly take: TakePiece = (stream, time, text, part) => {
    this.#ordinal += 1;
    const fields: Record<string, string> = {
      PRIORITY: priorities[stream],
      SYSLOG_TIMESTAMP: `${trimTime(time)}Z`,
      CONTAINER_LOG_ORDINAL: String(this.#ordinal),
    };
    if (part !== undefined) {
      Object.assign(fields, {
        CONTAINER_PARTIAL_ID: part.id,
        CONTAINER_PARTIAL_ORDINAL: String(part.ordinal),
        CONTAINER_PARTIAL_LAST: String(part.isLast),
        ...(part.isLast ? {} : { CONTAINER_PARTIAL_MESSAGE: 'true' }),
      });
    }
    const own = Object.entries(fields).map(([name, value]) => field(name, Buffer.from(value)));
    this.#entries.push(Buffer.concat([field('MESSAGE', Buffer.from(text, 'latin1')), ...own, this.#fields]));
  };

  async connect(signal: AbortSignal): Promise<void> {
    await this.#sender.connect(signal);
  }

  async flush(signal: AbortSignal): Promise<void> {
    const entries = this.#entries;
    this.#entries = [];
    for (const entry of entries) await this.#sender.sendWith(entry, signal, send);
  }

  async close(): Promise<void> {
    this.#sender.close();
  }
}

/** An entry that is too large for a datagram goes as a file that is handed over. */
function send(fd: number, entry: Uint8Array): boolean {
  try {
    return sendPacket(fd, entry);
  } catch (err) {
    if (!isErrno(err, 'EMSGSIZE', 'ENOBUFS')) throw err;
  }
  const file = sealedMemoryFile('journal-entry', entry);
  try {
    return sendPacket(fd, new Uint8Array(0), { control: passingDescriptors([file]) });
  } finally {
    closeSync(file);
  }
}

/** `NAME=value`, or with the value's length before it when it has line breaks. */
export function field(name: string, value: Buffer): Buffer {
  if (!value.includes(10)) return Buffer.concat([Buffer.from(`${name}=`), value, newline]);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(value.length));
  return Buffer.concat([Buffer.from(`${name}\n`), length, value, newline]);
}

const newline = Buffer.from('\n');

/** Names in the journal have capital letters, digits and underscores, none of these first. */
const fieldName = (name: string): string =>
  name
    .toUpperCase()
    .replace(/[^A-Z0-9]/g, '_')
    .replace(/^_+/, '');
