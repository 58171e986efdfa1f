/**
 * An identity provider for tests: key pairs made on the spot, tokens signed with them, right or wrong in
 * one claim at a time, and the public keys as a file or served over HTTP with a count of how often they
 * were fetched.
 */
import { renameSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type CryptoKey, exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose';

export const ISSUER = 'https://issuer.example/';
export const AUDIENCE = 'opportune-test';

export interface TokenParts {
  readonly claims?: Readonly<Record<string, unknown>>;
  readonly header?: Readonly<Record<string, unknown>>;
  /** Seconds from now; the token ends then. */
  readonly endsIn?: number;
  readonly signer?: TestKey;
}

export interface TestKey {
  readonly kid: string;
  readonly alg: string;
  readonly privateKey: CryptoKey;
  readonly publicJwk: JWK;
}

export async function makeKey(kid: string, alg = 'ES256'): Promise<TestKey> {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
  return { kid, alg, privateKey, publicJwk: { ...(await exportJWK(publicKey)), kid, alg, use: 'sig' } };
}

/** Signs a good token, but for what `parts` says. A claim that is undefined is left out. */
export function signToken(key: TestKey, nowEpochMillis: number, parts: TokenParts = {}): Promise<string> {
  const now = Math.floor(nowEpochMillis / 1000);
  const claims = {
    iss: ISSUER,
    aud: AUDIENCE,
    sub: 'service-1',
    roles: ['app'],
    iat: now,
    exp: now + (parts.endsIn ?? 300),
    ...parts.claims,
  };
  const kept = Object.fromEntries(Object.entries(claims).filter(([, value]) => value !== undefined));
  const signer = parts.signer ?? key;
  return new SignJWT(kept)
    .setProtectedHeader({ alg: signer.alg, kid: key.kid, ...parts.header })
    .sign(signer.privateKey);
}

/** A token put together by hand, for headers that no library would sign. */
export function forgeToken(header: object, claims: object, signature = ''): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${part(header)}.${part(claims)}.${signature}`;
}

export function jwksText(keys: readonly TestKey[]): string {
  return JSON.stringify({ keys: keys.map(({ publicJwk }) => publicJwk) });
}

/** Put in place whole, as a careful operator does. */
export function writeWhole(path: string, text: string): void {
  writeFileSync(`${path}.tmp`, text, { mode: 0o600 });
  renameSync(`${path}.tmp`, path);
}

/** Serves the public keys. */
export class KeyServer {
  keys: readonly TestKey[];
  fetchCount = 0;
  /** Answered instead of 200. */
  failure: number | null = null;
  readonly #server: Server;

  private constructor(keys: readonly TestKey[]) {
    this.keys = keys;
    this.#server = createServer((_request, response) => {
      this.fetchCount++;
      response.writeHead(this.failure ?? 200, { 'content-type': 'application/json' }).end(jwksText(this.keys));
    });
  }

  static async start(keys: readonly TestKey[]): Promise<KeyServer> {
    const server = new KeyServer(keys);
    await new Promise<void>((resolve) => server.#server.listen(0, '127.0.0.1', resolve));
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/jwks`; // listening on TCP
  }

  stop(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
  }
}
