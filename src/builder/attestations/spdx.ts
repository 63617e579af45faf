import { sha256 } from '#oci/digest.ts';
import type { InstalledPackage } from './installed-package.ts';
import type { InstalledPackages } from './packages.ts';
import type { Predicate } from './provenance.ts';

/** SPDX 2.3: what is installed, with a package URL for each. The same packages give the same document but for its time. */
export function spdx(
  { distribution, packages }: InstalledPackages,
  { name, createdAt }: { readonly name: string; readonly createdAt: string },
): Predicate {
  const described = packages.map(each => toSpdx(each, distribution));
  const content = sha256(JSON.stringify(described)).slice('sha256:'.length);
  return {
    type: 'https://spdx.dev/Document',
    value: {
      spdxVersion: 'SPDX-2.3',
      dataLicense: 'CC0-1.0',
      SPDXID: 'SPDXRef-DOCUMENT',
      name,
      documentNamespace: `urn:sha256:${content}`,
      creationInfo: { created: createdAt, creators: ['Tool: berth'] },
      packages: [rootPackage(name), ...described],
      relationships: [
        { spdxElementId: 'SPDXRef-DOCUMENT', relationshipType: 'DESCRIBES', relatedSpdxElement: rootId },
        ...described.map(({ SPDXID }) => ({ spdxElementId: rootId, relationshipType: 'CONTAINS', relatedSpdxElement: SPDXID })),
      ],
    },
  };
}

const rootId = 'SPDXRef-image';

const rootPackage = (name: string): object => ({
  name,
  SPDXID: rootId,
  downloadLocation: 'NOASSERTION',
  filesAnalyzed: false,
  licenseConcluded: 'NOASSERTION',
  licenseDeclared: 'NOASSERTION',
  copyrightText: 'NOASSERTION',
  primaryPackagePurpose: 'CONTAINER',
});

function toSpdx({ kind, name, version, architecture, license, supplier }: InstalledPackage, distribution: string) {
  const purl = `pkg:${kind}/${distribution === '' ? '' : `${encodeURIComponent(distribution)}/`}${encodeURIComponent(name)}@${encodeURIComponent(version)}?arch=${encodeURIComponent(architecture)}`;
  return {
    name,
    SPDXID: `SPDXRef-Package-${kind}-${sha256(purl).slice('sha256:'.length, 'sha256:'.length + 16)}`,
    versionInfo: version,
    ...(supplier === '' ? {} : { supplier: `Organization: ${supplier}` }),
    downloadLocation: 'NOASSERTION',
    filesAnalyzed: false,
    licenseConcluded: 'NOASSERTION',
    // What databases say is not always an expression that SPDX knows.
    licenseDeclared: 'NOASSERTION',
    ...(license === '' ? {} : { licenseComments: license }),
    copyrightText: 'NOASSERTION',
    externalRefs: [{ referenceCategory: 'PACKAGE-MANAGER', referenceType: 'purl', referenceLocator: purl }],
  };
}
