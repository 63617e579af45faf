import { expect, test } from 'bun:test';
import * as dns from 'dns-packet';
import type { NameLookup } from '#core/name-server.ts';
import { answerLocally, fitDatagram, formatError, parseQuery, serverFailure } from './answer.ts';

const lookup: NameLookup = {
  addresses: (_id, name, family) => (name === 'db' ? (family === 4 ? ['10.0.0.2', '10.0.0.3'] : []) : undefined),
  nameOf: (_id, address) => (address === '10.0.0.2' ? 'db.net' : address === 'fd00::2' ? 'six.net' : undefined),
  upstreams: () => ({ servers: [], from: 'host', keepsSingleLabels: false }),
};

function ask(name: string, type: dns.RecordType) {
  const query = parseQuery(dns.encode({ type: 'query', id: 7, flags: dns.RECURSION_DESIRED, questions: [{ name, type }] }));
  if (query === undefined) throw new Error('not a query');
  const answer = answerLocally(query, 'me', lookup);
  return answer === undefined ? undefined : dns.decode(Buffer.from(answer));
}
const data = (packet: ReturnType<typeof ask>) => packet?.answers?.map(answer => ('data' in answer ? answer.data : '')).toSorted();

test('a known name has its addresses, and an empty answer for what it lacks', () => {
  const answer = ask('db', 'A');
  expect(data(answer)).toEqual(['10.0.0.2', '10.0.0.3']);
  expect(answer).toMatchObject({ id: 7, type: 'response', rcode: 'NOERROR', flag_ra: true, flag_rd: true });
  for (const type of ['AAAA', 'MX', 'SRV'] as const) expect(ask('db', type)).toMatchObject({ rcode: 'NOERROR', answers: [] });
});

test('addresses have names, in both families', () => {
  expect(data(ask('2.0.0.10.in-addr.arpa', 'PTR'))).toEqual(['db.net']);
  expect(data(ask(`2.${'0.'.repeat(27)}0.0.d.f.ip6.arpa`, 'PTR'))).toEqual(['six.net']);
});

test('what is not of the networks is somebody else’s to answer', () => {
  expect(ask('example.com', 'A')).toBeUndefined();
  expect(ask('9.9.9.9.in-addr.arpa', 'PTR')).toBeUndefined();
});

test('an answer that does not fit into a datagram says so and carries nothing', () => {
  const query = parseQuery(dns.encode({ type: 'query', id: 1, questions: [{ name: 'db', type: 'A' }] }));
  if (query === undefined) throw new Error('not a query');
  const fitted = dns.decode(Buffer.from(fitDatagram(query, new Uint8Array(600))));
  expect(fitted).toMatchObject({ flag_tc: true, answers: [] });
  expect(dns.decode(Buffer.from(serverFailure(query)))).toMatchObject({ rcode: 'SERVFAIL' });
});

test('whoever speaks EDNS hears that we do, and gets as much in one datagram as he takes', () => {
  const options: dns.OptAnswer = {
    ...{ type: 'OPT', name: '.', udpPayloadSize: 1232, extendedRcode: 0, ednsVersion: 0 },
    ...{ flags: 0, flag_do: false, options: [] },
  };
  const query = parseQuery(dns.encode({ type: 'query', id: 1, questions: [{ name: 'db', type: 'A' }], additionals: [options] }));
  if (query === undefined) throw new Error('not a query');
  expect(query.udpBytes).toBe(1232);
  const answer = answerLocally(query, 'me', lookup) ?? new Uint8Array();
  expect(dns.decode(Buffer.from(answer)).additionals).toMatchObject([{ type: 'OPT', udpPayloadSize: 1232 }]);
  expect(fitDatagram(query, new Uint8Array(1200))).toHaveLength(1200);
  expect(dns.decode(Buffer.from(fitDatagram(query, new Uint8Array(1300))))).toMatchObject({ flag_tc: true });
});

test('garbage is answered with a format error, if with anything', () => {
  expect(parseQuery(new Uint8Array([1, 2, 3]))).toBeUndefined();
  expect(formatError(new Uint8Array(3))).toBeUndefined();
  expect(formatError(new Uint8Array(20).fill(9))?.slice(0, 4)).toEqual(new Uint8Array([9, 9, 0x80, 1]));
});
