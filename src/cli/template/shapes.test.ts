import { expect, test } from 'bun:test';
import { compileTemplate } from '#base/template/evaluate.ts';
import { rememberShapes } from './shapes.ts';

const container = {
  Id: 'abc',
  State: { Status: 'running', Running: true, ExitCode: 0 },
  HostConfig: { Binds: null, NanoCpus: 5 },
  Config: { Env: null, Labels: { a: 'b' } },
  Mounts: [{ Type: 'volume', Name: 'v', Destination: '/d', RW: true }],
};

const render = (template: string, value: object): string => {
  rememberShapes(value);
  return compileTemplate(template, { missingKey: 'error' }).execute(value);
};

test('structs print as their values in order', () => {
  expect(render('{{range .Mounts}}{{.}}{{end}}', container)).toBe('{volume v  /d   true }');
});

test('what is not there prints as an empty list, an empty map, or no pointer', () => {
  expect(render('{{.Config.Env}} {{.Config.Volumes}} {{.State.Health}} {{.HostConfig.Binds}}', container)).toBe('[] map[] <nil> []');
});

test('JSON stays as the daemon sent it', () => {
  expect(render('{{json .HostConfig}}', container)).toBe('{"Binds":null,"NanoCpus":5}');
});

test('fields go by the names of the types too', () => {
  expect(render('{{.ID}} {{.HostConfig.NanoCPUs}}', container)).toBe('abc 5');
});

test('a field that nobody knows is an error', () => {
  expect(() => render('{{.Nosuch}}', container)).toThrow('map has no entry for key "Nosuch"');
});
