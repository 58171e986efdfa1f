/**
 * Every option of the node, once: its name, what it means, its default and its bound. The flag
 * (`--admin-port`), the environment variable (`OPPORTUNE_ADMIN_PORT`), the key in the YAML file
 * (`adminPort`), `opportune config`, `--help` and the table in docs/OPERATING.md all come from here.
 */
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { packageRoot } from './package-version.ts';

export interface ConfigValues {
  readonly host: string;
  readonly port: number;
  readonly shardPort: number;
  readonly adminPort: number;
  readonly adminHosts: readonly string[];
  readonly allowRemote: boolean;
  readonly data: string;
  readonly catalog: string;
  readonly workers: number;
  readonly transport: 'auto' | 'uws' | 'ws';
  readonly profilesMemoryMegabytes: number;
  readonly idleMillis: number;
  readonly leaseMillisMax: number;
  readonly journalKeepGigabytes: number;
  readonly drainSeconds: number;
  readonly logLevel: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'silent';
  readonly slowMillis: number;
  readonly traceSampleRatio: number;
  readonly drills: boolean;
  /** Keys every seed, salt and signature; null: made once and kept in the data folder. */
  readonly secret: string | null;
}
export type ConfigKey = keyof ConfigValues;

/** How the text of a flag or a variable becomes a value; YAML gives values already typed. */
export type OptionForm = 'text' | 'number' | 'switch' | 'list';

export interface OptionSpec {
  readonly form: OptionForm;
  readonly schema: z.ZodType;
  readonly byDefault: unknown;
  /** Shown instead of the default where that depends on the machine. */
  readonly defaultText?: string;
  readonly description: string;
  readonly isSecret?: true;
}

export const WORKERS_MAX = 64;

const text = (what: string): z.ZodType => z.string({ error: `must be ${what}` }).min(1, `must be ${what}, not empty`);
const port = z
  .int({ error: 'must be a port number, 0 to 65535' })
  .min(0, 'must be a port number, 0 to 65535')
  .max(65_535, 'must be a port number, 0 to 65535');
function whole(min: number, max: number, unit: string): z.ZodType {
  const error = `must be a whole number of ${unit} from ${min} to ${max}`;
  return z.int({ error }).min(min, error).max(max, error);
}
function real(min: number, max: number, unit: string): z.ZodType {
  const error = `must be ${unit} from ${min} to ${max}`;
  return z.number({ error }).min(min, error).max(max, error);
}
function oneOf(values: readonly [string, ...string[]]): z.ZodType {
  return z.enum(values, { error: `must be one of ${values.join(', ')}` });
}
const onOff = z.boolean({ error: 'must be true or false' });

export const OPTIONS: { readonly [Key in ConfigKey]: OptionSpec } = {
  host: {
    form: 'text',
    schema: text('a host name or address'),
    byDefault: '127.0.0.1',
    description: 'Address to listen on, for WebSocket and admin HTTP alike.',
  },
  port: { form: 'number', schema: port, byDefault: 7400, description: 'WebSocket port; 0 takes a free one.' },
  shardPort: {
    form: 'number',
    schema: port,
    byDefault: 7410,
    description: "First of the workers' own ports, one a worker, for clients that know the shards; 0 takes free ones.",
  },
  adminPort: {
    form: 'number',
    schema: port,
    byDefault: 7401,
    description: 'HTTP port for health, metrics and schemas; 0 takes a free one.',
  },
  adminHosts: {
    form: 'list',
    schema: z.array(z.string().min(1), { error: 'must be a list of host names' }),
    byDefault: [],
    description: 'Host names admin HTTP answers to besides the loopback ones (against DNS rebinding).',
  },
  allowRemote: {
    form: 'switch',
    schema: onOff,
    byDefault: false,
    description: 'Permit a host other than loopback. There is no access control: everyone who connects may do all.',
  },
  data: {
    form: 'text',
    schema: text('a folder'),
    byDefault: './data',
    description: 'Folder of profiles, journal and models.',
  },
  catalog: {
    form: 'text',
    schema: text('a file'),
    byDefault: join(packageRoot(), 'catalogs', 'retail.yaml'),
    defaultText: 'catalogs/retail.yaml of the package',
    description: 'Catalog file; reloaded when it changes.',
  },
  workers: {
    form: 'number',
    schema: whole(1, WORKERS_MAX, 'workers'),
    byDefault: Math.max(1, Math.min(WORKERS_MAX, availableParallelism())),
    defaultText: 'one a core',
    description: 'Shard worker threads, 1 to 64. May differ from start to start; nothing is lost.',
  },
  transport: {
    form: 'text',
    schema: oneOf(['auto', 'uws', 'ws']),
    byDefault: 'auto',
    description: 'WebSocket implementation: uws (native, fastest), ws (plain JavaScript), auto (uws if it loads).',
  },
  profilesMemoryMegabytes: {
    form: 'number',
    schema: whole(16, 1_048_576, 'megabytes'),
    byDefault: 1024,
    description: 'Memory for resident profiles over all workers; beyond it the idlest are written back and dropped.',
  },
  idleMillis: {
    form: 'number',
    schema: whole(1000, 604_800_000, 'milliseconds'),
    byDefault: 600_000,
    description: 'A profile idle for this long leaves memory.',
  },
  leaseMillisMax: {
    form: 'number',
    schema: whole(1000, 604_800_000, 'milliseconds'),
    byDefault: 86_400_000,
    description: 'Longest lease a catalog may ask for.',
  },
  journalKeepGigabytes: {
    form: 'number',
    schema: real(0.1, 100_000, 'a number of gigabytes'),
    byDefault: 10,
    description: 'Journal kept on disk for log and replay; the oldest part beyond it is dropped.',
  },
  drainSeconds: {
    form: 'number',
    schema: real(0, 600, 'a number of seconds'),
    byDefault: 10,
    description: 'Time given to clients and requests in flight when stopping.',
  },
  logLevel: {
    form: 'text',
    schema: oneOf(['trace', 'debug', 'info', 'warn', 'error', 'silent']),
    byDefault: 'info',
    description: 'Least severe log line written (lifecycle and errors; never one a decision).',
  },
  slowMillis: {
    form: 'number',
    schema: real(0.1, 60_000, 'a number of milliseconds'),
    byDefault: 5,
    description: 'A request slower than this is traced, when traces are exported.',
  },
  traceSampleRatio: {
    form: 'number',
    schema: real(0, 1, 'a number'),
    byDefault: 0.01,
    description: 'Share of other requests traced, when traces are exported; OTEL_TRACES_SAMPLER overrides it.',
  },
  drills: {
    form: 'switch',
    schema: onOff,
    byDefault: false,
    description: 'Serve POST /v1/drill/…, which breaks workers on purpose. For exercises, never in production.',
  },
  secret: {
    form: 'text',
    schema: z
      .string({ error: 'must be text' })
      .min(32, 'must have at least 32 characters')
      .max(1024, 'must have at most 1024 characters')
      .nullable(),
    byDefault: null,
    defaultText: 'made at the first start and kept in the data folder',
    description: 'Keys the seeds of decisions, the holdout and the signatures of quotes. Change it and quotes end.',
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
