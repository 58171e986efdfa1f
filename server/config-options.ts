/**
 * Every option of the node, once: its name, what it means, its default and its bound. The flag
 * (`--admin-port`), the environment variable (`OPPORTUNE_ADMIN_PORT`), the key in the YAML file
 * (`adminPort`), `opportune config`, `--help` and the table in docs/OPERATING.md all come from here.
 */
import { availableParallelism, totalmem } from 'node:os';
import { join } from 'node:path';
import { JWT_ALGORITHMS } from './access/jwt-algorithms.ts';
import { isTenantName } from './access/principal.ts';
import { packageRoot } from './package-version.ts';

export interface ConfigValues {
  readonly host: string;
  readonly port: number;
  readonly shardPort: number;
  readonly adminPort: number;
  readonly adminHosts: readonly string[];
  readonly allowRemote: boolean;
  readonly allowAnonymousRemote: boolean;
  readonly allowPrivateWebhooks: boolean;
  readonly apiKeyFile: string | null;
  readonly jwksFile: string | null;
  readonly jwksUrl: string | null;
  readonly jwtAudience: string | null;
  readonly jwtIssuer: string | null;
  readonly jwtAlgorithms: readonly string[];
  readonly jwtClockToleranceSeconds: number;
  readonly jwtRolesClaim: string;
  readonly jwtTenantClaim: string;
  readonly queryTokens: boolean;
  readonly tenants: readonly string[];
  readonly allowedOrigins: readonly string[];
  readonly requestsPerSecondPerToken: number;
  readonly requestsPerSecondPerAddress: number;
  readonly connectionsPerAddressMax: number;
  readonly tlsCertFile: string | null;
  readonly tlsKeyFile: string | null;
  readonly tlsClientCaFile: string | null;
  readonly data: string;
  readonly catalog: string;
  readonly workers: number;
  readonly transport: 'auto' | 'uws' | 'ws';
  readonly profilesMemoryMegabytes: number;
  readonly idleMillis: number;
  readonly leaseMillisMax: number;
  readonly journalKeepGigabytes: number;
  readonly fitEveryHours: number;
  readonly drainSeconds: number;
  readonly logLevel: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'silent';
  readonly slowMillis: number;
  readonly traceSampleRatio: number;
  readonly stuckSeconds: number;
  readonly memoryMegabytes: number;
  readonly drills: boolean;
  readonly timeScale: number;
  /** Keys every seed, salt and signature; null: made once and kept in the data folder. */
  readonly secret: string | null;
  /** Wraps the keys of sensitive traits; null: made once and kept in the data folder. */
  readonly masterKey: string | null;
  /** Prints the master key, instead of `masterKey`. */
  readonly masterKeyCommand: string | null;
}
export type ConfigKey = keyof ConfigValues;

/** How the text of a flag or a variable becomes a value; YAML gives values already typed. */
export type OptionForm = 'text' | 'number' | 'switch' | 'list';

export interface OptionSpec {
  readonly form: OptionForm;
  readonly check: Check;
  readonly byDefault: unknown;
  /** Shown instead of the default where that depends on the machine. */
  readonly defaultText?: string;
  readonly description: string;
  readonly isSecret?: true;
}

export const WORKERS_MAX = 64;
/** Each has models, budgets and prices of its own in memory, on every worker. The default tenant is one more. */
export const TENANTS_MAX = 15;

/** What is wrong with a value, as the end of a sentence that begins with the option's name; null when nothing is. */
type Check = (value: unknown) => string | null;

function checked(isSound: (value: unknown) => boolean, problem: string): Check {
  return (value) => (isSound(value) ? null : problem);
}
function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}
function isBetween(value: unknown, min: number, max: number): boolean {
  return typeof value === 'number' && value >= min && value <= max; // NaN is not
}
const text =
  (what: string): Check =>
  (value) =>
    isText(value) ? null : `must be ${what}${value === '' ? ', not empty' : ''}`;
