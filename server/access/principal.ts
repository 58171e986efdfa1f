/**
 * Who speaks on a connection. A principal is made once, at the login, from a verified token and never
 * from a message; whatever must be told apart by who asks (tenants, permissions, rate limits, an audit
 * trail) reads it from there. Its `id` is stable over logins and says where it came from: `key:…` for an
 * API key, `jwt:…` for a token's subject, `anonymous` where the server asks for no token. A subject may be
 * an address of a person, so ids belong into an audit trail and never into the node's log or a metric.
 */
import { NOBODY_IN_PARTICULAR } from '../../workers/responder.ts';
import type { Role } from './roles.ts';
import { ALL_OPERATIONS, ROLES } from './roles.ts';

/** The tenant of everybody where access control names no other; its data is at the root of the data folder. */
export const DEFAULT_TENANT = 'default';

export interface Principal {
  readonly id: string;
  readonly tenant: string;
  readonly roles: readonly Role[];
}

/** What a login proved, and until when. */
export interface Login {
  readonly principal: Principal;
  /** Bit `1 << n` is set when operation n is permitted (see roles.ts). */
  readonly operations: number;
  /** The connection is closed then; Infinity where the credential has no end. */
  readonly expiresAtEpochMillis: number;
  /** Which credential it was, so that its removal ends the connection too: `key:ID SHA256`, `jwk:KID`, or empty. */
  readonly credential: string;
}

/** Everybody, where the server asks for no token. */
export const ANONYMOUS: Login = {
  principal: { id: NOBODY_IN_PARTICULAR, tenant: DEFAULT_TENANT, roles: ROLES },
  operations: ALL_OPERATIONS,
  expiresAtEpochMillis: Number.POSITIVE_INFINITY,
  credential: '',
};

/** Names of tenants and of their folders alike, so nothing in one may mean a path. */
const TENANT_NAME = /^[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?$/;

/** Whether a name may be a tenant's: 1 to 32 lower-case letters, digits and inner hyphens. */
export function isTenantName(value: unknown): value is string {
  return typeof value === 'string' && TENANT_NAME.test(value);
}
