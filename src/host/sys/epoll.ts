import { check, errno, libc, SystemError } from './libc.ts';

const c = libc({
  epoll_create1: { args: ['i32'], returns: 'i32' },
  epoll_ctl: { args: ['i32', 'i32', 'i32', 'ptr'], returns: 'i32' },
  epoll_wait: { args: ['i32', 'ptr', 'i32', 'i32'], returns: 'i32' },
});

const EPOLL_CLOEXEC = 0o2000000;
const EPOLL_CTL_ADD = 1;
const EPOLLIN = 0x1;
const EPOLLOUT = 0x4;
const EPOLLRDHUP = 0x2000;
const EPOLLET = 1 << 31;
const batch = 256;
// x86-64 packs the structure; other machines align its 64-bit half.
const dataOffset = process.arch === 'x64' ? 4 : 8;
const eventBytes = dataOffset + 8;

/**
 * Readiness of descriptors for a process that does nothing else: `wait` blocks the thread. Watching is edge-triggered: whoever is told that a
 * descriptor is ready works until it is not. Closing a descriptor ends its watch.
 */
export class Poller {
  readonly #fd = check(c.epoll_create1(EPOLL_CLOEXEC), 'epoll_create1');
  readonly #events = new Uint8Array(eventBytes * batch);

  watch(fd: number, options: { readonly writable?: boolean } = {}): void {
    const event = new Uint8Array(eventBytes);
    const view = new DataView(event.buffer);
    view.setInt32(0, EPOLLIN | EPOLLRDHUP | EPOLLET | (options.writable === true ? EPOLLOUT : 0), true);
    view.setInt32(dataOffset, fd, true);
    check(c.epoll_ctl(this.#fd, EPOLL_CTL_ADD, fd, event), 'epoll_ctl');
  }

  /** Descriptors that became ready; none when the time is over. -1 waits for ever. */
  wait(timeoutMs: number): number[] {
    const count = c.epoll_wait(this.#fd, this.#events, batch, timeoutMs);
    if (count === -1) {
      const number = errno();
      if (number === 4 /* EINTR */) return [];
      throw new SystemError('epoll_wait', number);
    }
    const view = new DataView(this.#events.buffer);
    return Array.from({ length: count }, (_, index) => view.getInt32(index * eventBytes + dataOffset, true));
  }
}
