import { readFileSync } from 'node:fs';
import { failedPrecondition, messageOf } from '#base/errors.ts';
import { parseSeccompProfile } from '#engine/containers/seccomp.ts';

/** What `--seccomp-profile` means: `builtin`, `unconfined`, or the text of the file it names. Rejects with FailedPrecondition. */
export function readSeccompSetting(setting: string): string {
  if (setting === '' || setting === 'builtin') return 'builtin';
  if (setting === 'unconfined') return setting;
  try {
    const text = readFileSync(setting, 'utf8');
    parseSeccompProfile(text);
    return text;
  } catch (err) {
    throw failedPrecondition(`opening seccomp profile (${setting}) failed: ${messageOf(err)}`, { cause: err });
  }
}
