/** What images need to know of containers. */
export interface ImageUsers {
  /** The containers made from an image, running or not. */
  usedBy(imageId: string): readonly ImageUser[];
}

export interface ImageUser {
  readonly containerId: string;
  readonly running: boolean;
}
