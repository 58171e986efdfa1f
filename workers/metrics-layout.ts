/**
 * Every metric of the node, by name, and where its number lives: one SharedArrayBuffer a shard worker,
 * written only by that worker with plain adds (about 3 ns) and read by the main thread when somebody
 * asks. All metric names of the product are in this file and nowhere else.
 *
 *   Float64 cells:  [ counters | gauges | histogram rows … | duration rows (op × status) … ]
 *   one histogram row:  [ bucket 0 … bucket n (overflow) | sum in microseconds ]
 *
 * Guarantees: single writer, so no update is lost; a replaced worker continues in the same buffer, so
 * counters never go back (its gauges are cleared by `clearGauges`). Traded away: a reader may see one
 * cell of a row before another, so a histogram may be off by the requests of the last microseconds.
 * Aligned 64-bit cells are read whole on the platforms Node runs on.
 */
import { OP, type OpName, type OpNumber } from '../proto/messages.ts';
import type { Status } from '../proto/statuses.ts';

export type StatusName = 'OK' | Status;

/** Position in a duration row. Append only. */
export const STATUS_NAMES = [
  'OK',
  'INVALID_ARGUMENT',
  'UNAUTHENTICATED',
  'PERMISSION_DENIED',
  'NOT_FOUND',
  'FAILED_PRECONDITION',
  'RESOURCE_EXHAUSTED',
  'DEADLINE_EXCEEDED',
  'UNAVAILABLE',
  'UNIMPLEMENTED',
  'INTERNAL',
] as const satisfies readonly StatusName[];
export const STATUS_COUNT = STATUS_NAMES.length;
export const STATUS_INDEX = Object.fromEntries(STATUS_NAMES.map((name, index) => [name, index])) as Readonly<
  Record<StatusName, number> // built from every name above
>;

/** Operation names by number; 0 is a request whose operation was not recognised. */
export const OP_NAMES: readonly (OpName | 'unknown')[] = namesByNumber();
export const OP_COUNT = OP_NAMES.length;

export interface MetricInfo {
  /** As in `/metrics`, without the `_total` a counter gets there. */
  readonly name: string;
  /** UCUM unit, for OTLP. */
  readonly unit: string;
  readonly description: string;
  /** Fixed labels; several cells may share one name and differ in these. */
  readonly labels?: Readonly<Record<string, string>>;
}

function info(name: string, unit: string, description: string, labels?: Readonly<Record<string, string>>): MetricInfo {
  return labels === undefined ? { name, unit, description } : { name, unit, description, labels };
}

const SHED = 'Requests refused because a bound was reached.';
const FALLBACK = "Decides with a deadline answered with the catalog's fallback.";
const LOGIN = 'Upgrades refused for their token.';
const REFUSED = 'Events and traits refused for a value, by why.';
const LETTER_LOST = 'Refused messages that were not kept, or gave way to newer ones, by the bound that was met.';
const FLAGGED = 'Values kept and flagged: implausible, in mixed scripts, or contradicting another.';
const JOINING = "Keys joined with a person's, taken out again, and refused for good (a limit, a placeholder).";
const ABUSE = 'Events the server told of people for suspicions to count, by sign.';
const LEASE = 'Decisions as leases: opened = confirmed + released + expired + open.';

