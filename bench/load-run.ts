/**
 * One generator's run of one plan, from connect to result. Goals: a request's latency is counted from
 * the instant it was due (Gil Tene's coordinated omission: a server that stalls must not be spared the
 * requests it delayed); the generator's own lateness is measured beside it; the hot path allocates
 * nothing. Non-goals: realistic user sessions, TLS, reconnecting.
 *
 *     tick: due ≤ now? ──▶ lane with room ──▶ patch template ──▶ flush all lanes (one write each)
 *       ▲                     └ none: wait, still counting from the due time ("held back")
 *       └─ a nap of 0.1 ms at most while the next is due within 2 ms, else a timer
 *
 * `open` paces by the clock. `closed` sends the next frame when a reply comes; it finds peak throughput
 * and says nothing about latency at a given rate.
 */
import { PARTITION_COUNT } from '../proto/limits.ts';
import { partitionOfKey } from '../proto/partition.ts';
import { monotonicMicros } from '../workers/clock.ts';
import { type FrameTemplate, MESSAGE_DIGITS, profileKey } from './frame-template.ts';
import { GeneratorWatch } from './generator-watch.ts';
import { KeyChooser } from './key-chooser.ts';
import { LatencyHistogram, prepareHistograms } from './latency-histogram.ts';
import { firstMessage, type LaneNumbers, LoadLane } from './load-lane.ts';
import { LOAD_OPERATIONS, type LoadPlan, type LoadProgress, type LoadResult, type ShardTarget } from './load-plan.ts';
import { type LoadRequests, loadRequests } from './load-requests.ts';
import { LoadSocket } from './load-socket.ts';
import { LoadTally } from './load-tally.ts';
import { arrayItems, arrayLength, ReplyScanner, skipValue } from './reply-scanner.ts';

/** Nearer than this the loop spins: a timer fires up to a millisecond late. */
const SPIN_MICROS = 2_000;
/**
 * In between the thread naps instead of burning its core: where generator and server share the machine's
 * processors, a spinning generator takes from the server what it then blames it for. A nap delays a send
 * or a reply by its own length at most, and is counted as a turn of the loop.
 */
const NAP_MICROS_MIN = 60;
const NAP_MICROS_MAX = 100;
/** Naps end late by about this much. */
const NAP_SLACK_MICROS = 55;
const NAP = new Int32Array(new SharedArrayBuffer(4));
const CONNECTS_AT_A_TIME = 64;

export class LoadRun implements LaneNumbers {
  readonly #plan: LoadPlan;
  readonly #requests: LoadRequests;
  readonly #keys: KeyChooser;
  /** Partition of each profile, for lanes that ask one shard only. */
  readonly #partitions: Uint8Array;
  readonly #lanes: LoadLane[] = [];
  readonly #scanner = new ReplyScanner();
  readonly #watch = new GeneratorWatch();
  readonly #tally = new LoadTally();
  readonly #second = new LatencyHistogram();
  readonly #disconnects = new Map<string, { code: number; reason: string; count: number }>();
  readonly #engine: 'wasm' | 'javascript';
  readonly #microsPerFrame: number;
  readonly #wantsDecisions: boolean;
  #nextMessage: number;
  #position = 0;
  #lane = 0;
  #issued = 0;
  #inFlight = 0;
  #openLanes = 0;
  #startMicros = 0;
  #measureFromMicros = 0;
  #endMicros = Number.POSITIVE_INFINITY;
  #nextDueMicros = 0;
  #lastTickMicros = 0;
  #readMicros = 0;
  #hadWork = false;
  #wasAsleep = false;
  #isSending = false;
  #isMeasuring = false;
  #answeredThisSecond = 0;
  #failedThisSecond = 0;
  #sentBytesBefore = 0;
  #receivedBytesBefore = 0;
  #finished: (() => void) | null = null;
  #drainTimer: NodeJS.Timeout | null = null;

  private constructor(plan: LoadPlan, engine: 'wasm' | 'javascript') {
    this.#plan = plan;
    this.#engine = engine;
    this.#requests = loadRequests(plan.request);
    this.#keys = new KeyChooser(plan.keys);
    this.#partitions = plan.shards === null ? new Uint8Array(0) : partitionsOfProfiles(plan.keys.profiles);
    this.#nextMessage = firstMessage(plan.processIndex);
    this.#microsPerFrame = (1_000_000 * this.#requests.requestsPerFrame) / plan.ratePerSecond;
    this.#wantsDecisions = plan.request.scenario === 'mixed' && plan.request.decisionIdBytes > 0;
  }

