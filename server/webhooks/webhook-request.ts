/**
 * One try to tell an endpoint: the signed request of the Standard Webhooks specification, and what its answer means.
 *
 * Guards: an endpoint is spoken to by TLS, at an address of the public Internet; every address its name resolves to is
 * looked at at each connection, so that a name cannot lead to this machine's network later (SSRF, DNS rebinding). A node may be
 * told to speak to its own network. No redirect is followed: it would take the signed body elsewhere. What is answered is
 * not read beyond its head. Secrets come from the environment and are in no message, error or log.
 *
 * Source: github.com/standard-webhooks/standard-webhooks, specification 1.0.
 */
import { createHmac } from 'node:crypto';
import { type LookupAddress, lookup } from 'node:dns';
import { readFileSync } from 'node:fs';
import { Agent as PlainAgent, request as requestPlain } from 'node:http';
import { request as requestTls, Agent as TlsAgent } from 'node:https';
import { BlockList, isIP, type LookupFunction } from 'node:net';

/** Longest pause an endpoint may ask for. */
const RETRY_AFTER_MILLIS_MAX = 3_600_000;
const SECRET_BYTES_MIN = 24;
const SECRET_BYTES_MAX = 512;
const SECRETS_MAX = 4;
const PREFIX = 'whsec_';

export type Outcome =
  | { readonly kind: 'delivered' }
  /** `status` 0: there was no answer. */
  | {
      readonly kind: 'failed';
      readonly status: number;
      readonly reason: string;
      /** What it asked for, or null. */
      readonly retryAfterMillis: number | null;
      /** It never wants to hear of this again (410). */
      readonly isFinal: boolean;
    };

export interface WebhookPost {
  readonly url: string;
  readonly id: string;
  readonly body: string;
  readonly secrets: readonly Uint8Array[];
  readonly nowEpochMillis: number;
  readonly timeoutMillis: number;
  /** Whether addresses of the node's own machine and network may be spoken to. */
  readonly isPrivateAllowed: boolean;
}

const agents = { plain: new PlainAgent({ keepAlive: true }), tls: new TlsAgent({ keepAlive: true }) };

/** Ends idle connections. */
export function closeConnections(): void {
  agents.plain.destroy();
  agents.tls.destroy();
}

// ── secrets ──────────────────────────────────────────────────────────────────────────────────────

/**
 * The secrets an endpoint's messages are signed with, the newest first: one while it is, two while it is changed, between spaces.
 * @param environment holds them, or the name of a file, under the name that the catalog gives
 * @returns the keys, or what is wrong, which never holds a part of a secret
 */
export function readSecrets(
  name: string,
  environment: { readonly [name: string]: string | undefined },
): readonly Uint8Array[] | string {
  const variable = `OPPORTUNE_WEBHOOK_SECRET_${name.toUpperCase()}`;
  let text = environment[variable];
  const path = environment[`${variable}_FILE`];
  if (text === undefined && path !== undefined) {
    try {
      text = readFileSync(path, 'utf8');
    } catch (error) {
      return `the file that ${variable}_FILE names cannot be read (${(error as NodeJS.ErrnoException).code})`; // Node's own errors carry a code
    }
  }
  if (text === undefined) return `neither ${variable} nor ${variable}_FILE is set`;
  const words = text.trim().split(/\s+/);
  if (words.length > SECRETS_MAX) return `${variable} has more than ${SECRETS_MAX} secrets`;
  const keys: Uint8Array[] = [];
  for (const word of words) {
    const base64 = word.startsWith(PREFIX) ? word.slice(PREFIX.length) : word;
    const bytes = Buffer.from(base64, 'base64');
    const isBase64 = /^[A-Za-z0-9+/]+={0,2}$/.test(base64);
    if (!isBase64 || bytes.length < SECRET_BYTES_MIN || bytes.length > SECRET_BYTES_MAX)
      return `${variable} is not ${SECRET_BYTES_MIN} to ${SECRET_BYTES_MAX} bytes in base64, with or without ${PREFIX} before them`;
    keys.push(bytes);
  }
  return keys;
}

/** The header `webhook-signature`: `v1,…` of each key, between spaces. */
export function signatureOf(id: string, seconds: number, body: string, secrets: readonly Uint8Array[]): string {
  const sign = (secret: Uint8Array): string =>
    `v1,${createHmac('sha256', secret).update(`${id}.${seconds}.${body}`).digest('base64')}`;
  return secrets.map(sign).join(' ');
}

// ── addresses ────────────────────────────────────────────────────────────────────────────────────