/** Counters: they only grow. Every one carries the label `shard`. */
export const COUNTERS = {
  receivedBytes: info('opportune_received_bytes', 'By', 'Bytes of WebSocket messages received.'),
  sentBytes: info('opportune_sent_bytes', 'By', 'Bytes of WebSocket messages sent.'),
  receivedFrames: info('opportune_received_frames', '{frame}', 'WebSocket messages received.'),
  sentPushes: info('opportune_sent_pushes', '{push}', 'Answers pushed to subscribers.'),
  sentFrames: info('opportune_sent_frames', '{frame}', 'WebSocket messages sent.'),
  connectionsOpened: info('opportune_connections_opened', '{connection}', 'Connections accepted.'),
  connectionsRefused: info('opportune_connections_refused', '{connection}', 'Upgrades refused.'),
  connectionsDropped: info('opportune_connections_dropped', '{connection}', 'Connections closed by the server.'),
  loginsMissing: info('opportune_logins_refused', '{login}', LOGIN, { reason: 'missing' }),
  loginsInvalid: info('opportune_logins_refused', '{login}', LOGIN, { reason: 'invalid' }),
  loginsExpired: info('opportune_logins_refused', '{login}', LOGIN, { reason: 'expired' }),
  loginsForbidden: info('opportune_logins_refused', '{login}', LOGIN, { reason: 'forbidden' }),
  loginsUnavailable: info('opportune_logins_refused', '{login}', LOGIN, { reason: 'unavailable' }),
  shedInFlight: info('opportune_sheds', '{request}', SHED, { bound: 'in_flight' }),
  shedMailbox: info('opportune_sheds', '{request}', SHED, { bound: 'mailbox' }),
  shedOverload: info('opportune_sheds', '{request}', SHED, { bound: 'queue_delay' }),
  shedMemory: info('opportune_sheds', '{request}', SHED, { bound: 'memory' }),
  shedDeadline: info('opportune_sheds', '{request}', SHED, { bound: 'deadline' }),
  shedForward: info('opportune_sheds', '{request}', SHED, { bound: 'forward' }),
  shedRate: info('opportune_sheds', '{request}', SHED, { bound: 'rate' }),
  activations: info('opportune_activations', '{profile}', 'Profiles loaded into memory.'),
  passivations: info('opportune_passivations', '{profile}', 'Profiles written back and dropped from memory.'),
  profilesCreated: info('opportune_profiles_created', '{profile}', 'Profiles seen for the first time.'),
  turnFailures: info('opportune_turn_failures', '{turn}', 'Turns that failed by an error of ours.'),
  quarantines: info('opportune_quarantines', '{profile}', 'Profiles set aside after failing twice.'),
  journalBatches: info('opportune_journal_batches', '{batch}', 'Journal batches committed to disk.'),
  journalEntries: info('opportune_journal_entries', '{entry}', 'Journal entries committed to disk.'),
  journalBytes: info('opportune_journal_bytes', 'By', 'Journal bytes committed to disk.'),
  commitFailures: info('opportune_commit_failures', '{batch}', 'Commits that failed; nothing of them was kept.'),
  duplicateEvents: info('opportune_duplicate_events', '{event}', 'Events answered as duplicates by message id.'),
  refusedType: info('opportune_refused_values', '{message}', REFUSED, { reason: 'type' }),
  refusedRange: info('opportune_refused_values', '{message}', REFUSED, { reason: 'range' }),
  refusedValue: info('opportune_refused_values', '{message}', REFUSED, { reason: 'value' }),
  refusedFormat: info('opportune_refused_values', '{message}', REFUSED, { reason: 'format' }),
  refusedSize: info('opportune_refused_values', '{message}', REFUSED, { reason: 'size' }),
  refusedRequired: info('opportune_refused_values', '{message}', REFUSED, { reason: 'required' }),
  refusedUndeclared: info('opportune_refused_values', '{message}', REFUSED, { reason: 'undeclared' }),
  refusedContradiction: info('opportune_refused_values', '{message}', REFUSED, { reason: 'contradiction' }),
  lettersKept: info(
    'opportune_dead_letters_kept',
    '{message}',
    'Refused messages kept as dead letters; again counts again.',
  ),
  lettersSettled: info(
    'opportune_dead_letters_settled',
    '{message}',
    'Dead letters whose event was taken in after all, told again or mended by its sender.',
  ),
  lettersLostRing: info('opportune_dead_letters_lost', '{message}', LETTER_LOST, { bound: 'person' }),
  lettersLostFull: info('opportune_dead_letters_lost', '{message}', LETTER_LOST, { bound: 'worker' }),
  lettersLostSize: info('opportune_dead_letters_lost', '{message}', LETTER_LOST, { bound: 'size' }),
  lettersLostKeys: info('opportune_dead_letters_lost', '{message}', LETTER_LOST, { bound: 'keys' }),
  flaggedValues: info('opportune_flagged_values', '{value}', FLAGGED),
  keysJoined: info('opportune_joinings', '{key}', JOINING, { outcome: 'joined' }),
  keysUnjoined: info('opportune_joinings', '{key}', JOINING, { outcome: 'unjoined' }),
  keysRefused: info('opportune_joinings', '{key}', JOINING, { outcome: 'refused' }),
  forwardsSent: info('opportune_forwards', '{request}', 'Requests handed between workers.', { direction: 'sent' }),
  forwardsReceived: info('opportune_forwards', '{request}', 'Requests handed between workers.', {
    direction: 'received',
  }),
  learnUpdates: info('opportune_learn_updates', '{update}', 'Outcomes that changed a model.'),
  decisionsHeldOut: info('opportune_decisions_held_out', '{decision}', 'Decisions answered empty for the holdout.'),
  decisionsSuspected: info(
    'opportune_decisions_suspected',
    '{decision}',
    'Decisions answered empty for a suspicion of abuse.',
  ),
  tripsTold: info('opportune_abuse_signs', '{event}', ABUSE, { sign: 'impossible_travel' }),
  devicesTold: info('opportune_abuse_signs', '{event}', ABUSE, { sign: 'shared_device' }),
  decisionsExplored: info('opportune_decisions_explored', '{decision}', 'Decisions in which the policy explored.'),
  decisionsEmpty: info('opportune_decisions_empty', '{decision}', 'Decisions that chose no action.'),
  fallbacksLate: info('opportune_fallbacks', '{decision}', FALLBACK, { because: 'deadline_passed' }),
  fallbacksExpected: info('opportune_fallbacks', '{decision}', FALLBACK, { because: 'deadline_hopeless' }),
  fallbacksRefused: info('opportune_fallbacks', '{decision}', FALLBACK, { because: 'refused' }),
  quotesIssued: info('opportune_quotes_issued', '{quote}', 'Signed price quotes issued.'),
  leasesOpened: info('opportune_leases', '{lease}', LEASE, { event: 'opened' }),
  leasesConfirmed: info('opportune_leases', '{lease}', LEASE, { event: 'confirmed' }),
  leasesReleased: info('opportune_leases', '{lease}', LEASE, { event: 'released' }),
  leasesExpired: info('opportune_leases', '{lease}', LEASE, { event: 'expired' }),
  catalogReloads: info('opportune_catalog_reloads', '{reload}', 'Catalog files offered.', { result: 'accepted' }),
  catalogRefusals: info('opportune_catalog_reloads', '{reload}', 'Catalog files offered.', { result: 'refused' }),
  ticks: info(
    'opportune_ticks',
    '{tick}',
    'Looks of the worker at its timers; standing still, its event loop is stuck.',
  ),
  tracesRecorded: info('opportune_traces_recorded', '{request}', 'Requests kept for tracing.'),
  tracesDropped: info('opportune_traces_dropped', '{request}', 'Requests not traced because the batch was full.'),
} as const satisfies Record<string, MetricInfo>;
export type CounterName = keyof typeof COUNTERS;

