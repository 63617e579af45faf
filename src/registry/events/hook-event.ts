import type { Activity } from '../activity.ts';
import type { HookEvent } from './notifier.ts';

export interface EventContext {
  readonly origin: string;
  readonly host: string;
  readonly remote: string;
  readonly method: string;
  readonly userAgent: string;
  readonly actor: string;
  readonly requestId: string;
  readonly source: { readonly addr: string; readonly instanceID: string };
  readonly includeReferences: boolean;
}

/** An activity as the event that hooks of the reference registry know. */
export function toHookEvent(activity: Activity, context: EventContext): HookEvent {
  const { action, kind, repository, digest, tag, sizeBytes } = activity;
  const place = kind === 'blob' ? 'blobs' : 'manifests';
  const mediaType = activity.mediaType ?? (kind === 'blob' && action !== 'delete' ? 'application/octet-stream' : undefined);
  return {
    id: crypto.randomUUID(),
    timestamp: new Date().toISOString(),
    action,
    target: {
      ...(mediaType !== undefined && { mediaType }),
      ...(digest !== undefined && kind !== 'tag' && { digest }),
      ...(sizeBytes !== undefined && { size: sizeBytes, length: sizeBytes }),
      repository,
      ...(activity.fromRepository !== undefined && { fromRepository: activity.fromRepository }),
      ...(digest !== undefined && action !== 'delete' && { url: `${context.origin}/v2/${repository}/${place}/${digest}` }),
      ...(tag !== undefined && { tag }),
      ...(context.includeReferences && activity.references !== undefined && { references: activity.references }),
    },
    request: { id: context.requestId, addr: context.remote, host: context.host, method: context.method, useragent: context.userAgent },
    actor: context.actor === '' ? {} : { name: context.actor },
    source: context.source,
  };
}
