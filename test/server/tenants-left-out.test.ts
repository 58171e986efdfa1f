/** Commands on one data folder say whose data they have not touched: nothing is left out in silence. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { tenantsLeftOut } from '../../server/commands/node-options.ts';
import { temporaryFolder } from './running-node.ts';

describe('tenants left out', () => {
  it('a folder without tenants: nothing to say', () => {
    expect(tenantsLeftOut(temporaryFolder('alone'))).toEqual([]);
    expect(tenantsLeftOut(join(temporaryFolder('alone'), 'absent'))).toEqual([]);
  });

  it('with tenants: each is named with the option that reaches it', () => {
    const data = temporaryFolder('tenants');
    for (const name of ['beta', 'acme']) mkdirSync(join(data, 'tenants', name), { recursive: true });
    expect(tenantsLeftOut(data)).toEqual(
      ['acme', 'beta'].map(
        (name) => `tenant ${name} is not in it; do the same with --data ${join(data, 'tenants', name)}`,
      ),
    );
  });
});