/** Gauges: they go up and down. Every one carries the label `shard`. */
export const GAUGES = {
  connections: info('opportune_connections', '{connection}', 'Open connections.'),
  inFlight: info('opportune_in_flight', '{request}', 'Requests accepted and not answered yet.'),
  mailboxDepth: info('opportune_mailbox_depth', '{message}', 'Messages waiting in mailboxes.'),
  profilesResident: info('opportune_profiles_resident', '{profile}', 'Profiles in memory.'),
  slabBytes: info('opportune_slab_bytes', 'By', 'Memory of profile records outside the JavaScript heap.'),
  slabUsedBytes: info('opportune_slab_used_bytes', 'By', 'The part of it in use by records.'),
  heapUsedBytes: info('opportune_heap_used_bytes', 'By', 'JavaScript heap of the worker in use.'),
  subscriptions: info('opportune_subscriptions', '{subscription}', 'Subscriptions whose answer is watched.'),
  gateDepth: info('opportune_gate_depth', '{reply}', 'Replies waiting for their write to be on disk.'),
  leasesOpen: info('opportune_leases_open', '{lease}', 'Leases neither confirmed, released nor expired.'),
  timersPending: info('opportune_timers_pending', '{timer}', 'Timers waiting.'),
  modelEpoch: info('opportune_model_epoch', '{epoch}', 'Version of the models in use.'),
  deadLetters: info('opportune_dead_letters', '{message}', 'Refused messages that are kept.'),
  storeReadOnly: info('opportune_store_read_only', '1', '1 while the store cannot write.'),
  storeBytes: info('opportune_store_bytes', 'By', 'Size of the data file.'),
  eventLoopUtilisation: info('opportune_event_loop_utilisation', '1', "Busy part of the worker's event loop, 0 to 1."),
} as const satisfies Record<string, MetricInfo>;

