/**
 * Named places where a test may end the daemon as a power cut would: `BERTH_FAILPOINT=container.create.prepared` kills the process with SIGKILL
 * when it passes that place; `name@3` at the third pass. Without the variable a failpoint is one comparison.
 */
const wanted = process.env.BERTH_FAILPOINT;
const [wantedName, wantedPass] = (wanted ?? '').split('@');
let passesLeft = Number(wantedPass ?? 1);

export function failpoint(name: string): void {
  if (wanted === undefined || name !== wantedName) return;
  passesLeft -= 1;
  if (passesLeft <= 0) process.kill(process.pid, 'SIGKILL');
}
