/**
 * The options of the node that access control reads, and what follows from them alone: whether anybody is
 * asked for a token, and which tenants there are. Apart from the authenticator, which loads the library for
 * tokens, because the resolution of options and the banner ask too.
 */
import type { ConfigValues } from '../config-options.ts';
import { DEFAULT_TENANT } from './principal.ts';

export type AccessOptions = Pick<
  ConfigValues,
  | 'apiKeyFile'
  | 'jwksFile'
  | 'jwksUrl'
  | 'jwtIssuer'
  | 'jwtAudience'
  | 'jwtAlgorithms'
  | 'jwtClockToleranceSeconds'
  | 'jwtRolesClaim'
  | 'jwtTenantClaim'
  | 'queryTokens'
  | 'tenants'
>;

/** Whether these options ask for a token at all. */
export function isAuthenticated(options: Pick<AccessOptions, 'apiKeyFile' | 'jwksFile' | 'jwksUrl'>): boolean {
  return options.apiKeyFile !== null || options.jwksFile !== null || options.jwksUrl !== null;
}

/** What these options ask of the transport. */
export function transportNeeds(options: Pick<ConfigValues, 'jwksFile' | 'jwksUrl' | 'tlsCertFile'>): {
  readonly tls: boolean;
  readonly lateVerdicts: boolean;
} {
  return { tls: options.tlsCertFile !== null, lateVerdicts: options.jwksFile !== null || options.jwksUrl !== null };
}

/** All tenants of a node; the place of each is its number on every thread. */
export function tenantsOf(options: Pick<AccessOptions, 'tenants'>): readonly string[] {
  return [DEFAULT_TENANT, ...options.tenants];
}
