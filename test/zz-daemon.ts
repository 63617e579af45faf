import { startDaemon } from '#test/helpers/daemon.ts';
const d = await startDaemon({});
console.log(d.host, d.pid);
const stop = Promise.withResolvers<void>();
process.on('SIGTERM', () => stop.resolve());
setTimeout(() => stop.resolve(), Number(process.argv[2] ?? 600) * 1000);
await stop.promise;
await d[Symbol.asyncDispose]();
process.exit(0);
