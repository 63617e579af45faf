import { EngineError, kindOf, messageOf } from '#base/errors.ts';
import { PluginFailure } from '#core/network-plugins.ts';
import type { SandboxRequest } from '#core/network.ts';
import type { Attachment } from './model.ts';

/** A start that failed for its network, in the words clients know. What the user asked wrongly keeps its kind; the rest is the engine’s. */
export function networkError(request: SandboxRequest, attachments: readonly Attachment[], err: unknown): EngineError {
  const kind = kindOf(err);
  const endpoint = attachments.at(-1)?.endpointId ?? '';
  const asked = kind === 'InvalidArgument' || kind === 'NotFound' || kind === 'Canceled';
  const where =
    asked || endpoint === '' || err instanceof PluginFailure
      ? ''
      : `driver failed programming external connectivity on endpoint ${request.containerName} (${endpoint}): `;
  return new EngineError(asked ? kind : 'Internal', `${where}${messageOf(err)}`, { cause: err });
}
