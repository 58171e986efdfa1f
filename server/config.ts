/**
 * Resolves the node's options: flag before environment before YAML file before default, each checked,
 * each remembered with where it came from. Pure but for the secret files it is told to read, so that
 * tests and `opportune config` see exactly what `opportune start` would. Anything unknown is an error
 * with the nearest name: a misspelt option that is silently ignored is the worst kind of default.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { isIP } from 'node:net';
import { nearestMatch } from '../workers/catalog/nearest-match.ts';
import { isAuthenticated } from './access/access-options.ts';
import {
  CONFIG_KEYS,
  type ConfigKey,
  type ConfigValues,
  environmentNameOf,
  flagOf,
  OPTIONS,
  type OptionSpec,
} from './config-options.ts';
import { OperatorError } from './operator-error.ts';

/** Variables with our prefix that are not options of the node. */
const OTHER_VARIABLES = [
  'OPPORTUNE_CONFIG',
  'OPPORTUNE_URL',
  'OPPORTUNE_ADMIN_URL',
  'OPPORTUNE_TOKEN',
  'OPPORTUNE_TOKEN_FILE',
] as const;

/** Begins the names of webhooks' secrets, which a catalog makes up. */
const WEBHOOK_SECRETS = 'OPPORTUNE_WEBHOOK_SECRET_';

export interface ResolvedConfig extends ConfigValues {
  /** Where each value came from: `flag --port`, `environment OPPORTUNE_PORT`, `file x.yaml`, `default`. */
  readonly sources: { readonly [Key in ConfigKey]: string };
}

/** Flags by option key, as the command line gives them: text, true for a bare switch, absent when not given. */
export type FlagValues = { readonly [key: string]: string | boolean | readonly string[] | undefined };
export type Environment = { readonly [name: string]: string | undefined };

export interface ConfigFile {
  readonly path: string;
  readonly text: string;
}

/** Reads the file named by `--config` or OPPORTUNE_CONFIG; undefined when neither is given. */
export function readConfigFile(flag: string | undefined, environment: Environment): ConfigFile | undefined {
  const path = flag ?? environment.OPPORTUNE_CONFIG;
  if (path === undefined || path === '') return undefined;
  try {
    return { path, text: readFileSync(path, 'utf8') };
  } catch (cause) {
    throw new OperatorError('CONFIG_FILE', `cannot read the configuration file ${path}: ${reasonOf(cause)}`, {
      advice: 'Check the path given with --config or OPPORTUNE_CONFIG.',
      cause,
    });
  }
}

/**
 * @throws OperatorError CONFIG_UNKNOWN, CONFIG_INVALID, CONFIG_FILE, CONFIG_SECRET, CONFIG_ACCESS or REMOTE_REFUSED; the
 * message names the option as it was given, the value, and the bound.
 */
export function resolveConfig(flags: FlagValues, environment: Environment, file?: ConfigFile): ResolvedConfig {
  const fromFile = file === undefined ? {} : parseConfigFile(file);
  refuseUnknownFlags(flags);
  refuseUnknownVariables(environment);
  const values: Record<string, unknown> = {};
  const sources: Record<string, string> = {};
  for (const key of CONFIG_KEYS) {
    const spec = OPTIONS[key];
    const found = find(key, spec, flags, environment, fromFile, file?.path);
    const problem = spec.check(found.value);
    if (problem !== null) {
      const shown = spec.isSecret === true ? '' : `, not ${JSON.stringify(found.raw)}`;
      throw new OperatorError('CONFIG_INVALID', `${found.source}: ${key} ${problem}${shown}`, {
        advice: `${spec.description} See \`opportune config\`.`,
      });
    }
    values[key] = found.value;
    sources[key] = found.source;
  }
  const config = { ...values, sources } as unknown as ResolvedConfig; // every key was just checked by its schema
  refuseRemote(config);
  refuseHalfAccess(config);
  refusePortClash(config);
  return config;
}

/** For `opportune config`: secrets are replaced by whether they are set. */
export function shownValue(config: ResolvedConfig, key: ConfigKey): string | number | boolean | null {
  const value = config[key];
  if (OPTIONS[key].isSecret === true) return value === null ? null : '(set, not shown)';
  return typeof value === 'object' && value !== null ? value.join(',') : value;
}

/** Whether a host name or address can only be reached from this machine. */
export function isLoopback(host: string): boolean {
  const bare = host.replace(/^\[|\]$/g, '').toLowerCase();
  if (bare === 'localhost' || bare === '::1') return true;
  if (bare.startsWith('::ffff:')) return isLoopback(bare.slice(7));
  return isIP(bare) === 4 && bare.startsWith('127.');
}

interface Found {
  readonly value: unknown;
  /** As given, for messages. */
  readonly raw: unknown;
  readonly source: string;
}

