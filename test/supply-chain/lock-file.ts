/**
 * What package.json and package-lock.json promise about where the code of others comes from: exact versions, one
 * registry, a hash for every file that an installation of the server may fetch, licences that are allowed.
 * Development tools for platforms that nobody here builds on may lack a hash; they are counted, not hidden.
 */

export interface LockedPackage {
  readonly version: string;
  readonly resolved?: string;
  readonly integrity?: string;
  readonly license?: string;
  readonly dev?: boolean;
  readonly optional?: boolean;
  readonly os?: readonly string[];
}

export interface LockFile {
  readonly lockfileVersion: number;
  readonly packages: Readonly<Record<string, LockedPackage>>;
}

export interface Manifest {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
}

/** Licences that let anybody run, change and pass on the code without opening their own. */
const ALLOWED_LICENCES = ['MIT', 'Apache-2.0', 'ISC', 'BSD-2-Clause', 'BSD-3-Clause', '0BSD', 'Zlib', 'BlueOak-1.0.0'];
const REGISTRY = 'https://registry.npmjs.org/';

export interface ShippedPackage {
  readonly name: string;
  readonly version: string;
  readonly licence: string;
}

/** What an installation of the server may hold, platform packages of other systems included; by name. */
export function shippedPackages(lock: LockFile): ShippedPackage[] {
  const found = new Map<string, ShippedPackage>();
  for (const [path, { version, license, dev }] of Object.entries(lock.packages)) {
    if (path === '' || dev === true) continue;
    const name = path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);
    found.set(`${name}@${version}`, { name, version, licence: license ?? 'none stated' });
  }
  return [...found.values()].sort((a, b) => (`${a.name}@${a.version}` < `${b.name}@${b.version}` ? -1 : 1));
}

/** Every breach of the rules above, a sentence each. */
export function lockProblems(manifest: Manifest, lock: LockFile): string[] {
  const problems: string[] = [];
  if (lock.lockfileVersion !== 3) problems.push(`package-lock.json has version ${lock.lockfileVersion}, not 3`);
  const declared = { ...manifest.dependencies, ...manifest.optionalDependencies, ...manifest.devDependencies };
  for (const [name, version] of Object.entries(declared)) {
    const locked = lock.packages[`node_modules/${name}`]?.version;
    if (!/^\d+\.\d+\.\d+(?:-[\w.-]+)?$/.test(version)) problems.push(`${name} is asked for as ${version}, not exactly`);
    else if (locked !== version) problems.push(`${name} ${version} is locked as ${locked ?? 'nothing'}`);
  }
  for (const [path, entry] of Object.entries(lock.packages)) {
    if (path === '') continue;
    if (entry.resolved !== undefined && !entry.resolved.startsWith(REGISTRY)) {
      problems.push(`${path} comes from ${entry.resolved}, not from ${REGISTRY}`);
    }
    if (entry.integrity === undefined && !isForeignTool(entry)) problems.push(`${path} has no hash`);
    else if (entry.integrity?.startsWith('sha512-') === false) problems.push(`${path} has a hash weaker than SHA-512`);
  }
  for (const { name, version, licence } of shippedPackages(lock)) {
    const terms = licence.replace(/[()]/g, '').split(/ (?:AND|OR) /);
    if (!terms.every((term) => ALLOWED_LICENCES.includes(term))) {
      problems.push(`${name} ${version} has the licence ${licence}, which is not on the list of allowed ones`);
    }
  }
  return problems;
}

/** Tools for another platform, which an installation here never fetches. */
function isForeignTool({ dev, optional, os }: LockedPackage): boolean {
  return dev === true && optional === true && os !== undefined;
}

/** Entries without a hash that `lockProblems` lets pass. */
export function unhashedTools(lock: LockFile): number {
  return Object.values(lock.packages).filter((entry) => entry.integrity === undefined && isForeignTool(entry)).length;
}

/** docs/LICENCES.md as it must be for this lock file. */
export function licencesPage(lock: LockFile): string {
  const packages = shippedPackages(lock);
  const rows = packages.map(({ name, version, licence }) => `| ${name} | ${version} | ${licence} |`);
  return `# Licences

The packages of others that an installation of Opportune may hold, with what each asks for. Written by
\`npm run supply-chain -- --write\` from package-lock.json; a test compares. Native packages of all platforms are
listed, of which one machine installs its own. Opportune itself is under Apache-2.0.

| package | version | licence |
|---|---|---|
${rows.join('\n')}
`;
}
