export interface Volume {
  Name: string;
  Driver: string;
  Mountpoint: string;
  CreatedAt?: string | undefined;
  Status?: Record<string, unknown> | undefined;
  Labels: Record<string, string> | null;
  /** local or global. */
  Scope: string;
  Options: Record<string, string> | null;
  /** Only in GET /system/df; -1: not known. */
  UsageData?: { Size: number; RefCount: number } | undefined;
}

/** POST /volumes/create. */
export interface VolumeCreateRequest {
  Name?: string | undefined;
  Driver?: string | undefined;
  DriverOpts?: Record<string, string> | null | undefined;
  Labels?: Record<string, string> | null | undefined;
  ClusterVolumeSpec?: unknown;
}

export interface VolumeListResponse {
  Volumes: Volume[];
  Warnings: string[] | null;
}

export interface VolumePruneResponse {
  VolumesDeleted: string[] | null;
  SpaceReclaimed: number;
}
