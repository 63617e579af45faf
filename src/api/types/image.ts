import type { ContainerConfig, DriverData } from './container.ts';
import type { Descriptor, Platform } from './common.ts';

/** GET /images/json. */
export interface ImageSummary {
  Id: string;
  ParentId: string;
  RepoTags: string[];
  RepoDigests: string[];
  /** Seconds since 1970. */
  Created: number;
  Size: number;
  /** -1: not computed. */
  SharedSize: number;
  /** Only below API 1.44. */
  VirtualSize?: number | undefined;
  Labels: Record<string, string> | null;
  /** -1: not computed. */
  Containers: number;
  Descriptor?: Descriptor | undefined;
  /** Only when they were asked for. */
  Manifests?: ImageManifest[] | undefined;
}

/** An entry of an image's index, API 1.47. */
export interface ImageManifest {
  ID: string;
  Descriptor: Descriptor;
  /** Whether its content is here. */
  Available: boolean;
  Size: { Content: number; Total: number };
  Kind: 'image' | 'attestation' | 'unknown';
  ImageData?: { Platform: Platform; Containers: string[]; Size: { Unpacked: number } } | undefined;
  AttestationData?: { For: string } | undefined;
}

/** GET /images/{name}/json. */
export interface ImageInspect {
  Id: string;
  Descriptor?: Descriptor | undefined;
  /** Only when they were asked for. */
  Manifests?: ImageManifest[] | undefined;
  RepoTags: string[];
  RepoDigests: string[];
  Parent: string;
  Comment: string;
  /** Left out from API 1.44 on when the image does not say. */
  Created?: string | undefined;
  DockerVersion: string;
  /** Below API 1.45: the container that the image was committed from, and its configuration. */
  Container?: string | undefined;
  ContainerConfig?: ContainerConfig | undefined;
  Author: string;
  Config: ContainerConfig | null;
  Architecture: string;
  Variant?: string | undefined;
  Os: string;
  OsVersion?: string | undefined;
  Size: number;
  /** Only below API 1.44. */
  VirtualSize?: number | undefined;
  GraphDriver: DriverData;
  RootFS: { Type: string; Layers?: string[] | undefined };
  Metadata: { LastTagTime?: string | undefined };
}

/** GET /images/{name}/history, the newest first. */
export interface ImageHistoryItem {
  Id: string;
  /** Seconds since 1970. */
  Created: number;
  CreatedBy: string;
  Tags: string[] | null;
  Size: number;
  Comment: string;
}

/** One line of what a removal did. */
export interface ImageDeleteItem {
  Untagged?: string | undefined;
  Deleted?: string | undefined;
}

export interface ImagePruneResponse {
  ImagesDeleted: ImageDeleteItem[] | null;
  SpaceReclaimed: number;
}

export interface ImageSearchItem {
  description: string;
  is_official: boolean;
  is_automated: boolean;
  name: string;
  star_count: number;
}

/** GET /distribution/{name}/json. */
export interface DistributionInspect {
  Descriptor: Descriptor;
  Platforms: { architecture: string; os: string; variant?: string | undefined }[] | null;
}

/** One object of the stream of pull, push, load, import and build. Objects are separated by `\r\n`. */
export interface JsonMessage {
  stream?: string | undefined;
  status?: string | undefined;
  progressDetail?: ProgressDetail | undefined;
  /** Clients before 29 show this text; later ones compute it. */
  progress?: string | undefined;
  id?: string | undefined;
  errorDetail?: { code?: number | undefined; message: string } | undefined;
  error?: string | undefined;
  aux?: unknown;
}

export interface ProgressDetail {
  current?: number | undefined;
  total?: number | undefined;
  start?: number | undefined;
  hidecounts?: boolean | undefined;
  units?: string | undefined;
}

/** `aux` of the last message of a push. */
export interface PushResult {
  Tag: string;
  Digest: string;
  Size: number;
}
