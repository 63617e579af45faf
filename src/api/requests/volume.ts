import { anything, map, object, string } from '../decode.ts';
import type { VolumeCreateRequest } from '../types/volume.ts';

export const volumeCreateRequest = object<VolumeCreateRequest>({
  Name: string,
  Driver: string,
  DriverOpts: map(string),
  Labels: map(string),
  ClusterVolumeSpec: anything,
});
