/**
 * The one table of who may do what: operations of the wire protocol and of admin HTTP against roles. A
 * token carries roles; their permissions are added up once, at the login, to a word of 32 bits, so that a
 * request costs one bit test and no look-up. What has no cell here is permitted to nobody. The table is
 * printed in docs/ACCESS.md and held to it by a test, and every cell is tried on a running server.
 */
import { strict as assert } from 'node:assert';
import { OP, type OpName } from '../../proto/messages.ts';

export const ROLES = ['app', 'ingest', 'marketer', 'privacy', 'operator', 'auditor'] as const;
export type Role = (typeof ROLES)[number];

/** Operations of admin HTTP; their numbers follow those of the wire. */
const HTTP_OPERATION = {
  /** `/healthz` and `/readyz` in full; the bare verdict is for everybody, load balancers have no token. */
  health: 16,
  metrics: 17,
  catalogSchema: 18,
  /** `/`, the list of routes. */
  routes: 19,
  drill: 20,
  /** What goes with a product. */
  related: 21,
  /** Rows of context feeds pushed, and what stands of them. */
  context: 22,
  /** How many hold each tag, or would match a rule. */
  segments: 23,
  /** How good what is known of people is, and what comes from where: figures, of nobody in particular. */
  quality: 24,
  /** Who is told of tags, and to send again what could not be. */
  webhooks: 26,
  /** What was refused of people: to see it, tell it again, drop it. */
  deadLetters: 25,
  /** Who is suspected of abuse, since when, on what evidence. */
  suspects: 27,
  /** To take keys that were joined apart: the wire's `alias` without `to`. */
  identities: 28,
  /** Data of a person stored and not used, and the end of it; also asked for by the wire's `consent`. */
  restrict: 30,
} as const;

export const OPERATION = { ...OP, ...HTTP_OPERATION } as const;
export type HttpOperation = keyof typeof HTTP_OPERATION;
export type Operation = OpName | HttpOperation;

const EVERY_ROLE: readonly Role[] = ROLES;

/** Operation → the roles that may. */
export const PERMISSIONS: { readonly [Name in Operation]: readonly Role[] } = {
  hello: EVERY_ROLE,
  ping: EVERY_ROLE,
  track: ['app', 'ingest'],
  identify: ['app', 'ingest'],
  decide: ['app'],
  confirm: ['app'],
  release: ['app'],
  profile: ['app', 'privacy'],
  alias: ['app', 'ingest'],
  consent: ['app', 'privacy'],
  whatIf: ['app', 'marketer'],
  export: ['privacy'],
  erase: ['privacy'],
  subscribe: ['app'],
  unsubscribe: ['app'],
  health: ['operator', 'auditor'],
  metrics: ['operator', 'auditor'],
  catalogSchema: ['marketer', 'operator', 'auditor'],
  routes: EVERY_ROLE,
  drill: ['operator'],
  related: ['app', 'marketer'],
  context: ['ingest', 'marketer', 'operator'],
  segments: ['marketer', 'operator'],
  webhooks: ['operator'],
  restrict: ['privacy'],
  identities: ['privacy', 'operator'],
  deadLetters: ['privacy', 'operator'],
  suspects: ['privacy', 'operator'],
  quality: ['marketer', 'privacy', 'operator', 'auditor'],
};

/** Of the node as a whole, all its tenants together: permitted to the default tenant's principals only. */
export const NODE_WIDE: readonly Operation[] = ['health', 'metrics', 'drill'];

const NUMBERS = Object.values(OPERATION);
assert(new Set<number>(NUMBERS).size === NUMBERS.length, 'two operations share a bit');
assert(Math.max(...NUMBERS) < 31, 'operations are bits of one small integer');

/** The word of one who may do everything. */
export const ALL_OPERATIONS = NUMBERS.reduce<number>((word, number) => word | (1 << number), 0);

export function isRole(value: unknown): value is Role {
  return (ROLES as readonly unknown[]).includes(value);
}

/**
 * The permissions of all these roles together: bit `1 << OPERATION[name]` for each operation.
 * @param isNodes false for principals of a tenant that is not the default one.
 */
export function operationsOf(roles: readonly Role[], isNodes: boolean): number {
  let word = 0;
  for (const [key, permitted] of Object.entries(PERMISSIONS)) {
    const name = key as Operation; // the table's own key
    if (!isNodes && NODE_WIDE.includes(name)) continue;
    if (permitted.some((role) => roles.includes(role))) word |= 1 << OPERATION[name];
  }
  return word;
}

/** Whether a word of permissions holds the operation of this number. */
export function permits(operations: number, operation: number): boolean {
  return ((operations >>> operation) & 1) === 1;
}