/** Histograms in seconds beside the RPC one, added up over the workers. */
export const HISTOGRAMS = {
  commitDuration: info('opportune_commit_duration_seconds', 's', 'From closing a batch until it is on disk.'),
  turnDuration: info('opportune_turn_duration_seconds', 's', 'One actor turn, without waiting.'),
  mailboxWait: info('opportune_mailbox_wait_seconds', 's', 'From decoding a request until its turn begins.'),
  forwardDuration: info('opportune_forward_duration_seconds', 's', 'Request to another worker and back.'),
} as const satisfies Record<string, MetricInfo>;

/** Derived from the duration rows. */
export const REQUESTS = info('opportune_requests', '{request}', 'Requests answered, by operation and status.');
/** OpenTelemetry semantic conventions for RPC servers; attributes below. */
export const RPC_DURATION = info('rpc.server.call.duration', 's', 'Duration of a call, as measured by the server.');
export const RPC_ATTRIBUTE = {
  systemName: 'rpc.system.name',
  method: 'rpc.method',
  statusCode: 'rpc.status_code',
} as const;
export const RPC_SYSTEM = 'opportune';

/** About the node as a whole, read on the main thread. */
export const NODE_GAUGES = {
  ready: info('opportune_ready', '1', '1 while the node takes every kind of request.'),
  draining: info('opportune_draining', '1', '1 while the node drains.'),
  auditWritable: info(
    'opportune_audit_writable',
    '1',
    "1 while the audit log can be written; else no person's data is shown.",
  ),
  shardReady: info('opportune_shard_ready', '1', '1 while the shard is ready.'),
  startTime: info('opportune_start_time_seconds', 's', 'When the node started, in seconds since 1970.'),
  residentMemory: info('opportune_resident_memory_bytes', 'By', 'Resident memory of the process.'),
  fitTime: info(
    'opportune_fit_time_seconds',
    's',
    'When the newest fit of facts began, in seconds since 1970; 0: none.',
  ),
  fitGood: info('opportune_fit_good', '1', '1 while the last fit and its results are sound, 0 after one that failed.'),
  fitPeople: info('opportune_fit_people', '{person}', 'People of the newest fit.'),
  fitPending: info('opportune_fit_shards_pending', '{shard}', 'Shards whose people do not all have the newest facts.'),
  catalogActions: info('opportune_catalog_actions', '{action}', 'Actions in the catalog in force.'),
  webhooksPending: info('opportune_webhook_pending', '{delivery}', 'Deliveries of the webhook that wait.'),
  feedVersion: info('opportune_feed_version', '1', 'Version of the last push to a context feed, by feed; 0: none.'),
  feedPushTime: info(
    'opportune_feed_push_time_seconds',
    's',
    'When a context feed was pushed last, by feed, in seconds since 1970; 0: never.',
  ),
  feedRows: info('opportune_feed_rows', '{row}', 'Rows of a context feed that hold, by feed.'),
} as const satisfies Record<string, MetricInfo>;
export const NODE_COUNTERS = {
  shardRestarts: info('opportune_shard_restarts', '{restart}', 'Replacements of the shard worker.'),
  processCpu: info('opportune_process_cpu_seconds', 's', 'Processor time of the process.'),
  ingested: info(
    'opportune_ingested_events',
    '{event}',
    'Events that came by HTTP, by source (segment, cloudevents, json) and outcome (accepted, duplicate, refused, later).',
  ),
  webhooks: info(
    'opportune_webhook_deliveries',
    '{delivery}',
    'Deliveries by webhook and outcome: delivered, skipped, dead, lost; and tries that failed.',
  ),
  feedPushes: info('opportune_feed_pushes', '{push}', 'Pushes to context feeds, by outcome (taken, bad, stale, full).'),
} as const satisfies Record<string, MetricInfo>;

