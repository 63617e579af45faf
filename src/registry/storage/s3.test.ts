import { mkdtemp, rm } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { kindOf } from '#base/errors.ts';
import { startS3Server, type S3Server } from '#test/helpers/s3-server.ts';
import { openS3Storage } from './s3.ts';
import { storageContract } from './storage.contract.ts';

let server: S3Server;
beforeAll(async () => {
  server = startS3Server();
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

const optionsFor = (folder: string, more: object = {}) => ({
  bucket: server.bucket,
  region: 'us-east-1',
  endpoint: server.url,
  accessKey: server.accessKey,
  secretKey: server.secretKey,
  sessionToken: undefined,
  virtualHostedStyle: false,
  prefix: crypto.randomUUID(),
  partBytes: 5 * 1024 * 1024,
  redirect: false,
  stagingFolder: folder,
  parallel: 4,
  ...more,
});

/** Somebody else's service and an empty bucket there, `http://127.0.0.1:9000/bucket`, with credentials in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. */
const foreign = process.env.BERTH_TEST_S3 === undefined ? undefined : new URL(process.env.BERTH_TEST_S3);
if (foreign !== undefined) {
  storageContract(`a bucket of ${foreign.origin}`, async () => {
    const folder = await mkdtemp('/tmp/berth-s3-');
    const place = { endpoint: foreign.origin, bucket: foreign.pathname.slice(1), accessKey: undefined, secretKey: undefined };
    const options = optionsFor(folder, place);
    return {
      open: () => Promise.resolve(openS3Storage(options)),
      [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
    };
  });
}

storageContract('a bucket', async () => {
  const folder = await mkdtemp('/tmp/berth-s3-');
  const options = optionsFor(folder);
  return {
    open: () => Promise.resolve(openS3Storage(options)),
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
});

describe('a bucket', () => {
  test('clients can be sent there for whole objects', async () => {
    const folder = await mkdtemp('/tmp/berth-s3-');
    const storage = openS3Storage(optionsFor(folder, { redirect: true }));
    await storage.put('a/data', new TextEncoder().encode('hello'));
    const content = storage.content('a/data', 5);
    if (!('redirect' in content)) throw new Error('not a redirect');
    expect(await (await fetch(content.redirect)).text()).toBe('hello');
    expect('body' in storage.content('a/data', 5, { start: 0, end: 1 })).toBe(true);
    await rm(folder, { recursive: true });
  });

  test('one that refuses, or is not there, is unavailable', async () => {
    const folder = await mkdtemp('/tmp/berth-s3-');
    for (const more of [{ accessKey: 'nobody' }, { secretKey: 'wrong' }, { endpoint: 'http://127.0.0.1:1' }, { bucket: 'none-such' }]) {
      const storage = openS3Storage(optionsFor(folder, more));
      const failure = await storage.check().catch((err: unknown) => err);
      expect({ more, kind: kindOf(failure) }).toEqual({ more, kind: 'Unavailable' });
    }
    await rm(folder, { recursive: true });
  });
});
