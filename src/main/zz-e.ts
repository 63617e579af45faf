import { main } from './zz-e-daemon.ts';
await main(process.argv.slice(2));