/** Positions for the writer: `writer.add(COUNTER.activations, 1)`. */
export const COUNTER = positions(COUNTERS);
export const GAUGE = positions(GAUGES);
export const HISTOGRAM = positions(HISTOGRAMS);

/** Upper bounds of the buckets, inclusive, in microseconds: 10 µs to 10 s, six a decade. */
export const BUCKET_MICROS: readonly number[] = bucketBounds();
const BUCKET_COUNT = BUCKET_MICROS.length + 1;
const ROW_CELLS = BUCKET_COUNT + 1;

const COUNTER_COUNT = Object.keys(COUNTERS).length;
const GAUGE_COUNT = Object.keys(GAUGES).length;
const HISTOGRAM_COUNT = Object.keys(HISTOGRAMS).length;
const GAUGE_START = COUNTER_COUNT;
const HISTOGRAM_START = GAUGE_START + GAUGE_COUNT;
const DURATION_START = HISTOGRAM_START + HISTOGRAM_COUNT * ROW_CELLS;
const CELL_COUNT = DURATION_START + OP_COUNT * STATUS_COUNT * ROW_CELLS;

/** First bucket worth comparing for values in [2^k, 2^(k+1)) µs: leaves at most three comparisons. */
const FIRST_BUCKET_BY_OCTAVE = new Uint8Array(32);
for (let octave = 0; octave < 32; octave++) {
  const bucket = BUCKET_MICROS.findIndex((bound) => bound >= 2 ** octave);
  FIRST_BUCKET_BY_OCTAVE[octave] = bucket < 0 ? BUCKET_COUNT - 1 : bucket;
}

/** One worker's buffer, zeroed. The main thread makes it and keeps it over replacements of the worker. */
export function createMetricsBuffer(): SharedArrayBuffer {
  return new SharedArrayBuffer(CELL_COUNT * Float64Array.BYTES_PER_ELEMENT);
}

/** Bucket of a duration in microseconds; NaN and negative values go to the first. */
export function bucketOf(micros: number): number {
  if (!(micros > 0)) return 0;
  if (micros > 10_000_000) return BUCKET_COUNT - 1;
  // Bounds are integers, so rounding up keeps `value <= bound` exact and lets the octave be counted in bits.
  const whole = Math.ceil(micros);
  let bucket = FIRST_BUCKET_BY_OCTAVE[31 - Math.clz32(whole)] as number; // index is 0 to 31
  while ((BUCKET_MICROS[bucket] as number) < whole) bucket++; // ends: whole <= the last bound
  return bucket;
}

/** The worker's end. Not shared between threads. */
export class MetricsWriter {
  readonly #cells: Float64Array;

  constructor(buffer: SharedArrayBuffer) {
    this.#cells = cellsOf(buffer);
  }

  /** @param counter a position of `COUNTER`; @param amount at least 0. */
  add(counter: number, amount: number): void {
    this.#bump(counter, amount);
  }

  /** @param gauge a position of `GAUGE`. */
  set(gauge: number, value: number): void {
    this.#cells[GAUGE_START + gauge] = value;
  }

  addToGauge(gauge: number, amount: number): void {
    this.#bump(GAUGE_START + gauge, amount);
  }

  /** One answered request: counts it and records its duration. @param status a position of `STATUS_INDEX`. */
  recordDuration(op: OpNumber | 0, status: number, micros: number): void {
    this.#record(DURATION_START + (op * STATUS_COUNT + status) * ROW_CELLS, micros);
  }

