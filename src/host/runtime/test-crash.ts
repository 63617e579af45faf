import { silentLogger } from '#base/log.ts';
import { openRuntime } from './runtime.ts';
import { specOf } from './test-bundle.ts';

// A daemon's life in one go, for a test that ends it at a failpoint: create, start, exec, remove.
const [dir = '', root = '', id = ''] = process.argv.slice(2);
const cgroupParent = dir.slice('/tmp'.length);
const runtime = await openRuntime({ execRoot: `${dir}/run`, cgroupParent, log: silentLogger });
const { signal } = new AbortController();
const crun = { name: 'crun', path: 'crun', args: [] };
const io = { tty: false, stdin: false, keepStdinOpen: false };
const spec = specOf(root, `${cgroupParent}/${id}`, ['sleep', '60']);
await runtime.create({ id, spec, runtime: crun, io, logPath: undefined }, signal);
await runtime.start(id, signal);
await runtime.exec({ containerId: id, execId: 'one', process: { ...spec.process, args: ['sleep', '60'] }, runtime: crun, io }, signal);
await runtime.remove(id);
