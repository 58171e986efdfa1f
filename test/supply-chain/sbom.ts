/**
 * The list of what is shipped, in CycloneDX 1.5, as npm itself makes it from the installed tree. npm lists the whole
 * tree, and this takes out the tools: its own `--omit dev` leaves out what both a tool and the server use (npm 11
 * forgets `zod` and `yaml`). Written without time and serial number, so that the same tree makes the same file.
 */
import { spawnSync } from 'node:child_process';
import type { ShippedPackage } from './lock-file.ts';

export interface Sbom {
  readonly bomFormat: string;
  readonly specVersion: string;
  serialNumber?: string;
  readonly metadata: { timestamp?: string; readonly component: { name: string; readonly 'bom-ref': string } };
  components: readonly { readonly 'bom-ref': string; readonly purl: string }[];
  dependencies: readonly { readonly ref: string; readonly dependsOn: readonly string[] }[];
}

/** `@scope/name@1.2.3` of a component. */
export function componentName({ purl }: Sbom['components'][number]): string {
  return decodeURIComponent(purl.slice('pkg:npm/'.length));
}

/**
 * @param root the repository. @param shipped what may be in the list.
 * Throws Error with what npm said when it made none.
 */
export function makeSbom(root: string, shipped: readonly ShippedPackage[]): Sbom {
  const words = ['sbom', '--sbom-format', 'cyclonedx', '--sbom-type', 'application'];
  const { status, stdout, stderr } = spawnSync('npm', words, {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  });
  if (status !== 0) throw new Error(`npm sbom failed: ${stderr.trim().split('\n').slice(0, 3).join(' ')}`);
  const sbom = JSON.parse(stdout) as Sbom; // CycloneDX, whose members used here the test checks
  delete sbom.serialNumber;
  delete sbom.metadata.timestamp;
  sbom.metadata.component.name = 'opportune';
  const wanted = new Set(shipped.map(({ name, version }) => `${name}@${version}`));
  sbom.components = sbom.components.filter((component) => wanted.has(componentName(component)));
  const kept = new Set([
    ...sbom.components.map((component) => component['bom-ref']),
    sbom.metadata.component['bom-ref'],
  ]);
  sbom.dependencies = sbom.dependencies
    .filter(({ ref }) => kept.has(ref))
    .map((one) => ({ ...one, dependsOn: one.dependsOn.filter((ref) => kept.has(ref)) }));
  return sbom;
}
