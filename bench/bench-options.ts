/**
 * The flags of `opportune bench`: one table that the command line registers, and the one function that
 * turns what it parsed into settings. A value outside its bound, an unknown word, or two flags that
 * contradict each other is refused with the flag, the value and the bound; nothing is corrected silently.
 */
import { PROFILES_MAX } from './frame-template.ts';
import { LANE_SLOTS_MAX } from './load-lane.ts';
import { type ContextValue, type RequestPlan, SCENARIOS, type Scenario } from './load-plan.ts';
import { parseSlo, type Slo } from './slo.ts';

/** Of the sample retail catalog and of the bench catalog. */
const DEFAULT_SKUS = ['espresso-1kg', 'bench-product'];

export interface BenchOption {
  /** In commander's notation. */
  readonly flags: string;
  readonly description: string;
  readonly isRepeatable?: boolean;
}

export const benchOptions: readonly BenchOption[] = [
  { flags: '--url <url>', description: 'server to load (default ws://127.0.0.1:7400)' },
  { flags: '--scenario <name>', description: `${SCENARIOS.join(' | ')} (default decide)` },
  {
    flags: '--rate <n>',
    description: 'open-loop requests per second, or a share of the peak such as 50% (default 50%)',
  },
  { flags: '--seconds <n>', description: 'measured time of each phase (default 10)' },
  { flags: '--warmup <n>', description: 'seconds before measuring, not counted (default 2)' },
  { flags: '--runs <n>', description: 'repeat everything; median and spread are reported (default 1)' },
  { flags: '--connections <n>', description: 'WebSocket connections (default 16)' },
  { flags: '--in-flight <n>', description: 'closed loop: frames in flight a connection (default 16)' },
  { flags: '--window <n>', description: 'open loop: requests in flight a connection at most (default 1024)' },
  { flags: '--processes <n>', description: 'generator processes (default 1)' },
  { flags: '--profiles <n>', description: 'distinct profiles (default 10000; cold: 1000000)' },
  { flags: '--zipf <s>', description: 'Zipf exponent of profile popularity, 0 is uniform (default 0.99; cold: 0)' },
  { flags: '--no-populate', description: 'do not touch every profile once before measuring' },
  {
    flags: '--no-shard-aware',
    description: "send everything to --url and let the server hand on what is another shard's",
  },
  { flags: '--traits <json>', description: 'identify each profile with these traits while populating' },
  { flags: '--slot <key>', description: 'slot of a decide (default home)' },
  {
    flags: '--sku <sku>',
    description: 'product to price, or none (default espresso-1kg, or bench-product where that is unknown)',
  },
  {
    flags: '--actions <n>',
    description: 'restrict a decide to offer-01 … offer-N of the bench catalog (default: every action)',
  },
  { flags: '--context <json>', description: 'context of a decide (default: eight keys that vary)' },
  { flags: '--durability <word>', description: 'applied | committed (default: the server’s)' },
  { flags: '--batch-size <n>', description: 'batch: requests in one frame (default 16)' },
  { flags: '--find-max', description: 'peak throughput, closed loop; with --slo also the highest rate that meets it' },
  { flags: '--slo <objective>', description: 'p50|p90|p99|p99.9|max=TIME or errors=SHARE%', isRepeatable: true },
  { flags: '--echo', description: 'the same load on a bare echo server first, as the yardstick' },
  { flags: '--echo-transport <name>', description: 'uws | ws (default: what the server uses)' },
  { flags: '--seed <n>', description: 'of the order of profiles (default 1)' },
  { flags: '--json <file>', description: 'write the result; - is standard output' },
  { flags: '--hgrm <file>', description: 'write the open-loop latency distribution for the HdrHistogram plotter' },
  { flags: '--compare <files...>', description: 'two results: print B against A, measure nothing' },
];

/** As commander leaves them: camel-cased names, text values, `populate: false` for `--no-populate`. */
export interface RawBenchOptions {
  readonly [name: string]: string | boolean | readonly string[] | undefined;
}