const port = checked(
  (value) => Number.isInteger(value) && isBetween(value, 0, 65_535),
  'must be a port number, 0 to 65535',
);
function whole(min: number, max: number, unit: string): Check {
  const problem = `must be a whole number of ${unit} from ${min} to ${max}`;
  return checked((value) => Number.isInteger(value) && isBetween(value, min, max), problem);
}
function real(min: number, max: number, unit: string): Check {
  return checked((value) => isBetween(value, min, max), `must be ${unit} from ${min} to ${max}`);
}
function oneOf(values: readonly string[]): Check {
  return checked((value) => isText(value) && values.includes(value), `must be one of ${values.join(', ')}`);
}
const onOff = checked((value) => typeof value === 'boolean', 'must be true or false');
const names = checked((value) => Array.isArray(value) && value.every(isText), 'must be a list of host names');
function listOf(isItem: (value: unknown) => boolean, max: number, what: string): Check {
  return checked(
    (value) =>
      Array.isArray(value) && value.length <= max && new Set(value).size === value.length && value.every(isItem),
    `must be a list of at most ${max} ${what}, each once`,
  );
}
const file = checked((value) => value === null || isText(value), 'must be the path of a file');
const optionalText = checked((value) => value === null || isText(value), 'must be text');
/** Keys that come over a wire anybody can write to would let anybody in. */
function isKeyUrl(value: unknown): boolean {
  if (value === null) return true;
  if (!isText(value) || !URL.canParse(value)) return false;
  const { protocol, hostname } = new URL(value);
  return protocol === 'https:' || (protocol === 'http:' && /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/.test(hostname));
}
function isOrigin(value: unknown): boolean {
  return (
    isText(value) && URL.canParse(value) && /^https?:$/.test(new URL(value).protocol) && new URL(value).origin === value
  );
}
const secret: Check = (value) => {
  if (value === null) return null;
  if (typeof value !== 'string') return 'must be text';
  if (value.length < 32) return 'must have at least 32 characters';
  return value.length > 1024 ? 'must have at most 1024 characters' : null;
};

const command: Check = (value) => (value === null ? null : text('a command')(value));
const masterKey: Check = (value) => (value === null || isText(value) ? null : 'must be a key as text, not empty');
/** What the kernel lets this process have before it kills it, less a tenth. */
function memoryMegabytesByDefault(): number {
  const allowed = Math.min(totalmem(), process.constrainedMemory() || Number.POSITIVE_INFINITY);
  return Math.max(64, Math.floor((allowed * 0.9) / (1024 * 1024)));
}

