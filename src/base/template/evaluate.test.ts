import { expect, test } from 'bun:test';
import { compileTemplate } from './evaluate.ts';
import { Struct } from './value.ts';

const data = {
  Name: 'web',
  Size: 1234,
  Ratio: 0.5,
  Up: true,
  Labels: { b: '2', a: '1' },
  Ports: [{ Host: 80 }, { Host: 443 }],
  Empty: [],
  Nested: { 'a.b': { Deep: 'x' } },
};
const render = (source: string, value: unknown = data): string => compileTemplate(source).execute(value);

const cases: readonly (readonly [string, string])[] = [
  ['{{.Name}} {{.Size}} {{.Ratio}} {{.Up}}', 'web 1234 0.5 true'],
  ['{{.Labels}} {{.Ports}}', 'map[a:1 b:2] [map[Host:80] map[Host:443]]'],
  ['{{json .Ports}}', '[{"Host":80},{"Host":443}]'],
  ['{{range .Ports}}{{.Host}},{{end}}', '80,443,'],
  ['{{range $i, $p := .Ports}}{{$i}}={{$p.Host}};{{end}}', '0=80;1=443;'],
  ['{{range $k, $v := .Labels}}{{$k}}{{$v}}{{end}}', 'a1b2'],
  ['{{range .Empty}}x{{else}}none{{end}}', 'none'],
  ['{{range .Ports}}{{if eq .Host 443}}{{break}}{{end}}{{.Host}}{{end}}', '80'],
  ['{{if and .Up (gt .Size 1000)}}big{{else if .Up}}up{{else}}down{{end}}', 'big'],
  ['{{with .Nested}}{{(index . "a.b").Deep}}{{end}}', 'x'],
  ['{{index .Ports 1 "Host"}}', '443'],
  ['{{$x := "a"}}{{$x = "b"}}{{$x}}', 'b'],
  ['a {{- .Name -}} b', 'awebb'],
  ['{{/* nothing */}}{{.Name | upper | printf "%-6s|"}}', 'WEB   |'],
  ['{{printf "%05d %q %v %s" 42 "a\\"b" .Up .Name}}', '00042 "a\\"b" true web'],
  ['{{define "t"}}<{{.}}>{{end}}{{template "t" .Name}}', '<web>'],
  ['{{join (split "a:b:c" ":") "-"}} {{title "hello world"}} {{pad "x" 1 2}}| {{truncate "hello" 3}}', 'a-b-c Hello World  x  | hel'],
  ['{{len .Ports}} {{len .Name}} {{not .Up}} {{or "" .Name}} {{ne 1 2}} {{le 1 1}}', '2 3 false web true true'],
  ['{{.Missing}}', '<no value>'],
  ['{{slice .Name 1 2}}{{print 1 2 "x" 3}}{{println "a" 1}}', 'e1 2x3a 1\n'],
  ['{{`raw\\n`}}{{"\\t"}}{{\'a\'}}', 'raw\\n\t97'],
];
test.each(cases)('%p', (source, expected) => {
  expect(render(source)).toBe(expected);
});

const failures: readonly (readonly [string, string])[] = [
  ['{{.Foo', 'template: :1: unclosed action'],
  ['{{foo}}', 'template: :1: function "foo" not defined'],
  ['a\n{{if .Up}}', 'template: :2: unexpected EOF'],
  ['{{end}}', 'template: :1: unexpected {{end}}'],
  ['{{$x}}', 'template: :1: undefined variable "$x"'],
  ['{{index .Ports 5}}', 'template: :1:2: executing "" at <index .Ports 5>: error calling index: index out of range: 5'],
  ['{{.Name.Foo}}', 'template: :1:7: executing "" at <.Name.Foo>: can\'t evaluate field Foo in type string'],
  ['{{join .Name "x"}}', 'error calling join'],
];
test.each(failures)('%p fails', (source, message) => {
  expect(() => render(source)).toThrow(message);
});

test('a missing key is an error where a command says so, but for optional fields', () => {
  const options = { missingKey: 'error', isOptional: (path: string) => path === 'State.Health' } as const;
  expect(() => compileTemplate('{{.Foo}}', options).execute(data)).toThrow('map has no entry for key "Foo"');
  expect(compileTemplate('{{if .State.Health}}x{{else}}none{{end}}', options).execute({ State: {} })).toBe('none');
});

test('a struct knows its fields and methods, and sorts itself in JSON', () => {
  const row = new Struct('*formatter.Row', { B: () => '<b>', A: () => 1 }, { Label: key => `label ${key}` });
  expect(compileTemplate('{{.A}} {{.Label "x"}} {{json .}}').execute(row)).toBe('1 label x {"A":1,"B":"\\u003cb\\u003e"}');
  expect(() => compileTemplate('{{.C}}').execute(row)).toThrow("can't evaluate field C in type *formatter.Row");
});