export interface BenchSettings {
  readonly url: string;
  readonly token: string | null;
  readonly scenario: Scenario;
  readonly rate:
    | { readonly kind: 'fixed'; readonly perSecond: number }
    | { readonly kind: 'share'; readonly share: number };
  readonly seconds: number;
  readonly warmupSeconds: number;
  readonly runs: number;
  readonly connections: number;
  readonly inFlight: number;
  readonly window: number;
  readonly processes: number;
  readonly profiles: number;
  readonly zipf: number;
  readonly populate: boolean;
  /** Ask each shard directly for its own profiles, as the client SDK does. */
  readonly shardAware: boolean;
  readonly traits: RequestPlan['traits'];
  readonly slot: string;
  /** Tried in this order until the server knows one; empty: no price is asked for. */
  readonly skus: readonly string[];
  readonly actions: number | null;
  readonly context: RequestPlan['context'];
  readonly durability: RequestPlan['durability'];
  readonly batchSize: number;
  readonly findMax: boolean;
  readonly slos: readonly Slo[];
  readonly echo: boolean;
  readonly echoTransport: 'uws' | 'ws' | null;
  readonly seed: number;
  readonly json: string | null;
  readonly hgrm: string | null;
  readonly compare: readonly [string, string] | null;
}

/** What the user asked for cannot be done; `message` names the flag, the value and the bound. */
export class BenchUsageError extends Error {
  readonly code = 'EUSAGE';

  constructor(message: string, cause?: unknown) {
    super(message, { cause });
    this.name = 'BenchUsageError';
  }
}

class Flags {
  readonly #raw: RawBenchOptions;

  constructor(raw: RawBenchOptions) {
    this.#raw = raw;
  }

  has(name: string): boolean {
    return this.#raw[name] !== undefined;
  }

  isSet(name: string): boolean {
    return this.#raw[name] === true;
  }

  text(name: string): string | null {
    const value = this.#raw[name];
    if (value === undefined) return null;
    if (typeof value !== 'string' || value === '') throw new BenchUsageError(`${flag(name)} needs a value`);
    return value;
  }

  list(name: string): readonly string[] {
    const value = this.#raw[name];
    if (value === undefined || typeof value === 'boolean') return [];
    return typeof value === 'string' ? [value] : value;
  }

  number(name: string, unsaid: number, min: number, max: number, isWhole = true): number {
    const text = this.text(name);
    if (text === null) return unsaid;
    const value = /^[0-9]+(\.[0-9]+)?$/.test(text) ? Number(text) : Number.NaN;
    if (!(value >= min && value <= max) || (isWhole && !Number.isInteger(value))) {
      throw new BenchUsageError(
        `${flag(name)} is ${text}; it must be a ${isWhole ? 'whole ' : ''}number from ${min} to ${max}`,
      );
    }
    return value;
  }

  oneOf<Word extends string>(name: string, words: readonly Word[]): Word | null {
    const text = this.text(name);
    if (text === null) return null;
    const word = words.find((known) => known === text);
    if (word === undefined)
      throw new BenchUsageError(`${flag(name)} is ${text}; it must be one of ${words.join(', ')}`);
    return word;
  }

  map(name: string): { readonly [key: string]: ContextValue } | null {
    const text = this.text(name);
    if (text === null) return null;
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch (error) {
      throw new BenchUsageError(`${flag(name)} is not JSON: ${error instanceof Error ? error.message : text}`, error);
    }
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw new BenchUsageError(`${flag(name)} must be a JSON object of texts, numbers and booleans`);
    }
    for (const [key, item] of Object.entries(value)) {
      if (!['string', 'number', 'boolean'].includes(typeof item)) {
        throw new BenchUsageError(`${flag(name)}: ${key} must be a text, a number or a boolean`);
      }
    }
    return value as { readonly [key: string]: ContextValue }; // checked entry by entry just above
  }
}