/** Of nobody, or of many at once, or of the cloud's own services: never spoken to. */
const UNFIT = listOf(
  ['0.0.0.0/8', '169.254.0.0/16', '192.0.0.0/24', '192.0.2.0/24', '198.51.100.0/24', '203.0.113.0/24', '224.0.0.0/3'],
  ['::/128', 'fe80::/10', 'ff00::/8', '2001:db8::/32', '100::/64'],
);
/** Of this machine and network: the node may be told to speak to them. */
const OWN = listOf(
  ['10.0.0.0/8', '100.64.0.0/10', '127.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '198.18.0.0/15'],
  // Also those that carry an IPv4 address in them, which is looked at by nobody behind this.
  ['::1/128', 'fc00::/7', '64:ff9b::/96', '64:ff9b:1::/48', '2001::/32', '2002::/16'],
);

function listOf(v4: readonly string[], v6: readonly string[]): BlockList {
  const list = new BlockList();
  for (const [nets, family] of [[v4, 'ipv4'] as const, [v6, 'ipv6'] as const]) {
    for (const net of nets) {
      const [address = '', bits = ''] = net.split('/');
      list.addSubnet(address, Number(bits), family);
    }
  }
  return list;
}

/** Whether an address, as numbers, may be spoken to. */
export function isAddressAllowed(address: string, isPrivateAllowed: boolean): boolean {
  const family = isIP(address);
  if (family === 0) return false;
  // `::ffff:127.0.0.1` is looked at as the address in it: BlockList does.
  const kind = family === 6 ? 'ipv6' : 'ipv4';
  return !UNFIT.check(address, kind) && (isPrivateAllowed || !OWN.check(address, kind));
}

class AddressRefused extends Error {}

/** Resolves as usual, and refuses the whole name when one of its addresses may not be spoken to. */
function guardedLookup(isPrivateAllowed: boolean): LookupFunction {
  return (host, options, done) => {
    lookup(host, { ...options, all: true }, (error, found: LookupAddress[]) => {
      const [first] = found ?? [];
      if (error !== null || first === undefined) {
        done(error ?? new AddressRefused('its name has no address'), '', 0);
        return;
      }
      if (!found.every(({ address }) => isAddressAllowed(address, isPrivateAllowed))) {
        done(new AddressRefused('its address is none that may be spoken to'), '', 0);
        return;
      }
      if (options.all === true) done(null, found);
      else done(null, first.address, first.family);
    });
  };
}

/** What stands against speaking to this address at all, or null. */
export function addressProblem(url: URL, isPrivateAllowed: boolean): string | null {
  if (url.protocol !== 'https:' && !isPrivateAllowed) return 'its address is not https';
  const host = url.hostname.replace(/^\[|\]$/g, '');
  if (isIP(host) !== 0 && !isAddressAllowed(host, isPrivateAllowed)) return 'its address is none that may be spoken to';
  return null;
}

// ── the request ──────────────────────────────────────────────────────────────────────────────────

/** Never rejects: what goes wrong is an outcome. */
export function postWebhook(post: WebhookPost): Promise<Outcome> {
  const { url: text, id, body, secrets, nowEpochMillis, timeoutMillis, isPrivateAllowed } = post;
  const url = new URL(text);
  const problem = addressProblem(url, isPrivateAllowed);
  if (problem !== null) return Promise.resolve(failed(0, problem));
  const seconds = Math.floor(nowEpochMillis / 1000);
  const bytes = Buffer.from(body);
  const options = {
    method: 'POST',
    lookup: guardedLookup(isPrivateAllowed),
    headers: {
      'content-type': 'application/json',
      'content-length': bytes.length,
      'user-agent': 'opportune',
      'webhook-id': id,
      'webhook-timestamp': String(seconds),
      'webhook-signature': signatureOf(id, seconds, body, secrets),
    },
    signal: AbortSignal.timeout(timeoutMillis),
  };
  return new Promise((resolve) => {
    const request =
      url.protocol === 'https:'
        ? requestTls(url, { ...options, agent: agents.tls })
        : requestPlain(url, { ...options, agent: agents.plain });
    request.on('response', (response) => {
      const { statusCode = 0, headers } = response;
      const retryAfterMillis = readRetryAfter(headers['retry-after'], nowEpochMillis);
      if (statusCode >= 200 && statusCode < 300) resolve({ kind: 'delivered' });
      else if (statusCode >= 300 && statusCode < 400)
        resolve(failed(statusCode, 'it redirects, which is not followed'));
      else resolve({ ...failed(statusCode, `it answered ${statusCode}`), retryAfterMillis });
      // An empty or short answer lets the connection be used again; a long or slow one ends it.
      if (Number(headers['content-length'] ?? 'NaN') <= 64 * 1024) response.resume();
      else response.destroy();
      response.on('error', () => {});
    });
    request.on('error', (error) => resolve(failed(0, reasonOf(error, timeoutMillis))));
    request.end(bytes);
  });
}

function failed(status: number, reason: string): Extract<Outcome, { kind: 'failed' }> {
  return { kind: 'failed', status, reason, retryAfterMillis: null, isFinal: status === 410 };
}

/** Codes only: an error's own words may hold an address of the inner network. */
function reasonOf(error: Error, timeoutMillis: number): string {
  if (error instanceof AddressRefused) return error.message;
  if (error.name === 'AbortError' || error.name === 'TimeoutError') return `no answer within ${timeoutMillis} ms`;
  const { code } = error as NodeJS.ErrnoException; // Node's own errors carry a code
  return `no answer (${code ?? error.name})`;
}

/** Milliseconds from a `Retry-After` of seconds or of a date; null where there is none. */
export function readRetryAfter(value: string | undefined, nowEpochMillis: number): number | null {
  if (value === undefined) return null;
  const isSeconds = /^\d{1,9}$/.test(value);
  // Date.parse makes a year of almost any number.
  if (!isSeconds && !value.endsWith(' GMT')) return null;
  const millis = isSeconds ? Number(value) * 1000 : Date.parse(value) - nowEpochMillis;
  return Number.isNaN(millis) ? null : Math.min(RETRY_AFTER_MILLIS_MAX, Math.max(0, millis));
}
