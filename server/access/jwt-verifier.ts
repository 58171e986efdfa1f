/**
 * Tokens of an identity provider: signed JWTs (RFC 7519), checked by `jose` against public keys from a file
 * or a URL (RFC 7517). What a token must have is fixed here: a signature of an allowed asymmetric algorithm,
 * our audience, the issuer when one is named, an end, a subject, roles we know, and a tenant of this node.
 *
 * Shared-secret algorithms and `none` cannot be allowed at all, so a public key can never be taken for a
 * secret. Keys are exchanged without a restart: the file is read again when it changes, the URL when a token
 * names a key that is not known, at most once in 30 s, and every ten minutes. The only importer of jose.
 */
import {
  createLocalJWKSet,
  createRemoteJWKSet,
  customFetch,
  errors,
  type JSONWebKeySet,
  type JWTPayload,
  type JWTVerifyGetKey,
  jwtVerify,
} from 'jose';
import { monotonicMillis } from '../../workers/clock.ts';
import { OperatorError } from '../operator-error.ts';
import { DEFAULT_TENANT, isTenantName, type Login } from './principal.ts';
import { isRole, operationsOf, type Role } from './roles.ts';

export interface JwtSettings {
  /** Empty: any. */
  readonly issuer: string;
  readonly audience: string;
  readonly algorithms: readonly string[];
  readonly clockToleranceSeconds: number;
  readonly rolesClaim: string;
  readonly tenantClaim: string;
  /** What a token without a tenant claim gets; null: it is refused. */
  readonly tenantByDefault: string | null;
}

export type JwtRefusal = 'invalid' | 'expired' | 'forbidden' | 'unavailable';
export type JwtVerdict = { readonly login: Login } | { readonly refusal: JwtRefusal };

const REFETCH_MILLIS_MIN = 30_000;
const FETCH_MILLIS_MAX = 3_000;
const CACHE_MILLIS_MAX = 600_000;
/** After a fetch that failed, logins are told so for this long instead of each waiting for the next failure. */
const FAILED_MILLIS = 2_000;
const SUBJECT_CHARACTERS_MAX = 256;
const KEYS_MAX = 100;

/** Where public keys come from. */
export interface KeySource {
  readonly find: JWTVerifyGetKey;
  /** Whether a key is still among those known; null when that cannot be said. */
  has(keyId: string): boolean | null;
}

/**
 * The keys of one reading of a JWKS file.
 * @throws OperatorError ACCESS_JWKS when it is no key set, is empty, or holds a private or shared key.
 */
export function keysOfText(path: string, text: string): KeySource {
  const wrong = (what: string, cause?: unknown): OperatorError =>
    new OperatorError('ACCESS_JWKS', `${path}: ${what}`, {
      advice: 'Give the public key set of your identity provider, as it serves it at its jwks_uri.',
      cause,
    });
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch {
    throw wrong('the file is not JSON'); // without the parser's words, which quote the content
  }
  const keys = (content as { keys?: unknown } | null)?.keys;
  if (!Array.isArray(keys) || keys.length === 0 || keys.length > KEYS_MAX)
    throw wrong(`"keys" must hold 1 to ${KEYS_MAX} keys`);
  for (const [index, key] of keys.entries()) {
    const { kty, d, k } = (key ?? {}) as { kty?: unknown; d?: unknown; k?: unknown }; // only looked at
    if (kty === 'oct' || k !== undefined) throw wrong(`key ${index} is a shared secret; only public keys are taken`);
    if (d !== undefined) throw wrong(`key ${index} is a private key; only public keys are taken`);
  }
  const ids = new Set(keys.map((key) => (key as { kid?: unknown }).kid));
  try {
    return { find: createLocalJWKSet(content as JSONWebKeySet), has: (keyId) => ids.has(keyId) }; // checked by the library
  } catch (cause) {
    throw wrong('it is not a JSON Web Key Set (RFC 7517)', cause);
  }
}

/**
 * Keys that an identity provider serves; nothing is fetched before the first token comes.
 * @param refetchMillisMin shortest time from one fetch to the next that an unknown key may cause
 */
export function keysOfUrl(url: string, refetchMillisMin = REFETCH_MILLIS_MIN): KeySource {
  let failedAtMillis = Number.NEGATIVE_INFINITY;
  const find = createRemoteJWKSet(new URL(url), {
    timeoutDuration: FETCH_MILLIS_MAX,
    cooldownDuration: refetchMillisMin,
    cacheMaxAge: CACHE_MILLIS_MAX,
    // The library limits fetches after a good one only; a provider that is down must not be asked by every login.
    [customFetch]: async (...request) => {
      if (monotonicMillis() - failedAtMillis < FAILED_MILLIS) throw new errors.JWKSTimeout();
      try {
        const response = await fetch(...request);
        if (response.status !== 200) failedAtMillis = monotonicMillis();
        return response;
      } catch (error) {
        failedAtMillis = monotonicMillis();
        throw error;
      }
    },
  });
  return { find, has: () => null };
}

/** Judges one token. Never rejects; the reasons are for counters, a caller is told none of them. */
export async function verifyJwt(
  token: string,
  keys: KeySource,
  settings: JwtSettings,
  nowEpochMillis: number,
): Promise<JwtVerdict> {
  try {
    const { payload, protectedHeader } = await jwtVerify(token, keys.find, {
      audience: settings.audience,
      ...(settings.issuer === '' ? {} : { issuer: settings.issuer }),
      algorithms: [...settings.algorithms],
      clockTolerance: settings.clockToleranceSeconds,
      currentDate: new Date(nowEpochMillis),
      requiredClaims: ['exp', 'sub'],
    });
    return loginOf(payload, protectedHeader.kid ?? '', settings);
  } catch (error) {
    if (error instanceof errors.JWTExpired) return { refusal: 'expired' };
    const isTokens = error instanceof errors.JOSEError && !(error instanceof errors.JWKSTimeout);
    // A plain JOSEError is the provider's answer that was no key set; any other error is the network's.
    return { refusal: isTokens && error.constructor !== errors.JOSEError ? 'invalid' : 'unavailable' };
  }
}

function loginOf(payload: JWTPayload, keyId: string, settings: JwtSettings): JwtVerdict {
  const { sub = '', exp = 0 } = payload;
  if (sub === '' || sub.length > SUBJECT_CHARACTERS_MAX) return { refusal: 'invalid' };
  const roles = rolesOf(payload[settings.rolesClaim]);
  const tenant = payload[settings.tenantClaim] ?? settings.tenantByDefault;
  if (roles.length === 0 || !isTenantName(tenant)) return { refusal: 'forbidden' };
  return {
    login: {
      principal: { id: `jwt:${sub}`, tenant, roles },
      operations: operationsOf(roles, tenant === DEFAULT_TENANT),
      expiresAtEpochMillis: (exp + settings.clockToleranceSeconds) * 1000,
      credential: keyId === '' ? '' : `jwk:${keyId}`,
    },
  };
}

/** A list, or words with spaces between as in `scope` (RFC 8693); what is no role of ours is for somebody else. */
function rolesOf(claim: unknown): readonly Role[] {
  const words: readonly unknown[] = typeof claim === 'string' ? claim.split(' ') : Array.isArray(claim) ? claim : [];
  return words.filter(isRole);
}