function flag(name: string): string {
  return `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

const KNOWN = new Set(
  benchOptions.map((option) => {
    const name = /^--(?:no-)?([a-z-]+)/.exec(option.flags)?.[1] ?? '';
    return name.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
  }),
);

/**
 * Throws BenchUsageError on the first thing that cannot be.
 * @param token of the server's access control. Not a flag: every process of a machine can read command lines.
 */
export function parseBenchOptions(raw: RawBenchOptions, token: string | null = null): BenchSettings {
  for (const name of Object.keys(raw)) {
    if (raw[name] !== undefined && !KNOWN.has(name)) throw new BenchUsageError(`${flag(name)} is not a flag of bench`);
  }
  const flags = new Flags(raw);
  const scenario = flags.oneOf('scenario', SCENARIOS) ?? 'decide';
  const isCold = scenario === 'cold';
  const sku = flags.text('sku');
  const settings: BenchSettings = {
    url: parseUrl(flags.text('url') ?? 'ws://127.0.0.1:7400'),
    token,
    scenario,
    rate: parseRate(flags),
    seconds: flags.number('seconds', 10, 0.1, 86_400, false),
    warmupSeconds: flags.number('warmup', 2, 0, 3600, false),
    runs: flags.number('runs', 1, 1, 100),
    connections: flags.number('connections', 16, 1, 10_000),
    inFlight: flags.number('inFlight', 16, 1, 1024),
    window: flags.number('window', 1024, 1, LANE_SLOTS_MAX),
    processes: flags.number('processes', 1, 1, 64),
    profiles: flags.number('profiles', isCold ? 1_000_000 : 10_000, 1, PROFILES_MAX),
    zipf: flags.number('zipf', isCold ? 0 : 0.99, 0, 5, false),
    populate: raw.populate !== false,
    shardAware: raw.shardAware !== false,
    traits: flags.map('traits'),
    slot: flags.text('slot') ?? 'home',
    skus: sku === null ? DEFAULT_SKUS : sku === 'none' ? [] : [sku],
    actions: flags.has('actions') ? flags.number('actions', 0, 1, 1024) : null,
    context: flags.map('context'),
    durability: flags.oneOf('durability', ['applied', 'committed', 'replicated']),
    batchSize: scenario === 'batch' ? flags.number('batchSize', 16, 2, 64) : 1,
    findMax: flags.isSet('findMax'),
    slos: flags.list('slo').map((text) => {
      const slo = parseSlo(text);
      if (typeof slo === 'string') throw new BenchUsageError(slo);
      return slo;
    }),
    echo: flags.isSet('echo'),
    echoTransport: flags.oneOf('echoTransport', ['uws', 'ws']),
    seed: flags.number('seed', 1, 0, 0xffff_ffff),
    json: flags.text('json'),
    hgrm: flags.text('hgrm'),
    compare: parseCompare(flags),
  };
  refuseContradictions(settings, flags);
  return settings;
}

function refuseContradictions(settings: BenchSettings, flags: Flags): void {
  const { scenario } = settings;
  if (settings.processes > settings.connections) {
    throw new BenchUsageError(
      `--processes ${settings.processes} needs at least as many --connections; there are ${settings.connections}`,
    );
  }
  if (flags.has('batchSize') && scenario !== 'batch') {
    throw new BenchUsageError('--batch-size belongs to --scenario batch');
  }
  if (settings.echo && (scenario === 'batch' || scenario === 'mixed')) {
    throw new BenchUsageError(
      `--echo compares one frame size; ${scenario} has several. Use decide, track, price or send-time`,
    );
  }
  if (flags.has('echoTransport') && !settings.echo) throw new BenchUsageError('--echo-transport belongs to --echo');
  if (settings.findMax && flags.has('rate')) {
    throw new BenchUsageError('--find-max searches for the rate; leave --rate out');
  }
  if (settings.findMax && settings.echo && settings.slos.length > 0) {
    throw new BenchUsageError('--find-max --slo searches on the server alone; leave --echo out');
  }
  if (settings.findMax && settings.slos.length === 0 && settings.hgrm !== null) {
    throw new BenchUsageError('--hgrm wants an open loop; --find-max alone is a closed one');
  }
  if (scenario === 'price' && settings.skus.length === 0) throw new BenchUsageError('--scenario price needs a --sku');
  if (scenario === 'track' && settings.actions !== null) throw new BenchUsageError('--actions belongs to a decide');
  if (settings.seconds < 1 && settings.rate.kind === 'fixed' && settings.rate.perSecond * settings.seconds < 10) {
    throw new BenchUsageError(`--rate ${settings.rate.perSecond} for ${settings.seconds} s is fewer than 10 requests`);
  }
}

function parseUrl(text: string): string {
  let url: URL;
  try {
    url = new URL(text);
  } catch (error) {
    throw new BenchUsageError(`--url ${text} is not a URL; write ws://host:port`, error);
  }
  if (url.protocol !== 'ws:') {
    throw new BenchUsageError(
      `--url ${text}: the generator speaks ws:// only; measure behind the TLS proxy, not through it`,
    );
  }
  return text;
}

function parseRate(flags: Flags): BenchSettings['rate'] {
  const text = flags.text('rate') ?? '50%';
  if (text.endsWith('%')) {
    const share = Number(text.slice(0, -1)) / 100;
    if (!(share > 0 && share <= 10))
      throw new BenchUsageError(`--rate is ${text}; a share of the peak is above 0% and at most 1000%`);
    return { kind: 'share', share };
  }
  return { kind: 'fixed', perSecond: flags.number('rate', 0, 1, 10_000_000, false) };
}

function parseCompare(flags: Flags): readonly [string, string] | null {
  if (!flags.has('compare')) return null;
  const [before, after, ...more] = flags.list('compare');
  if (before === undefined || after === undefined || more.length > 0) {
    throw new BenchUsageError(`--compare wants two files, the base first; ${flags.list('compare').length} given`);
  }
  return [before, after];
}
