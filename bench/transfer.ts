/**
 * Runs in the network namespace of a container or of the host: `bun transfer.ts receive PORT` counts what each connection brings and answers with the number;
 * `bun transfer.ts send HOST PORT MIB` prints how many milliseconds it took until everything had been counted.
 */
export {};

const chunk = new Uint8Array(1024 * 1024);
const [mode, ...args] = process.argv.slice(2);

if (mode === 'receive') {
  Bun.listen<{ bytes: number }>({
    hostname: '0.0.0.0',
    port: Number(args[0]),
    allowHalfOpen: true,
    socket: {
      open: socket => void (socket.data = { bytes: 0 }),
      data: (socket, data) => void (socket.data.bytes += data.length),
      end: socket => void socket.end(String(socket.data.bytes)),
    },
  });
  console.log('ready');
} else {
  const [hostname = '', port, mib] = args;
  const total = Number(mib) * chunk.length;
  let sent = 0;
  let said = '';
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const fill = (socket: Bun.Socket): void => {
    while (sent < total) {
      const offset = sent % chunk.length;
      const written = socket.write(chunk, offset, Math.min(chunk.length - offset, total - sent));
      sent += Math.max(written, 0);
      if (written < chunk.length - offset) return;
    }
    socket.shutdown();
  };
  const began = performance.now();
  await Bun.connect({
    hostname,
    port: Number(port),
    allowHalfOpen: true,
    socket: {
      open: fill,
      drain: fill,
      data: (_socket, data) => void (said += data.toString()),
      close: () => resolve(),
      end: socket => void socket.end(),
      error: (_socket, err) => reject(err),
    },
  });
  await promise;
  if (said !== String(total)) throw new Error(`${String(total)} bytes were sent, ${said} arrived`);
  console.log(performance.now() - began);
  process.exit(0);
}