function find(
  key: ConfigKey,
  spec: OptionSpec,
  flags: FlagValues,
  environment: Environment,
  fromFile: Record<string, unknown>,
  path: string | undefined,
): Found {
  const flag = flags[key];
  if (flag !== undefined) return { value: typed(flag, spec), raw: flag, source: `flag --${flagOf(key)}` };
  const name = environmentNameOf(key);
  const variable = environment[name];
  const secretPath = spec.isSecret === true ? environment[`${name}_FILE`] : undefined;
  if (variable !== undefined && variable !== '' && secretPath !== undefined && secretPath !== '') {
    throw new OperatorError('CONFIG_SECRET', `both ${name} and ${name}_FILE are set`, { advice: 'Unset one of them.' });
  }
  if (variable !== undefined && variable !== '') {
    return { value: typed(variable, spec), raw: variable, source: `environment ${name}` };
  }
  if (secretPath !== undefined && secretPath !== '') {
    return { value: readSecret(`${name}_FILE`, secretPath), raw: '', source: `environment ${name}_FILE` };
  }
  const secretFile = spec.isSecret === true ? fromFile[`${key}File`] : undefined;
  if (typeof secretFile === 'string') {
    return { value: readSecret(`${key}File`, secretFile), raw: '', source: `file ${path} (${key}File)` };
  }
  const written = fromFile[key];
  if (written !== undefined) return { value: written, raw: written, source: `file ${path}` };
  return { value: spec.byDefault, raw: spec.byDefault, source: 'default' };
}

/** Text to the option's type; what does not convert is left as it is, for the schema to refuse by name. */
function typed(raw: string | boolean | readonly string[], spec: OptionSpec): unknown {
  if (typeof raw !== 'string') return raw;
  if (spec.form === 'number') return /^[+-]?\d+(\.\d+)?$/.test(raw.trim()) ? Number(raw) : raw;
  if (spec.form === 'switch') {
    const lower = raw.trim().toLowerCase();
    if (['true', '1', 'yes', 'on'].includes(lower)) return true;
    return ['false', '0', 'no', 'off'].includes(lower) ? false : raw;
  }
  if (spec.form !== 'list') return raw;
  return raw
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');
}

function readSecret(name: string, path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch (cause) {
    throw new OperatorError(
      'CONFIG_SECRET',
      `cannot read the secret file ${path} named by ${name}: ${reasonOf(cause)}`,
      {
        advice: 'Check the path, and that this user may read it.',
        cause,
      },
    );
  }
}

function parseConfigFile(file: ConfigFile): Record<string, unknown> {
  // Loaded where there is a file to read: most starts have none, and it takes longer than everything else here.
  const { parseDocument } = createRequire(import.meta.url)('yaml') as typeof import('yaml'); // its CommonJS form
  let content: unknown;
  try {
    const document = parseDocument(file.text, { prettyErrors: true });
    if (document.errors[0] !== undefined) throw document.errors[0];
    content = document.toJS({ maxAliasCount: 0 }); // options need no aliases, and aliases can explode
  } catch (cause) {
    throw new OperatorError('CONFIG_FILE', `${file.path}: ${reasonOf(cause).trim()}`, {
      advice: 'Mend the YAML: one `key: value` a line, each key once, no aliases.',
      cause,
    });
  }
  if (content === null) return {};
  if (typeof content !== 'object' || Array.isArray(content)) {
    throw new OperatorError('CONFIG_FILE', `${file.path}: the file must hold a map of options`, {
      advice: 'Write one `key: value` a line, for example `port: 7400`.',
    });
  }
  const known = CONFIG_KEYS.flatMap((key) => (OPTIONS[key].isSecret === true ? [key, `${key}File`] : [key]));
  for (const key of Object.keys(content)) {
    if (!known.includes(key)) throw unknown(`file ${file.path}: key`, key, known);
  }
  return content as Record<string, unknown>; // checked to be a map just above
}

function refuseUnknownFlags(flags: FlagValues): void {
  for (const key of Object.keys(flags)) {
    if (!(CONFIG_KEYS as readonly string[]).includes(key)) {
      throw unknown(
        'flag',
        `--${flagOf(key)}`,
        CONFIG_KEYS.map((known) => `--${flagOf(known)}`),
        '--',
      );
    }
  }
}

function refuseUnknownVariables(environment: Environment): void {
  const known = CONFIG_KEYS.flatMap((key) => {
    const name = environmentNameOf(key);
    return OPTIONS[key].isSecret === true ? [name, `${name}_FILE`] : [name];
  });
  for (const name of Object.keys(environment)) {
    if (!name.startsWith('OPPORTUNE_') || known.includes(name)) continue;
    if ((OTHER_VARIABLES as readonly string[]).includes(name) || name.startsWith(WEBHOOK_SECRETS)) continue;
    throw unknown('environment variable', name, [...known, ...OTHER_VARIABLES], 'OPPORTUNE_');
  }
}