  /** @param histogram a position of `HISTOGRAM`. */
  recordHistogram(histogram: number, micros: number): void {
    this.#record(HISTOGRAM_START + histogram * ROW_CELLS, micros);
  }

  /** A replacement worker begins with nothing open; its counters go on. */
  clearGauges(): void {
    this.#cells.fill(0, GAUGE_START, GAUGE_START + GAUGE_COUNT);
  }

  #bump(cell: number, amount: number): void {
    const cells = this.#cells;
    cells[cell] = (cells[cell] as number) + amount; // positions are within the buffer by construction
  }

  #record(row: number, micros: number): void {
    this.#bump(row + bucketOf(micros), 1);
    if (micros > 0) this.#bump(row + BUCKET_COUNT, micros);
  }
}

export interface HistogramRow {
  /** Length `BUCKET_MICROS.length + 1`; the last counts what is above every bound. */
  readonly counts: readonly number[];
  readonly count: number;
  readonly sumMicros: number;
}

/** The main thread's end, over all workers' buffers in shard order. */
export class MetricsReader {
  readonly #shards: readonly Float64Array[];

  constructor(buffers: readonly SharedArrayBuffer[]) {
    this.#shards = buffers.map(cellsOf);
  }

  get shardCount(): number {
    return this.#shards.length;
  }

  counter(shard: number, counter: number): number {
    return this.#cell(shard, counter);
  }

  gauge(shard: number, gauge: number): number {
    return this.#cell(shard, GAUGE_START + gauge);
  }

  /** Requests answered by one shard. */
  requests(shard: number, op: OpNumber | 0, status: number): number {
    const row = DURATION_START + (op * STATUS_COUNT + status) * ROW_CELLS;
    let count = 0;
    for (let bucket = 0; bucket < BUCKET_COUNT; bucket++) count += this.#cell(shard, row + bucket);
    return count;
  }

  /** Durations of one operation and status over all shards. */
  durations(op: OpNumber | 0, status: number): HistogramRow {
    return this.#row(DURATION_START + (op * STATUS_COUNT + status) * ROW_CELLS);
  }

  /** One histogram over all shards. */
  histogram(histogram: number): HistogramRow {
    return this.#row(HISTOGRAM_START + histogram * ROW_CELLS);
  }

  #cell(shard: number, cell: number): number {
    return this.#shards[shard]?.[cell] ?? 0;
  }

  #row(row: number): HistogramRow {
    const counts = new Array<number>(BUCKET_COUNT).fill(0);
    let count = 0;
    let sumMicros = 0;
    for (const cells of this.#shards) {
      for (let bucket = 0; bucket < BUCKET_COUNT; bucket++) {
        const value = cells[row + bucket] ?? 0;
        counts[bucket] = (counts[bucket] ?? 0) + value;
        count += value;
      }
      sumMicros += cells[row + BUCKET_COUNT] ?? 0;
    }
    return { counts, count, sumMicros };
  }
}

function cellsOf(buffer: SharedArrayBuffer): Float64Array {
  if (buffer.byteLength !== CELL_COUNT * Float64Array.BYTES_PER_ELEMENT) {
    throw new RangeError(`a metrics buffer has ${CELL_COUNT * 8} bytes, not ${buffer.byteLength}`);
  }
  return new Float64Array(buffer);
}

function positions<Table extends Record<string, MetricInfo>>(table: Table): { readonly [Name in keyof Table]: number } {
  const entries = Object.keys(table).map((name, index) => [name, index]);
  return Object.freeze(Object.fromEntries(entries)) as { readonly [Name in keyof Table]: number }; // one entry a key
}

function namesByNumber(): readonly (OpName | 'unknown')[] {
  const names: (OpName | 'unknown')[] = ['unknown'];
  for (const name of Object.keys(OP) as OpName[]) names[OP[name]] = name; // OP's own keys
  return names;
}

function bucketBounds(): readonly number[] {
  const bounds: number[] = [];
  for (let decade = 10; decade < 10_000_000; decade *= 10) {
    for (const step of [1, 1.5, 2, 3, 5, 7]) bounds.push(decade * step);
  }
  bounds.push(10_000_000);
  return bounds;
}
