/** A package that an image's own package manager has installed. */
export interface InstalledPackage {
  readonly kind: 'deb' | 'apk' | 'rpm';
  readonly name: string;
  readonly version: string;
  readonly architecture: string;
  /** Empty when the database does not say. */
  readonly license: string;
  readonly supplier: string;
}
