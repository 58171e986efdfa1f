/** The table of permissions against docs/ACCESS.md and the words made of it; that servers keep to it is in access-node.test.ts. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  ALL_OPERATIONS,
  NODE_WIDE,
  OPERATION,
  type Operation,
  operationsOf,
  PERMISSIONS,
  permits,
  ROLES,
} from '../../../server/access/roles.ts';
import { packageRoot } from '../../../server/package-version.ts';

const OPERATIONS = Object.keys(OPERATION) as Operation[];
const cells = OPERATIONS.flatMap((operation) => ROLES.map((role) => [role, operation] as const));

describe('roles', () => {
  it('roles: the table has a row for every operation and names known roles only', () => {
    expect(Object.keys(PERMISSIONS).sort()).toEqual([...OPERATIONS].sort());
    for (const roles of Object.values(PERMISSIONS)) expect(roles.every((role) => ROLES.includes(role))).toBe(true);
  });
  it.each(cells)('roles: %s and %s as the table says', (role, operation) => {
    const isPermitted = PERMISSIONS[operation].includes(role);
    expect(permits(operationsOf([role], true), OPERATION[operation])).toBe(isPermitted);
    expect(permits(operationsOf([role], false), OPERATION[operation])).toBe(
      isPermitted && !NODE_WIDE.includes(operation),
    );
  });
  it('roles: permissions of several add up, of none are none, of all are everything', () => {
    for (const operation of OPERATIONS) {
      const number = OPERATION[operation];
      expect(permits(operationsOf([], true), number)).toBe(false);
      expect(permits(ALL_OPERATIONS, number)).toBe(true);
      expect(permits(operationsOf(['ingest', 'privacy'], true), number)).toBe(
        PERMISSIONS[operation].some((role) => role === 'ingest' || role === 'privacy'),
      );
    }
    expect(operationsOf(ROLES, true)).toBe(ALL_OPERATIONS);
  });
  it('roles: an operation nobody numbered is permitted to nobody', () => {
    for (const number of [0, 29, 31]) expect(permits(ALL_OPERATIONS, number)).toBe(false);
  });
  it('ACCESS.md: its table is roles.ts', () => {
    const text = readFileSync(join(packageRoot(), 'docs', 'ACCESS.md'), 'utf8');
    const table = /<!-- roles -->\n(?<table>[\s\S]*?)\n<!-- \/roles -->/.exec(text)?.groups?.table ?? '';
    const rows = table.split('\n').map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
    const expected = [
      ['operation', ...ROLES.map((role) => `\`${role}\``)],
      ['---', ...ROLES.map(() => '---')],
      ...OPERATIONS.map((operation) => [
        `\`${operation}\``,
        ...ROLES.map((role) => (PERMISSIONS[operation].includes(role) ? 'yes' : '')),
      ]),
    ];
    expect(rows).toEqual(expected);
  });
});
