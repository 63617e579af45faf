import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isErrno } from '#base/errors.ts';
import type { Logger } from '#base/log.ts';
import type { DeviceCatalogue } from '#core/device-catalogue.ts';
import { type CdiDevice, type CdiSpec, type ContainerEdits, parseCdiSpec } from '#oci/cdi.ts';

interface Described {
  readonly spec: CdiSpec;
  readonly device: CdiDevice;
}

/** Reads the files below these folders, later ones first in rank. A file that cannot be understood is passed over, with a line in the log. */
export function createDeviceCatalogue({ dirs, log }: { readonly dirs: readonly string[]; readonly log: Logger }): DeviceCatalogue {
  const read = (): Map<string, Described> => {
    const all = new Map<string, Described>();
    for (const dir of dirs) for (const [name, described] of readFolder(dir, log)) all.set(name, described);
    return all;
  };
  return {
    dirs,
    names: () => [...read().keys()].toSorted(),
    resolve(names) {
      const known = read();
      const found = names.flatMap(name => known.get(name) ?? []);
      const edits: ContainerEdits[] = [];
      const specs = new Set<CdiSpec>();
      for (const { spec, device } of found) {
        if (!specs.has(spec)) edits.push(spec.containerEdits);
        specs.add(spec);
        edits.push(device.containerEdits);
      }
      return { edits, missing: names.filter(name => !known.has(name)) };
    },
  };
}

/** A device that two files of one folder describe is not known: nobody can tell which is meant. */
function readFolder(dir: string, log: Logger): Map<string, Described> {
  const found = new Map<string, Described>();
  const doubles = new Set<string>();
  for (const file of filesOf(dir)) {
    const path = join(dir, file);
    let spec: CdiSpec;
    try {
      const text = readFileSync(path, 'utf8');
      spec = parseCdiSpec(file.endsWith('.json') ? JSON.parse(text) : Bun.YAML.parse(text));
    } catch (err) {
      log.warn('a description of devices cannot be used', { path, error: err });
      continue;
    }
    for (const device of spec.devices) {
      const name = `${spec.kind}=${device.name}`;
      if (found.has(name)) doubles.add(name);
      found.set(name, { spec, device });
    }
  }
  for (const name of doubles) {
    log.warn('a device is described twice', { device: name, folder: dir });
    found.delete(name);
  }
  return found;
}

function filesOf(dir: string): string[] {
  try {
    return readdirSync(dir, { withFileTypes: true })
      .filter(entry => !entry.isDirectory() && /\.(json|yaml|yml)$/.test(entry.name))
      .map(entry => entry.name)
      .toSorted();
  } catch (err) {
    if (isErrno(err, 'ENOENT', 'ENOTDIR')) return [];
    throw err;
  }
}
