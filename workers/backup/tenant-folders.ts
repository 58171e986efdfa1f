/**
 * The tenants of a data folder or a backup: each has a folder of the same shape in `tenants/NAME`. What works on the
 * whole of one goes through these as well, so that nobody's data is left out. Called by backup, restore and verify.
 */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

/** As `server/access/principal.ts` has them. */
const TENANT_NAME = /^[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?$/;

export interface TenantFolder {
  readonly name: string;
  /** Below the folder of the node, with forward slashes. */
  readonly path: string;
}

/** In the order of their names; the default tenant, whose folder is the node's own, is not among them. */
export function tenantFolders(root: string): readonly TenantFolder[] {
  const folder = join(root, 'tenants');
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && TENANT_NAME.test(entry.name))
    .map(({ name }) => ({ name, path: `tenants/${name}` }))
    .sort((left, right) => (left.name < right.name ? -1 : 1));
}
