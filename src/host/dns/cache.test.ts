import { expect, test } from 'bun:test';
import * as dns from 'dns-packet';
import { AnswerCache, questionKey } from './cache.ts';

const ask = (name: string, id = 1): Uint8Array =>
  dns.encode({ type: 'query', id, flags: dns.RECURSION_DESIRED, questions: [{ type: 'A', name }] });
const answer = (answers: dns.Answer[], rcode = 0, authorities: dns.Answer[] = []): Uint8Array =>
  dns.encode({ type: 'response', id: 1, flags: rcode, questions: [{ type: 'A', name: 'a.example' }], answers, authorities });
const soa = (minimum: number, ttl: number): dns.Answer => ({
  type: 'SOA',
  name: 'example',
  ttl,
  data: { mname: 'm', rname: 'r', serial: 1, refresh: 1, retry: 1, expire: 1, minimum },
});
const record = (ttl: number): dns.Answer => ({ type: 'A', name: 'a.example', ttl, data: '192.0.2.1' });

function cacheWith(bytes: Uint8Array): { after(seconds: number): dns.DecodedPacket | undefined } {
  let now = 0;
  const cache = new AnswerCache(() => now);
  cache.put('key', bytes);
  return {
    after(seconds) {
      now = seconds * 1000;
      const found = cache.get('key', ask('A.eXample', 77));
      return found === undefined ? undefined : dns.decode(Buffer.from(found));
    },
  };
}

test('an answer holds for as long as its shortest record, which grows older, and comes with the asker’s number and spelling', () => {
  const cache = cacheWith(answer([record(60), record(30)]));
  const found = cache.after(10);
  expect([found?.id, found?.questions?.[0]?.name]).toEqual([77, 'A.eXample']);
  expect(found?.answers?.map(one => 'ttl' in one && one.ttl)).toEqual([50, 20]);
  expect(cache.after(29.9)).toBeDefined();
  expect(cache.after(30)).toBeUndefined();
});

test('nothing holds longer than an hour', () => expect(cacheWith(answer([record(1_000_000)])).after(3600)).toBeUndefined());

test('what does not exist is known for as long as the zone says, five minutes at most', () => {
  expect(cacheWith(answer([], 3, [soa(20, 60)])).after(19)).toBeDefined();
  expect(cacheWith(answer([], 3, [soa(20, 60)])).after(20)).toBeUndefined();
  expect(cacheWith(answer([], 0, [soa(9999, 9999)])).after(299)).toBeDefined();
  expect(cacheWith(answer([], 0, [soa(9999, 9999)])).after(300)).toBeUndefined();
});

test('failures, answers cut off, without a lifetime or without a zone are not kept', () => {
  for (const bytes of [
    answer([], 2),
    answer([record(0)]),
    answer([], 3),
    answer([record(9)], dns.TRUNCATED_RESPONSE),
    new Uint8Array(11),
  ]) {
    expect(cacheWith(bytes).after(0)).toBeUndefined();
  }
});

test('questions are the same whatever their number and spelling, and others with another type or flag', () => {
  expect(questionKey(ask('a.example', 1))).toBe(String(questionKey(ask('A.EXAMPLE', 2))));
  const other = dns.encode({ type: 'query', id: 1, flags: dns.RECURSION_DESIRED, questions: [{ type: 'AAAA', name: 'a.example' }] });
  expect(questionKey(other)).not.toBe(String(questionKey(ask('a.example'))));
  expect(questionKey(new Uint8Array(5))).toBeUndefined();
});
