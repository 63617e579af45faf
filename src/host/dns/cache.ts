const headerBytes = 12;
const typeSoa = 6;
const typeOpt = 41;
const rcodeNameError = 3;
const flagTruncated = 0x02;
/** Seconds. A server that moves its names should not have to wait longer for anybody. */
const longestTtl = 3600;
/** Of what does not exist: it may exist soon (RFC 2308, 5). */
const longestNegativeTtl = 300;
const mostAnswers = 1000;
const longestAnswer = 4096;

interface Entry {
  readonly answer: Uint8Array;
  /** Where in the answer the lifetimes of its records are. */
  readonly ttls: readonly number[];
  readonly storedMs: number;
  readonly expiresMs: number;
}

interface Layout {
  readonly ttls: readonly number[];
  readonly lifetime: number;
}

/** Answers of other servers for as long as they say they hold. Bytes are kept as they came, so that no kind of record has to be known. */
export class AnswerCache {
  readonly #entries = new Map<string, Entry>();
  readonly #now: () => number;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** An answer to this question, its lifetimes shortened by its age. */
  get(key: string, query: Uint8Array): Uint8Array | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    const now = this.#now();
    if (now >= entry.expiresMs) {
      this.#entries.delete(key);
      return undefined;
    }
    const answer = answerTo(query, entry.answer);
    const view = new DataView(answer.buffer);
    const age = Math.floor((now - entry.storedMs) / 1000);
    for (const at of entry.ttls) view.setUint32(at, Math.max(0, view.getUint32(at) - age));
    // Whoever was asked last stays longest.
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    return answer;
  }

  /** Keeps an answer that may be kept. */
  put(key: string, answer: Uint8Array): void {
    if (answer.length > longestAnswer) return;
    const layout = layoutOf(answer);
    if (layout === undefined || layout.lifetime <= 0) return;
    const now = this.#now();
    this.#entries.set(key, { answer, ttls: layout.ttls, storedMs: now, expiresMs: now + layout.lifetime * 1000 });
    if (this.#entries.size <= mostAnswers) return;
    for (const oldest of this.#entries.keys()) {
      this.#entries.delete(oldest);
      break;
    }
  }
}

/** The same answer for another asker: with the number and the spelling of his question. */
export function answerTo(query: Uint8Array, answer: Uint8Array): Uint8Array {
  const copy = answer.slice();
  copy.set(query.subarray(0, 2));
  const end = questionEnd(query);
  if (end !== undefined && end === questionEnd(answer)) copy.set(query.subarray(headerBytes, end), headerBytes);
  return copy;
}

/**
 * What an answer depends on besides who answers: everything in the question but its number and its spelling. Undefined for what is no single question.
 */
export function questionKey(query: Uint8Array): string | undefined {
  const end = questionEnd(query);
  if (end === undefined) return undefined;
  const name = new TextDecoder('latin1').decode(query.subarray(headerBytes, end)).toLowerCase();
  return `${query.subarray(2, headerBytes).toHex()} ${name} ${query.subarray(end).toHex()}`;
}

function questionEnd(message: Uint8Array): number | undefined {
  if (message.length < headerBytes || message[4] !== 0 || message[5] !== 1) return undefined;
  const end = nameEnd(message, headerBytes);
  return end === undefined || end + 4 > message.length ? undefined : end + 4;
}

/** Behind a name: labels, or a pointer to earlier ones. */
function nameEnd(message: Uint8Array, start: number): number | undefined {
  for (let at = start; at < message.length; ) {
    const length = message[at] ?? 0;
    if (length === 0) return at + 1;
    if ((length & 0xc0) === 0xc0) return at + 2;
    if (length > 63) return undefined;
    at += 1 + length;
  }
  return undefined;
}

/** Undefined for what is not to be kept: failures, and what did not fit. */
function layoutOf(message: Uint8Array): Layout | undefined {
  const end = questionEnd(message);
  if (end === undefined || ((message[2] ?? 0) & flagTruncated) !== 0) return undefined;
  const rcode = (message[3] ?? 0) & 0xf;
  if (rcode !== 0 && rcode !== rcodeNameError) return undefined;
  const view = new DataView(message.buffer, message.byteOffset, message.length);
  const [answers, others] = [view.getUint16(6), view.getUint16(8) + view.getUint16(10)];
  const isNegative = rcode === rcodeNameError || answers === 0;
  const ttls: number[] = [];
  let lifetime = isNegative ? longestNegativeTtl : longestTtl;
  let hasAuthority = false;
  let at = end;
  for (let count = 0; count < answers + others; count++) {
    const fixed = nameEnd(message, at);
    if (fixed === undefined || fixed + 10 > message.length) return undefined;
    const [type, ttl, size] = [view.getUint16(fixed), view.getUint32(fixed + 4), view.getUint16(fixed + 8)];
    const next = fixed + 10 + size;
    if (next > message.length) return undefined;
    if (type !== typeOpt) {
      ttls.push(fixed + 4);
      lifetime = Math.min(lifetime, ttl);
    }
    if (type === typeSoa && size >= 4) {
      hasAuthority = true;
      // The last field says how long what does not exist does not (RFC 2308, 3).
      if (isNegative) lifetime = Math.min(lifetime, view.getUint32(next - 4));
    }
    at = next;
  }
  return isNegative && !hasAuthority ? undefined : { ttls, lifetime };
}