export const OPTIONS: { readonly [Key in ConfigKey]: OptionSpec } = {
  host: {
    form: 'text',
    check: text('a host name or address'),
    byDefault: '127.0.0.1',
    description: 'Address to listen on, for WebSocket and admin HTTP alike.',
  },
  port: { form: 'number', check: port, byDefault: 7400, description: 'WebSocket port; 0 takes a free one.' },
  shardPort: {
    form: 'number',
    check: port,
    byDefault: 7410,
    description: "First of the workers' own ports, one a worker, for clients that know the shards; 0 takes free ones.",
  },
  adminPort: {
    form: 'number',
    check: port,
    byDefault: 7401,
    description: 'HTTP port for health, metrics and schemas; 0 takes a free one.',
  },
  adminHosts: {
    form: 'list',
    check: names,
    byDefault: [],
    description: 'Host names admin HTTP answers to besides the loopback ones (against DNS rebinding).',
  },
  allowRemote: {
    form: 'switch',
    check: onOff,
    byDefault: false,
    description: 'Permit a host other than loopback. Also asks for authentication, or for allowAnonymousRemote.',
  },
  allowAnonymousRemote: {
    form: 'switch',
    check: onOff,
    byDefault: false,
    description: 'With allowRemote: serve other machines without authentication. Everyone who connects may do all.',
  },
  allowPrivateWebhooks: {
    form: 'switch',
    check: onOff,
    byDefault: false,
    description: 'Webhooks may be sent to addresses of this machine and network, and without TLS.',
  },
  apiKeyFile: {
    form: 'text',
    check: file,
    byDefault: null,
    description: 'File of hashed API keys (`opportune key create`); a token is then needed. Read again on change.',
  },
  jwksFile: {
    form: 'text',
    check: file,
    byDefault: null,
    description: 'File of the public keys (JWKS) that sign JWTs; a token is then needed. Read again on change.',
  },
  jwksUrl: {
    form: 'text',
    check: checked(isKeyUrl, 'must be an https address (http on loopback only)'),
    byDefault: null,
    description: 'Address of these public keys instead of a file; fetched again for a key that is not known.',
  },
  jwtAudience: {
    form: 'text',
    check: optionalText,
    byDefault: null,
    description: 'Audience (`aud`) a JWT must have; needed with jwksFile or jwksUrl.',
  },
  jwtIssuer: {
    form: 'text',
    check: optionalText,
    byDefault: null,
    description: 'Issuer (`iss`) a JWT must have; needed with jwksUrl.',
  },
  jwtAlgorithms: {
    form: 'list',
    check: checked(
      (value) =>
        Array.isArray(value) &&
        value.length > 0 &&
        value.every((item) => (JWT_ALGORITHMS as readonly unknown[]).includes(item)),
      `must be a list of ${JWT_ALGORITHMS.join(', ')}`,
    ),
    byDefault: ['RS256', 'PS256', 'ES256', 'EdDSA'],
    description: 'Signatures taken: RS256, RS384, RS512, PS256 …, ES256 …, EdDSA. Never `none` or a shared secret.',
  },
  jwtClockToleranceSeconds: {
    form: 'number',
    check: whole(0, 300, 'seconds'),
    byDefault: 5,
    description: 'How far the clock of the issuer may be from ours.',
  },
  jwtRolesClaim: {
    form: 'text',
    check: text('the name of a claim'),
    byDefault: 'roles',
    description: 'Claim of a JWT with its roles: a list, or words with spaces between.',
  },
  jwtTenantClaim: {
    form: 'text',
    check: text('the name of a claim'),
    byDefault: 'tenant',
    description: 'Claim of a JWT with its tenant; without it the default tenant, and nothing where there are tenants.',
  },
  queryTokens: {
    form: 'switch',
    check: onOff,
    byDefault: false,
    description: 'Take a JWT that ends within ten minutes from `?token=` too, for browsers.',
  },
  tenants: {
    form: 'list',
    check: listOf(
      (value) => isTenantName(value) && value !== 'default',
      TENANTS_MAX,
      'tenant names (lower-case letters, digits, inner hyphens, up to 32; not `default`)',
    ),
    byDefault: [],
    description: 'Tenants besides `default`, each with data, models, budgets and prices of its own.',
  },
  allowedOrigins: {
    form: 'list',
    check: listOf(isOrigin, 100, 'origins such as https://shop.example'),
    byDefault: [],
    description: 'Origins of web pages that may connect; without any, pages of this machine.',
  },
  requestsPerSecondPerToken: {
    form: 'number',
    check: real(0, 1e9, 'a number'),
    byDefault: 0,
    description: 'Requests a second of one token on one worker; beyond it RESOURCE_EXHAUSTED. 0: no limit.',
  },
  requestsPerSecondPerAddress: {
    form: 'number',
    check: real(0, 1e9, 'a number'),
    byDefault: 0,
    description: 'Requests a second of one address (IPv6: its /64) on one worker. 0: no limit.',
  },
  connectionsPerAddressMax: {
    form: 'number',
    check: whole(0, 1_000_000, 'connections'),
    byDefault: 0,
    description: 'Connections of one address (IPv6: its /64) on one worker; more are refused. 0: no limit.',
  },
  tlsCertFile: {
    form: 'text',
    check: file,
    byDefault: null,
    description: 'Certificate chain (PEM) for TLS 1.3 on all ports, by the ws transport. Read again on change.',
  },
  tlsKeyFile: {
    form: 'text',
    check: file,
    byDefault: null,
    description: 'Private key (PEM) of that certificate.',
  },
  tlsClientCaFile: {
    form: 'text',
    check: file,
    byDefault: null,
    description: 'Authorities (PEM) of client certificates; a client without one of theirs is refused (mTLS).',
  },
  data: {
    form: 'text',
    check: text('a folder'),
    byDefault: './data',
    description: 'Folder of profiles, journal and models.',
  },
  catalog: {
    form: 'text',
    check: text('a file'),
    byDefault: join(packageRoot(), 'catalogs', 'retail.yaml'),
    defaultText: 'catalogs/retail.yaml of the package',
    description: 'Catalog file; reloaded when it changes.',
  },
  workers: {
    form: 'number',
    check: whole(1, WORKERS_MAX, 'workers'),
    byDefault: Math.max(1, Math.min(WORKERS_MAX, availableParallelism())),
    defaultText: 'one a core',
    description: 'Shard worker threads, 1 to 64. May differ from start to start; nothing is lost.',
  },
  transport: {
    form: 'text',
    check: oneOf(['auto', 'uws', 'ws']),
    byDefault: 'auto',
    description: 'WebSocket implementation: uws (native, fastest), ws (plain JavaScript), auto (uws if it loads).',
  },
  profilesMemoryMegabytes: {
    form: 'number',
    check: whole(16, 1_048_576, 'megabytes'),
    byDefault: 1024,
    description: 'Memory for resident profiles over all workers; beyond it the idlest are written back and dropped.',
  },
  idleMillis: {
    form: 'number',
    check: whole(1000, 604_800_000, 'milliseconds'),
    byDefault: 600_000,
    description: 'A profile idle for this long leaves memory.',
  },
  leaseMillisMax: {
    form: 'number',
    check: whole(1000, 604_800_000, 'milliseconds'),
    byDefault: 86_400_000,
    description: 'Longest lease a catalog may ask for.',
  },
  journalKeepGigabytes: {
    form: 'number',
    check: real(0.1, 100_000, 'a number of gigabytes'),
    byDefault: 10,
    description: 'Journal kept on disk for log and replay; the oldest part beyond it is dropped.',
  },
  fitEveryHours: {
    form: 'number',
    check: real(0, 8760, 'a number of hours'),
    byDefault: 24,
    description:
      'Hours from one fit of facts to the next, while the catalog declares facts; 0 leaves it to `opportune fit`.',
  },
  drainSeconds: {
    form: 'number',
    check: real(0, 600, 'a number of seconds'),
    byDefault: 10,
    description: 'Time given to clients and requests in flight when stopping.',
  },
  logLevel: {
    form: 'text',
    check: oneOf(['trace', 'debug', 'info', 'warn', 'error', 'silent']),
    byDefault: 'info',
    description: 'Least severe log line written (lifecycle and errors; never one a decision).',
  },
  slowMillis: {
    form: 'number',
    check: real(0.1, 60_000, 'a number of milliseconds'),
    byDefault: 5,
    description: 'A request slower than this is traced, when traces are exported.',
  },
  traceSampleRatio: {
    form: 'number',
    check: real(0, 1, 'a number'),
    byDefault: 0.01,
    description: 'Share of other requests traced, when traces are exported; OTEL_TRACES_SAMPLER overrides it.',
  },
  stuckSeconds: {
    form: 'number',
    check: whole(1, 3_600, 'seconds'),
    byDefault: 30,
    description:
      'A worker whose event loop stands still for this long is replaced, or, where the native transport forbids that, the process ends at once for its supervisor to start again; --supervise watches the main thread alike.',
  },
  memoryMegabytes: {
    form: 'number',
    check: whole(64, 16_777_216, 'megabytes'),
    byDefault: memoryMegabytesByDefault(),
    defaultText: '90 % of the machine or of its cgroup',
    description: 'Resident memory of the process beyond which connections and requests are refused until it falls.',
  },
  drills: {
    form: 'switch',
    check: onOff,
    byDefault: false,
    description: 'Serve POST /v1/drill/…, which breaks workers on purpose. For exercises, never in production.',
  },
  timeScale: {
    form: 'number',
    check: real(1, 100_000, 'a number'),
    byDefault: 1,
    description:
      'How many times as fast the clock runs from the start on. For demonstrations on a data folder of their own, never in production.',
  },
  secret: {
    form: 'text',
    check: secret,
    byDefault: null,
    defaultText: 'made at the first start and kept in the data folder',
    description: 'Keys the seeds of decisions, the holdout and the signatures of quotes. Change it and quotes end.',
    isSecret: true,
  },
  masterKey: {
    form: 'text',
    check: masterKey,
    byDefault: null,
    defaultText: 'made at the first start and kept in the data folder',
    description:
      "Wraps every person's key for sensitive traits: 32 bytes, as 64 hexadecimal digits or base64. Change it with `opportune keys rotate` only.",
    isSecret: true,
  },
  masterKeyCommand: {
    form: 'text',
    check: command,
    byDefault: null,
    defaultText: '(none)',
    description: "Command that prints the master key at each start, such as a key service's client; run by `sh -c`.",
    // What it is called with may open the key service.
    isSecret: true,
  },
};

export const CONFIG_KEYS = Object.keys(OPTIONS) as readonly ConfigKey[]; // keys of a typed record

/** `adminPort` → `admin-port`. */
export function flagOf(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** `adminPort` → `OPPORTUNE_ADMIN_PORT`. */
export function environmentNameOf(key: string): string {
  return `OPPORTUNE_${flagOf(key).replaceAll('-', '_').toUpperCase()}`;
}
