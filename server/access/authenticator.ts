/**
 * Who may come in: one a thread, made from the node's options. It finds the token of an upgrade or an HTTP
 * request, has it judged (API key or JWT), and remembers nothing about it. Every failed login gets the same
 * answer, and the same work where the work is ours; the reason goes to a counter only.
 *
 *   Authorization: Bearer …  ─┬─ opk_… ─▸ ApiKeys, at once
 *   ?token=… (when allowed)  ─┘─ else  ─▸ verifyJwt, in a moment
 *
 * A token in an address is in histories and proxies' logs, where others read it. So one must be a JWT that
 * ends within ten minutes: what was read there is soon worth nothing. API keys are never taken from there.
 */
import { epochMillis } from '../../workers/clock.ts';
import { OperatorError } from '../operator-error.ts';
import { type AccessOptions, isAuthenticated, tenantsOf } from './access-options.ts';
import { ApiKeys, isApiKey, parseApiKeys, readApiKeys } from './api-keys.ts';
import type { JwtSettings, KeySource } from './jwt-verifier.ts';
import type { LoginVerdict } from './login-verdict.ts';
import { ANONYMOUS, DEFAULT_TENANT, type Login } from './principal.ts';
import { WatchedFile } from './watched-file.ts';

export const QUERY_TOKEN_MILLIS_MAX = 600_000;
/** Longer ones are refused unread: signatures of that size do not occur, and hashing them is work. */
export const TOKEN_CHARACTERS_MAX = 8192;

type JwtLibrary = typeof import('./jwt-verifier.ts');

export interface Credentials {
  /** The `Authorization` header; empty when absent. */
  readonly authorization: string;
  /** The `token` query parameter; empty when absent. */
  readonly queryToken: string;
}

export class Authenticator {
  readonly isRequired: boolean;
  readonly #options: AccessOptions;
  readonly #jwt: JwtSettings;
  readonly #tenants: ReadonlySet<string>;
  readonly #keyFile: WatchedFile<ApiKeys> | null;
  readonly #jwksFile: WatchedFile<KeySource> | null;
  readonly #jwksUrl: KeySource | null;
  readonly #noKeys = new ApiKeys([]);
  readonly #library: JwtLibrary | null;

  /** Reads the files; loads the library for JWTs where there are keys for them. Rejects with OperatorError ACCESS_KEYS or ACCESS_JWKS. */
  static async open(options: AccessOptions): Promise<Authenticator> {
    const hasJwt = options.jwksFile !== null || options.jwksUrl !== null;
    return new Authenticator(options, hasJwt ? await import('./jwt-verifier.ts') : null);
  }

  private constructor(options: AccessOptions, library: JwtLibrary | null) {
    const { apiKeyFile, jwksFile, jwksUrl } = options;
    this.#library = library;
    this.#options = options;
    this.isRequired = isAuthenticated(options);
    this.#tenants = new Set(tenantsOf(options));
    this.#jwt = {
      issuer: options.jwtIssuer ?? '',
      audience: options.jwtAudience ?? '',
      algorithms: options.jwtAlgorithms,
      clockToleranceSeconds: options.jwtClockToleranceSeconds,
      rolesClaim: options.jwtRolesClaim,
      tenantClaim: options.jwtTenantClaim,
      tenantByDefault: options.tenants.length === 0 ? DEFAULT_TENANT : null,
    };
    if (apiKeyFile === null) this.#keyFile = null;
    else {
      readApiKeys(apiKeyFile); // for its advice when the file is not there
      this.#keyFile = new WatchedFile(apiKeyFile, (text) => new ApiKeys(parseApiKeys(apiKeyFile, text)));
    }
    this.#jwksFile =
      jwksFile === null || library === null ? null : openKeys(jwksFile, (text) => library.keysOfText(jwksFile, text));
    this.#jwksUrl = jwksUrl === null || library === null ? null : library.keysOfUrl(jwksUrl);
  }

  /** Judges a login: at once for API keys and failures of form, in a promise for JWTs. Never rejects. */
  login(credentials: Credentials): LoginVerdict | Promise<LoginVerdict> {
    if (!this.isRequired) return { login: ANONYMOUS };
    const { authorization, queryToken } = credentials;
    const isQuery = queryToken !== '';
    if (authorization === '' && !isQuery) return { refusal: 'missing' };
    // Two tokens at once are refused rather than one of them chosen (RFC 6750, section 2).
    if (isQuery && (authorization !== '' || !this.#options.queryTokens)) return { refusal: 'invalid' };
    const token = isQuery ? queryToken : (/^Bearer +([^ ]+)$/i.exec(authorization)?.[1] ?? '');
    if (token.length > TOKEN_CHARACTERS_MAX) return { refusal: 'invalid' };
    const keys = this.#jwksFile?.content ?? this.#jwksUrl;
    if (isApiKey(token) || keys === null || this.#library === null) {
      const verdict = (this.#keyFile?.content ?? this.#noKeys).verify(token, epochMillis());
      if (isQuery) return { refusal: 'invalid' };
      return 'login' in verdict ? this.#admit(verdict.login) : verdict;
    }
    return this.#loginWithJwt(this.#library, token, keys, isQuery);
  }

  async #loginWithJwt(library: JwtLibrary, token: string, keys: KeySource, isQuery: boolean): Promise<LoginVerdict> {
    const now = epochMillis();
    const verdict = await library.verifyJwt(token, keys, this.#jwt, now);
    if ('refusal' in verdict) return verdict;
    const leftMillis = verdict.login.expiresAtEpochMillis - this.#jwt.clockToleranceSeconds * 1000 - now;
    if (isQuery && leftMillis > QUERY_TOKEN_MILLIS_MAX) return { refusal: 'invalid' };
    return this.#admit(verdict.login);
  }

  #admit(login: Login): LoginVerdict {
    return this.#tenants.has(login.principal.tenant) ? { login } : { refusal: 'forbidden' };
  }

  /** Whether a login made before still stands: not expired, its key not revoked or changed. */
  stands(login: Login, nowEpochMillis: number): boolean {
    if (nowEpochMillis >= login.expiresAtEpochMillis) return false;
    const { credential } = login;
    if (credential.startsWith('key:')) return this.#keyFile?.content.stillHas(credential) ?? false;
    if (credential.startsWith('jwk:')) return this.#jwksFile?.content.has(credential.slice(4)) ?? true;
    return true;
  }

  /** Looks at the files again. @returns what was read anew, and problems to tell the operator. */
  refresh(): { readonly changed: readonly string[]; readonly problems: readonly unknown[] } {
    const changed: string[] = [];
    const problems: unknown[] = [];
    for (const file of [this.#keyFile, this.#jwksFile]) {
      const look = file?.look() ?? 'same';
      if (look === 'same') continue;
      if ('problem' in look) problems.push(look.problem);
      else changed.push(file?.path ?? '');
    }
    return { changed, problems };
  }
}

function openKeys(path: string, parse: (text: string) => KeySource): WatchedFile<KeySource> {
  try {
    return new WatchedFile(path, parse);
  } catch (cause) {
    if (cause instanceof OperatorError) throw cause;
    throw new OperatorError(
      'ACCESS_JWKS',
      `cannot read the public keys ${path}: ${cause instanceof Error ? cause.message : ''}`,
      {
        advice: 'Check the path given with --jwks-file, and that this user may read it.',
        cause,
      },
    );
  }
}