function unknown(what: string, name: string, known: readonly string[], prefix = ''): OperatorError {
  // Compared without what all names share, else any two would look alike.
  const nearest = nearestMatch(
    name.slice(prefix.length),
    known.map((item) => item.slice(prefix.length)),
  );
  return new OperatorError('CONFIG_UNKNOWN', `unknown ${what} ${name}`, {
    advice: nearest === undefined ? 'See `opportune config` for all options.' : `Did you mean ${prefix}${nearest}?`,
  });
}

function refuseRemote(config: ResolvedConfig): void {
  if (isLoopback(config.host)) return;
  const where = `${config.sources.host}: host ${config.host} is reachable from other machines`;
  if (!config.allowRemote) {
    throw new OperatorError('REMOTE_REFUSED', where, {
      advice: 'Add --allow-remote if that is what you want, with authentication (docs/ACCESS.md) and TLS.',
    });
  }
  if (isAuthenticated(config) || config.allowAnonymousRemote) return;
  throw new OperatorError('REMOTE_REFUSED', `${where}, and nobody would be asked for a token`, {
    advice:
      'Ask for tokens with --api-key-file or --jwks-file (docs/ACCESS.md). To let everyone who can connect read and ' +
      'change every profile, as behind a firewall, say so with --allow-anonymous-remote.',
  });
}

/** Settings of access that mean something else than they seem to when one is missing are refused. */
function refuseHalfAccess(config: ResolvedConfig): void {
  const { sources } = config;
  const hasJwt = config.jwksFile !== null || config.jwksUrl !== null;
  const refuse = (what: string, advice: string): never => {
    throw new OperatorError('CONFIG_ACCESS', what, { advice });
  };
  if (config.jwksFile !== null && config.jwksUrl !== null)
    refuse(`${sources.jwksUrl}: jwksUrl and jwksFile are both given`, 'Give one source of public keys.');
  if (hasJwt && config.jwtAudience === null)
    refuse(
      'jwtAudience is missing: a token that was issued for another service would be let in',
      'Give the audience your identity provider issues for this server, with --jwt-audience.',
    );
  if (config.jwksUrl !== null && config.jwtIssuer === null)
    refuse('jwtIssuer is missing beside jwksUrl', 'Give the issuer whose keys these are, with --jwt-issuer.');
  if (config.queryTokens && !hasJwt)
    refuse(
      `${sources.queryTokens}: queryTokens takes JWTs only, and there are no keys for them`,
      'Give --jwks-file or --jwks-url; API keys are never taken from an address.',
    );
  if (config.tenants.length > 0 && !isAuthenticated(config))
    refuse(
      `${sources.tenants}: there are tenants, but no tokens to tell them apart`,
      'Give --api-key-file, --jwks-file or --jwks-url.',
    );
  if (config.tenants.length > 0 && config.secret !== null)
    refuse(
      `${sources.secret}: one secret for all tenants would give one person the same names in each`,
      'Unset it: every tenant keeps a secret of its own in its data folder.',
    );
  if ((config.tlsCertFile === null) !== (config.tlsKeyFile === null))
    refuse('tlsCertFile and tlsKeyFile belong together and one is missing', 'Give both, or neither.');
  if (config.tlsClientCaFile !== null && config.tlsCertFile === null)
    refuse(`${sources.tlsClientCaFile}: tlsClientCaFile needs tlsCertFile and tlsKeyFile`, 'Give all three.');
  if (config.tlsCertFile !== null && config.transport === 'uws')
    refuse(
      `${sources.transport}: the uws transport speaks no TLS here`,
      'Its TLS would be of 2023. Leave the transport to auto (then ws is taken), or put a TLS proxy in front of uws.',
    );
}

function refusePortClash(config: ResolvedConfig): void {
  const { port, adminPort, shardPort, workers } = config;
  const isShardPort = (value: number): boolean => shardPort !== 0 && value >= shardPort && value < shardPort + workers;
  if (shardPort + workers - 1 > 65_535) {
    throw new OperatorError('CONFIG_INVALID', `shardPort ${shardPort} leaves no room for ${workers} workers' ports`, {
      advice: `Use a shardPort of at most ${65_536 - workers}, or 0.`,
    });
  }
  const clash =
    port !== 0 && port === adminPort
      ? `port and adminPort are both ${port}`
      : isShardPort(port)
        ? `port ${port} is also one of the workers' ports, ${shardPort} to ${shardPort + workers - 1}`
        : isShardPort(adminPort)
          ? `adminPort ${adminPort} is also one of the workers' ports, ${shardPort} to ${shardPort + workers - 1}`
          : undefined;
  if (clash === undefined) return;
  throw new OperatorError('CONFIG_INVALID', clash, { advice: 'Give them different numbers, or 0 for free ones.' });
}

function reasonOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
