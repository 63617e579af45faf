import { algorithmOf, type Digest, encodedOf } from '#oci/digest.ts';
import type { Repository, Tag } from './names.ts';

/**
 * Where things are in the storage. The places are those of the reference registry, so that either can serve what the other has stored:
 *
 *     docker/registry/v2/blobs/sha256/ab/ab…/data
 *     docker/registry/v2/repositories/<name>/_layers/sha256/<hex>/link                 this repository has the blob
 *                                           /_manifests/revisions/sha256/<hex>/link    … the manifest
 *                                           /_manifests/tags/<tag>/current/link        … the tag; the file says which manifest
 *                                           /_manifests/referrers/sha256/<subject>/sha256/<hex>/link    ours: a manifest with that subject
 */
const root = 'docker/registry/v2';

export const repositoriesFolder = `${root}/repositories`;
export const blobsFolder = `${root}/blobs`;

/** `sha256/ab…` */
const placeOf = (digest: Digest): string => `${algorithmOf(digest)}/${encodedOf(digest)}`;

export const blobFolder = (digest: Digest): string =>
  `${blobsFolder}/${algorithmOf(digest)}/${encodedOf(digest).slice(0, 2)}/${encodedOf(digest)}`;
export const blobPath = (digest: Digest): string => `${blobFolder(digest)}/data`;

export const repositoryFolder = (name: Repository): string => `${repositoriesFolder}/${name}`;
export const layersFolder = (name: Repository): string => `${repositoryFolder(name)}/_layers`;
export const layerFolder = (name: Repository, digest: Digest): string => `${layersFolder(name)}/${placeOf(digest)}`;
export const layerLink = (name: Repository, digest: Digest): string => `${layerFolder(name, digest)}/link`;

export const revisionsFolder = (name: Repository): string => `${repositoryFolder(name)}/_manifests/revisions`;
export const revisionFolder = (name: Repository, digest: Digest): string => `${revisionsFolder(name)}/${placeOf(digest)}`;
export const revisionLink = (name: Repository, digest: Digest): string => `${revisionFolder(name, digest)}/link`;

export const tagsFolder = (name: Repository): string => `${repositoryFolder(name)}/_manifests/tags`;
export const tagFolder = (name: Repository, tag: Tag): string => `${tagsFolder(name)}/${tag}`;
export const tagLink = (name: Repository, tag: Tag): string => `${tagFolder(name, tag)}/current/link`;

export const referrersFolder = (name: Repository, subject: Digest): string =>
  `${repositoryFolder(name)}/_manifests/referrers/${placeOf(subject)}`;
export const referrerFolder = (name: Repository, subject: Digest, digest: Digest): string =>
  `${referrersFolder(name, subject)}/${placeOf(digest)}`;
export const referrerLink = (name: Repository, subject: Digest, digest: Digest): string => `${referrerFolder(name, subject, digest)}/link`;
