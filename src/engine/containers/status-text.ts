import type { Container } from './model.ts';

/** `Up 3 seconds (healthy)`, `Up 3 seconds (Paused)`, `Exited (0) 2 hours ago`: the STATUS column. */
export function statusText(container: Container, now: number): string {
  const { state } = container;
  switch (state.status) {
    case 'created':
      return 'Created';
    case 'running':
      return `Up ${ageText(now - Date.parse(state.startedAt))}${state.paused ? ' (Paused)' : healthText(container)}`;
    case 'restarting':
      return `Restarting (${String(state.exitCode)}) ${ageText(now - Date.parse(state.finishedAt))} ago`;
    case 'removing':
      return 'Removal In Progress';
    case 'dead':
      return 'Dead';
    case 'exited':
      return `Exited (${String(state.exitCode)}) ${ageText(now - Date.parse(state.finishedAt))} ago`;
  }
}

function healthText({ health }: Container): string {
  if (health === undefined) return '';
  return health.status === 'starting' ? ' (health: starting)' : ` (${health.status})`;
}

/** An amount of time as people say it: `Less than a second`, `3 seconds`, `About a minute`, `2 hours`, `5 days`, `3 weeks`, `4 months`, `2 years`. */
export function ageText(milliseconds: number): string {
  const seconds = Math.floor(milliseconds / 1000);
  if (seconds < 1) return 'Less than a second';
  if (seconds === 1) return '1 second';
  if (seconds < 60) return `${String(seconds)} seconds`;
  const minutes = Math.floor(seconds / 60);
  if (minutes === 1) return 'About a minute';
  if (minutes < 60) return `${String(minutes)} minutes`;
  const hours = Math.round(seconds / 3600);
  if (hours === 1) return 'About an hour';
  if (hours < 48) return `${String(hours)} hours`;
  const days = Math.floor(seconds / 86_400);
  if (days < 14) return `${String(days)} days`;
  if (days < 60) return `${String(Math.floor(days / 7))} weeks`;
  if (days < 730) return `${String(Math.floor(days / 30))} months`;
  return `${String(Math.floor(days / 365))} years`;
}