  /** Opens every connection. Rejects with ConnectError when one cannot be had; none is left open then. */
  static async connect(plan: LoadPlan): Promise<LoadRun> {
    const run = new LoadRun(plan, await prepareHistograms());
    try {
      for (let first = 0; first < plan.connections; first += CONNECTS_AT_A_TIME) {
        const count = Math.min(CONNECTS_AT_A_TIME, plan.connections - first);
        await Promise.all(Array.from({ length: count }, (_, i) => run.#connectLane(first + i)));
      }
    } catch (error) {
      run.close();
      throw error;
    }
    return run;
  }

  async #connectLane(number: number): Promise<void> {
    const plan = this.#plan;
    const shard = plan.shards === null ? null : (plan.shards[number % plan.shards.length] ?? null);
    const perFrame = this.#requests.requestsPerFrame;
    let lane: LoadLane | null = null;
    const socket = await LoadSocket.connect(
      { url: shard?.url ?? plan.url, token: plan.token },
      {
        readBegin: () => {
          this.#readMicros = monotonicMicros();
          this.#hadWork = true;
        },
        readEnd: () => {
          if (lane !== null && plan.loop === 'closed' && this.#isSending) this.#refill(lane);
        },
        message: (bytes, start, end) => {
          if (lane !== null) this.#message(lane, bytes, start, end);
        },
        closed: (code, reason) => this.#closed(code, reason),
      },
    );
    const slots = plan.loop === 'closed' ? plan.inFlight * perFrame : Math.max(plan.inFlight, perFrame);
    lane = new LoadLane(socket, slots, plan.request.decisionIdBytes, shard === null ? null : ownedPartitions(shard));
    this.#lanes.push(lane);
    this.#openLanes += 1;
  }

  /** Runs the plan once. Resolves when the last reply came or the drain ended; connections are closed then. */
  async run(report: (progress: LoadProgress) => void = () => {}): Promise<LoadResult> {
    const plan = this.#plan;
    // A whole number, so that whole intervals add up exactly and the last request is not a matter of rounding.
    this.#startMicros = Math.floor(monotonicMicros());
    this.#measureFromMicros = this.#startMicros + plan.warmupMillis * 1000;
    if (plan.requestCount === null) this.#endMicros = this.#measureFromMicros + plan.measureMillis * 1000;
    // Processes share the rate; their phases interleave instead of sending in the same instant.
    this.#nextDueMicros = this.#startMicros + (this.#microsPerFrame * plan.processIndex) / plan.processCount;
    this.#lastTickMicros = this.#startMicros;
    this.#isSending = true;
    const live = plan.isLive ? setInterval(() => this.#report(report), 1000) : null;
    await new Promise<void>((resolve) => {
      this.#finished = resolve;
      if (plan.loop === 'open') this.#tick();
      else this.#beginClosed();
    });
    const result = this.#result();
    if (live !== null) clearInterval(live);
    this.close();
    return result;
  }

  close(): void {
    for (const lane of this.#lanes) lane.socket.close();
  }

  nextProfile(owned: Uint8Array | null): number {
    if (owned === null) return this.#keys.next();
    for (;;) {
      // Drawn again until it is one of this shard's: the mix of keys stays the same over all lanes together.
      const profile = this.#keys.next();
      if (owned[this.#partitions[profile] as number] === 1) return profile; // in range: below plan.keys.profiles
    }
  }

  nextMessage(): number {
    this.#nextMessage += 1;
    return this.#nextMessage % 10 ** MESSAGE_DIGITS;
  }

  // ---- open loop ----

  readonly #tick = (): void => {
    const now = monotonicMicros();
    this.#sawTurn(now);
    const before = this.#lastTickMicros;
    this.#lastTickMicros = now;
    if (!this.#isMeasuring && now >= this.#measureFromMicros) this.#beginMeasuring();
    const dueUntil = Math.min(now, this.#endMicros);
    while (this.#nextDueMicros < dueUntil) {
      const lane = this.#laneWithRoom();
      if (lane === null) break;
      const due = this.#nextDueMicros;
      this.#nextDueMicros += this.#microsPerFrame;
      this.#send(lane, due);
      if (due >= this.#measureFromMicros) {
        // Due before the last tick and not sent there: every lane was full. That is the server's lateness.
        if (due < before) this.#tally.heldBackCount += this.#requests.requestsPerFrame;
        else this.#watch.slip(now - due);
      }
    }
    for (const lane of this.#lanes) lane.socket.flush();
    if (now >= this.#endMicros || this.#openLanes === 0) {
      this.#drain();
      return;
    }
    const wait = Math.min(this.#nextDueMicros, this.#endMicros) - now;
    this.#wasAsleep = wait > SPIN_MICROS;
    if (this.#wasAsleep) setTimeout(this.#tick, Math.floor((wait - SPIN_MICROS) / 1000));
    else {
      if (wait > NAP_MICROS_MIN) this.#nap(Math.min(wait - NAP_SLACK_MICROS, NAP_MICROS_MAX));
      setImmediate(this.#tick);
    }
  };

  #nap(micros: number): void {
    const before = monotonicMicros();
    Atomics.wait(NAP, 0, 0, micros / 1000);
    this.#watch.napped(monotonicMicros() - before);
  }

  #sawTurn(now: number): void {
    const micros = now - this.#lastTickMicros;
    if (this.#wasAsleep) this.#watch.slept(micros);
    else this.#watch.turn(micros, this.#hadWork);
    this.#hadWork = false;
  }

  #laneWithRoom(): LoadLane | null {
    for (let tried = 0; tried < this.#lanes.length; tried += 1) {
      this.#lane = this.#lane + 1 === this.#lanes.length ? 0 : this.#lane + 1;
      const lane = this.#lanes[this.#lane] as LoadLane; // in range: reset above
      if (lane.hasRoom(this.#requests.requestsPerFrame)) return lane;
    }
    return null;
  }

  // ---- closed loop ----

  #beginClosed(): void {
    if (this.#plan.warmupMillis === 0) this.#beginMeasuring();
    else setTimeout(() => this.#beginMeasuring(), this.#plan.warmupMillis);
    if (this.#plan.requestCount === null) {
      setTimeout(() => this.#drain(), this.#plan.warmupMillis + this.#plan.measureMillis);
    }
    for (const lane of this.#lanes) this.#refill(lane);
  }

  #refill(lane: LoadLane): void {
    const perFrame = this.#requests.requestsPerFrame;
    const count = this.#plan.requestCount;
    let now = 0;
    while (lane.hasRoom(perFrame) && (count === null || this.#issued < count)) {
      if (now === 0) now = monotonicMicros();
      this.#send(lane, now);
    }
    lane.socket.flush();
    if (count !== null && this.#issued >= count && this.#isSending) this.#drain();
  }

  // ---- both ----

  #send(lane: LoadLane, dueMicros: number): void {
    const position = this.#position;
    this.#position = position + 1 === this.#requests.cycle.length ? 0 : position + 1;
    const cycle = lane.hasDecision ? this.#requests.cycle : this.#requests.withoutDecision;
    const template = cycle[position] as FrameTemplate; // in range: reset above
    lane.append(template, dueMicros, this);
    this.#hadWork = true;
    this.#inFlight += this.#requests.requestsPerFrame;
    this.#issued += this.#requests.requestsPerFrame;
    if (dueMicros >= this.#measureFromMicros) this.#tally.sentCount += this.#requests.requestsPerFrame;
  }

  #message(lane: LoadLane, bytes: Uint8Array, start: number, end: number): void {
    const count = arrayLength(bytes, start, end);
    if (count < 0) {
      this.#reply(lane, bytes, start, end);
      return;
    }
    let at = arrayItems(bytes, start);
    for (let i = 0; i < count; i += 1) {
      const after = skipValue(bytes, at, end);
      if (after < 0) {
        this.#tally.unexpectedReplies += 1;
        return;
      }
      this.#reply(lane, bytes, at, after);
      at = after;
    }
  }

  #reply(lane: LoadLane, bytes: Uint8Array, start: number, end: number): void {
    const scanner = this.#scanner;
    const slot = scanner.scan(bytes, start, end) ? lane.settle(scanner.id) : -1;
    if (slot < 0) {
      this.#tally.unexpectedReplies += 1;
      // Counted, and its reason kept: a server that refuses without an id would otherwise stay a riddle.
      if (!scanner.isOk) this.#tally.check.failed(bytes, start, end);
      return;
    }
    this.#inFlight -= 1;
    const intended = lane.intendedMicros[slot] as number; // in range: settle returned it
    const operation = lane.operations[slot] as number; // likewise
    const micros = this.#readMicros - intended;
    if (this.#plan.isLive) {
      if (scanner.isOk) this.#answeredThisSecond += 1;
      else this.#failedThisSecond += 1;
      this.#second.record(micros);
    }
    if (this.#wantsDecisions && scanner.decisionIdStart >= 0) {
      lane.remember(lane.profiles[slot] as number, bytes, scanner.decisionIdStart, scanner.decisionIdEnd); // in range: likewise
    }
    if (intended >= this.#measureFromMicros && intended < this.#endMicros) {
      if (scanner.isOk) this.#tally.succeeded(operation, micros, scanner.serverMicros, bytes, start, end);
      else this.#tally.failed(micros, bytes, start, end);
    }
    if (!this.#isSending && this.#inFlight === 0) this.#finish();
  }

  #beginMeasuring(): void {
    if (this.#isMeasuring || this.#finished === null) return;
    this.#isMeasuring = true;
    if (this.#plan.loop === 'closed') {
      this.#measureFromMicros = monotonicMicros();
      if (this.#plan.requestCount === null) this.#endMicros = this.#measureFromMicros + this.#plan.measureMillis * 1000;
    }
    this.#sentBytesBefore = this.#sumBytes((lane) => lane.socket.sentBytes);
    this.#receivedBytesBefore = this.#sumBytes((lane) => lane.socket.receivedBytes);
    this.#watch.begin();
  }

  /** No more is sent; what is in flight may still be answered. */
  #drain(): void {
    if (!this.#isSending) return;
    this.#isSending = false;
    // Nobody is left to send to, or the loop paces itself: what was not due by now never will be.
    if (this.#openLanes === 0 || this.#plan.requestCount !== null || this.#plan.loop === 'closed') {
      this.#endMicros = Math.min(this.#endMicros, monotonicMicros());
    }
    if (this.#inFlight === 0 || this.#openLanes === 0) this.#finish();
    else this.#drainTimer = setTimeout(() => this.#finish(), this.#plan.drainMillis);
  }

  #finish(): void {
    const finished = this.#finished;
    this.#finished = null;
    if (this.#drainTimer !== null) clearTimeout(this.#drainTimer);
    finished?.();
  }

  #closed(code: number, reason: string): void {
    if (this.#finished === null) return;
    const name = `${code} ${reason}`;
    const known = this.#disconnects.get(name);
    if (known === undefined) this.#disconnects.set(name, { code, reason, count: 1 });
    else known.count += 1;
    this.#openLanes -= 1;
    if (this.#openLanes > 0) return;
    if (this.#plan.loop === 'closed' && this.#isSending) this.#drain();
    else if (!this.#isSending) this.#finish();
  }

  #report(report: (progress: LoadProgress) => void): void {
    report({
      elapsedMillis: (monotonicMicros() - this.#startMicros) / 1000,
      answered: this.#answeredThisSecond,
      failed: this.#failedThisSecond,
      inFlight: this.#inFlight,
      p50Micros: this.#second.percentile(50),
      p99Micros: this.#second.percentile(99),
    });
    this.#answeredThisSecond = 0;
    this.#failedThisSecond = 0;
    this.#second.reset();
  }

  #sumBytes(read: (lane: LoadLane) => number): number {
    return this.#lanes.reduce((total, lane) => total + read(lane), 0);
  }

  #result(): LoadResult {
    const now = monotonicMicros();
    const tally = this.#tally;
    const end = Math.min(now, this.#endMicros);
    const elapsedMicros = Math.max(1, end - this.#measureFromMicros);
    const generator = this.#watch.end(now - this.#measureFromMicros);
    for (const lane of this.#lanes) {
      lane.forEachInFlight((slot) => {
        const intended = lane.intendedMicros[slot] as number; // in range: a slot
        if (intended < this.#measureFromMicros || intended >= this.#endMicros) return;
        tally.unanswered(lane.operations[slot] as number, now - intended); // in range: a slot
      });
    }
    if (this.#plan.loop === 'open') {
      for (
        let due = Math.max(this.#nextDueMicros, this.#measureFromMicros);
        due < this.#endMicros;
        due += this.#microsPerFrame
      ) {
        for (let i = 0; i < this.#requests.requestsPerFrame; i += 1) tally.unsent(now - due);
      }
    }
    return {
      intended: tally.sentCount + tally.unsentCount,
      sent: tally.sentCount,
      succeeded: tally.succeededCount,
      failed: tally.failedCount,
      unsent: tally.unsentCount,
      unanswered: tally.unansweredCount,
      heldBack: tally.heldBackCount,
      unexpectedReplies: tally.unexpectedReplies,
      measuredMillis: elapsedMicros / 1000,
      sentBytes: this.#sumBytes((lane) => lane.socket.sentBytes) - this.#sentBytesBefore,
      receivedBytes: this.#sumBytes((lane) => lane.socket.receivedBytes) - this.#receivedBytesBefore,
      latency: tally.latency.encode(),
      latencyByOperation: Object.fromEntries(
        LOAD_OPERATIONS.map((name, i) => [name, tally.byOperation[i]?.encode()] as const).flatMap(
          ([name, histogram]) => (histogram === undefined || histogram.count === 0 ? [] : [[name, histogram] as const]),
        ),
      ),
      failureLatency: tally.failureLatency.encode(),
      serverTime: tally.serverTime.encode(),
      errors: tally.check.errors,
      disconnects: [...this.#disconnects.values()],
      answers: tally.check.sample,
      checksum: tally.check.checksum,
      generator,
      histogramEngine: this.#engine,
    };
  }
}

function partitionsOfProfiles(profiles: number): Uint8Array {
  return Uint8Array.from({ length: profiles }, (_, profile) => partitionOfKey(profileKey(profile)));
}

function ownedPartitions(shard: ShardTarget): Uint8Array {
  const owned = new Uint8Array(PARTITION_COUNT);
  for (const partition of shard.partitions) owned[partition] = 1;
  return owned;
}
