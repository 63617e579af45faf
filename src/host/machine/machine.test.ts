import { expect, test } from 'bun:test';
import { silentLogger } from '#base/log.ts';
import { createMachine, parseOsRelease } from './machine.ts';

test('os-release is read whatever its quotes', () => {
  expect(parseOsRelease('NAME=x\nPRETTY_NAME="A \\"B\\" (c)"\nVERSION_ID=\'12\'\n')).toEqual({ name: 'A "B" (c)', version: '12' });
  expect(parseOsRelease('')).toEqual({ name: 'Linux', version: '' });
});

test('this machine has a kernel, processors and memory', async () => {
  const facts = await createMachine(silentLogger).facts();
  expect(facts.kernelVersion).toMatch(/^\d+\.\d+/);
  expect(facts.cpuCount).toBeGreaterThan(0);
  expect(facts.memoryBytes).toBeGreaterThan(0);
  expect(facts.openFiles).toBeGreaterThan(2);
  expect(facts.threads).toBeGreaterThan(0);
});
