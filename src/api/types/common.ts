/** Wire types carry the names of the JSON. A field that a daemon leaves out when empty is optional; `null` is an empty Go slice or map. */

/** The body of every error. */
export interface ErrorResponse {
  message: string;
}

export interface IdResponse {
  Id: string;
}

/** OCI image spec, descriptor.md, `platform`. Field names are lower case there. */
export interface Platform {
  architecture: string;
  os: string;
  variant?: string | undefined;
  'os.version'?: string | undefined;
  'os.features'?: string[] | undefined;
}

/** OCI image spec, descriptor.md. */
export interface Descriptor {
  mediaType: string;
  digest: string;
  size: number;
  urls?: string[] | undefined;
  annotations?: Record<string, string> | undefined;
  data?: string | undefined;
  platform?: Platform | undefined;
  artifactType?: string | undefined;
}

export interface Limit {
  Soft: number;
  Hard: number;
}
