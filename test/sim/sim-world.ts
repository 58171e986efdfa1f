/**
 * One run of the simulation: time, disk, network, a node, its clients and the checker, stepped one event at a time.
 * A step is one event of the scheduler: a frame arriving at either end, a timer, an immediate, a write landing or
 * being confirmed, a message between workers, an action from outside. After each the checker looks; the first
 * violation ends the run. `hash` is taken over every event and every byte that clients received.
 */
import { textWords } from '../../actors/actor-runtime.ts';
import { DATABASE } from '../../workers/store/environment.ts';
import { LmdbStore } from '../../workers/store/lmdb-store.ts';
import { StoreError } from '../../workers/store/store-error.ts';
import { messageKey } from './journal-entry.ts';
import { INVARIANT } from './model-profile.ts';
import { actionAt, type SimAction } from './sim-action.ts';
import { SimAnswers } from './sim-answers.ts';
import { SimChecker, type Violation } from './sim-checker.ts';
import { SimClient } from './sim-client.ts';
import { SimDisk } from './sim-disk.ts';
import { SimConnection, SimNetwork } from './sim-network.ts';
import { SimNode } from './sim-node.ts';
import { SimRequests } from './sim-requests.ts';
import { EVENT_KIND, NOBODY, SimRandom, SimTime } from './sim-time.ts';

const CLIENTS = 6;
const PROFILES = 24;
/** Promises within promises settle in a few rounds of microtasks. */
const MICROTASK_ROUNDS = 10;
/** Waiting for it lets what is ready run first. */
const SETTLED = Promise.resolve();
const COMPARE_STEPS = 4_000;
const LEASE_STEPS = 500;
const CLOCK_JUMP_MILLIS_MAX = 90_000;

export interface RunResult {
  readonly seed: number;
  readonly steps: number;
  readonly hash: string;
  readonly violation: Violation | null;
  /** Actions made, by kind. */
  readonly actions: ReadonlyMap<string, number>;
  readonly simulatedMillis: number;
  readonly entries: number;
  readonly answers: number;
  readonly refused: number;
  readonly lost: number;
  readonly propensitySums: number;
}

export interface RunOptions {
  readonly seed: number;
  readonly steps: number;
  /** Confirms writes before they are there, see `SimDisk`. */
  readonly isDiskLying?: boolean;
  /** Actions that are left out, by index. */
  readonly isSkipped?: (index: number) => boolean;
  /** Told of each action made. */
  readonly onAction?: (action: SimAction, atMillis: number) => void;
}

export class SimWorld {
  readonly time: SimTime;
  readonly disk: SimDisk;
  readonly network: SimNetwork;
  readonly node: SimNode;
  readonly checker: SimChecker;
  readonly answers: SimAnswers;
  readonly clients: SimClient[] = [];
  readonly actions = new Map<string, number>();
  readonly #options: RunOptions;
  readonly #requests: SimRequests;
  #hash = 0x811c9dc5;
  #nextConnection = 1;
  #isSettling = false;
  /** Workers whose memory was read back since the last step. */
  readonly #toCompare = new Set<number>();

  constructor(options: RunOptions) {
    const { seed } = options;
    this.#options = options;
    this.time = new SimTime(seed);
    this.disk = new SimDisk(this.time, new SimRandom(seed, 2));
    this.disk.isLying = options.isDiskLying === true;
    this.network = new SimNetwork(this.time, new SimRandom(seed, 3));
    this.checker = new SimChecker(
      this.time,
      Array.from({ length: PROFILES }, (_, i) => `person-${i}`),
    );
    this.answers = new SimAnswers(this.checker, this.time);
    this.disk.onLanded = (keys) => this.checker.landed(keys);
    this.node = new SimNode(this.time, new SimRandom(seed, 4), this.disk, this.network, {
      appended: (epoch, stream, batch, bytes, start) => this.checker.appended(epoch, stream, batch, bytes, start),
      readBack: (worker) => {
        this.#toCompare.add(worker.index);
        this.#restless();
      },
      workerDied: (epoch, stream) => {
        this.checker.workerDied(epoch, stream);
        this.#restless();
      },
      turnFailed: (error) => this.checker.report(INVARIANT.fault, `a turn failed: ${textOf(error)}`),
    });
    const words = new Uint32Array(2);
    for (let i = 0; i < CLIENTS; i++) {
      const client = new SimClient(
        1 + i,
        this.time,
        new SimRandom(seed, 10 + i),
        this.checker,
        this.answers,
        (peer, protocol) => this.#dial(peer, protocol),
      );
      client.onBytes = (bytes) => this.#mixBytes(bytes);
      client.keyOf = (messageId) => {
        textWords(messageId, words);
        const key = messageKey(words[0] as number, words[1] as number);
        if (!this.checker.messageWords.has(key))
          this.checker.messageWords.set(key, [words[0] as number, words[1] as number]);
        return key;
      };
      this.clients.push(client);
    }
    this.#requests = new SimRequests(this);
  }

  // ── the run ────────────────────────────────────────────────────────────────────────────────────

  async run(): Promise<RunResult> {
    const { time, checker, node, network } = this;
    const { steps } = this.#options;
    const onRejection = (error: unknown): void =>
      checker.report(INVARIANT.fault, `a promise nobody waits for: ${textOf(error)}`);
    process.on('unhandledRejection', onRejection);
    time.install();
    try {
      node.start(1 + new SimRandom(this.#options.seed, 5).below(3));
      this.#compareRead();
      for (const client of this.clients) client.start();
      this.#scheduleAction(0);
      while (checker.step < steps && checker.violation === null) {
        checker.step++;
        network.step = checker.step;
        const event = time.runNext();
        if (event === null) break;
        this.#mix((event.kind << 24) ^ event.owner ^ Math.floor(time.nowMicros));
        // What the event left to be done at once is done before the next, as Node does it.
        await SETTLED;
        while (time.hasPromises) {
          time.hasPromises = false;
          for (let round = 1; round < MICROTASK_ROUNDS; round++) await SETTLED;
        }
        if (this.#toCompare.size > 0) this.#compareRead();
        checker.afterStep(node);
        if (checker.step % LEASE_STEPS === 0) checker.checkLeaseEnds(node);
        if (checker.step % COMPARE_STEPS === 0) this.#compareAll();
      }
    } catch (error) {
      checker.report(INVARIANT.fault, `the node threw: ${textOf(error)}`);
    } finally {
      time.uninstall();
      // Rejections that nobody waits for are told in the next turn of the real loop.
      await new Promise((resolve) => setImmediate(resolve));
      process.off('unhandledRejection', onRejection);
    }
    return this.#result();
  }

  #result(): RunResult {
    const { checker, answers } = this;
    return {
      seed: this.#options.seed,
      steps: checker.step,
      hash: (this.#hash >>> 0).toString(16).padStart(8, '0'),
      violation: checker.violation,
      actions: this.actions,
      simulatedMillis: this.time.millis,
      entries: checker.entriesChecked,
      answers: answers.okCount,
      refused: answers.refusedCount,
      lost: answers.lostCount,
      propensitySums: checker.propensitySumsChecked,
    };
  }

  #mix(word: number): void {
    this.#hash = Math.imul(this.#hash ^ word, 0x01000193);
    this.#hash ^= this.#hash >>> 15;
  }
  #mixBytes(bytes: Uint8Array): void {
    let hash = this.#hash;
    for (let i = 0; i < bytes.length; i++) hash = Math.imul(hash ^ (bytes[i] as number), 0x01000193); // i < length
    this.#hash = hash;
  }

  #restless(): void {
    this.checker.calmSinceMicros = this.time.nowMicros;
  }

  #compareRead(): void {
    for (const index of this.#toCompare) {
      const worker = this.node.workers[index];
      if (worker === undefined) continue;
      this.checker.readBack(worker, this.node);
      if (!this.node.isStopping) this.checker.compare(worker, this.node);
    }
    this.#toCompare.clear();
  }

  #compareAll(): void {
    // Who stops may have closed its store already; what it wrote is compared when the next start reads it.
    if (this.node.isStopping) return;
    for (const worker of this.node.workers) {
      if (worker !== undefined && !worker.isReadOnly) this.checker.compare(worker, this.node);
    }
  }

  #dial(client: SimClient, subprotocol: string): SimConnection | null {
    const { node } = this;
    if (node.isStopping || node.shards === 0) return null;
    const worker = node.workers[this.network.random.below(node.shards)];
    if (worker === undefined) return null;
    this.time.owner = client.owner;
    const connection = new SimConnection(
      this.network,
      this.#nextConnection++,
      subprotocol,
      worker.listener,
      worker.owner,
      client,
    );
    worker.listener.onOpen(connection);
    return connection;
  }

  // ── actions ────────────────────────────────────────────────────────────────────────────────────

  #scheduleAction(index: number): void {
    const { time } = this;
    const action = actionAt(this.#options.seed, index);
    time.at(time.nowMicros + action.afterMicros, NOBODY, EVENT_KIND.action, () => {
      this.#scheduleAction(index + 1);
      if (this.#options.isSkipped?.(index) === true) return;
      this.actions.set(action.kind, (this.actions.get(action.kind) ?? 0) + 1);
      this.#options.onAction?.(action, time.millis);
      this.#act(action);
    });
  }

  #act(action: SimAction): void {
    const { time, disk, node, network } = this;
    const { random } = action;
    switch (action.kind) {
      case 'cutConnection':
        this.#clientAt(random).connection?.cut();
        return;
      case 'reconnectStorm':
        for (const client of this.clients) client.connection?.cut();
        return;
      case 'garbage':
        this.#clientAt(random).sendGarbage();
        return;
      case 'crashWorker':
        node.crashWorker(random.below(node.shards));
        return;
      case 'powerLoss':
        this.#restart(random, () => node.crash());
        return;
      case 'restart':
        this.#stop(random);
        return;
      case 'holdWorker': {
        const worker = node.workers[random.below(node.shards)];
        if (worker !== undefined) time.hold(worker.owner, random.between(1_000, 400_000));
        this.#restless();
        return;
      }
      case 'slowMachine':
        time.lookMicros = random.between(50, 900);
        this.#later(random.between(5_000, 60_000), () => {
          time.lookMicros = 1;
        });
        return;
      case 'slowDisk':
        disk.latencyFactor = random.between(5, 200);
        this.#later(random.between(50_000, 800_000), () => {
          disk.latencyFactor = 1;
          this.#restless();
        });
        return;
      case 'fullDisk':
        disk.isFull = true;
        this.#later(random.between(10_000, 1_500_000), () => {
          disk.isFull = false;
          this.#restless();
        });
        return;
      case 'failedWrite':
        disk.nextFails = 'error';
        return;
      case 'unconfirmedWrite':
        disk.nextFails = 'unconfirmed';
        return;
      case 'slowNetwork':
        network.delayFactor = random.between(3, 60);
        this.#later(random.between(20_000, 500_000), () => {
          network.delayFactor = 1;
        });
        return;
      case 'clockForward':
        this.#jump(random.between(100, CLOCK_JUMP_MILLIS_MAX));
        return;
      case 'clockBack':
        this.#jump(-random.between(100, CLOCK_JUMP_MILLIS_MAX));
        return;
      case 'leapSecond':
        this.#jump(-1_000);
        return;
      case 'snapshot':
        node.takeSnapshot(random.below(node.shards));
        return;
      case 'trim':
        node.trimJournal(random.below(200) * 4_096);
        return;
      case 'tornValue':
        this.#tear(random);
        return;
      default:
        this.#requests.make(action);
    }
  }

  #clientAt(random: SimRandom): SimClient {
    return this.clients[random.below(CLIENTS)] as SimClient; // below CLIENTS
  }

  #later(micros: number, work: () => void): void {
    this.time.at(this.time.nowMicros + micros, NOBODY, EVENT_KIND.action, work);
  }

  #jump(millis: number): void {
    this.time.wallOffsetMillis += Math.round(millis);
    this.#restless();
  }

  /** Ends the node by `end`, and starts it after a while with as many workers as chance has it. */
  #restart(random: SimRandom, end: () => void): void {
    this.#isSettling = true;
    end();
    const shards = random.chance(0.6) ? this.node.shards : 1 + random.below(3);
    const { epoch } = this.node;
    const tears = random.chance(0.2);
    this.#later(random.between(10_000, 2_000_000), () => {
      if (this.node.epoch !== epoch) return;
      this.#isSettling = false;
      this.#start(shards, tears);
    });
  }

  #start(shards: number, tears: boolean): void {
    const { node, disk } = this;
    disk.isFull = false;
    this.#toCompare.clear();
    const torn = tears ? disk.tear(DATABASE.journal) : null;
    if (torn !== null) {
      try {
        // Either the damage is found, or nothing of it is used: then what is read is right.
        node.start(shards);
        this.#compareRead();
        node.crash();
      } catch (error) {
        this.#expectCorrupt(error);
        node.crash();
      }
      torn.mend();
      this.#toCompare.clear();
    }
    node.start(shards);
    this.#compareRead();
    this.#restless();
  }

  #stop(random: SimRandom): void {
    const { node } = this;
    if (node.isStopping || !node.isUp) return;
    const shards = 1 + random.below(3);
    const { epoch } = node;
    node.stop(() => {
      if (node.epoch !== epoch) return;
      node.forget();
      for (let stream = 0; stream <= node.shards; stream++) this.checker.workerDied(epoch, stream);
      this.#later(random.between(1_000, 500_000), () => {
        if (node.epoch === epoch && !this.#isSettling) this.#start(shards, false);
      });
    });
    // One that does not come to its end, by a full disk or a crash, is ended by who supervises it.
    this.#later(12_000_000, () => {
      if (node.epoch !== epoch || this.#isSettling) return;
      node.crash();
      this.#start(shards, false);
    });
  }

  /** A value torn on disk must be found out by whoever reads it. It is mended afterwards. */
  #tear(random: SimRandom): void {
    const names = [DATABASE.journal, DATABASE.records, DATABASE.cold, DATABASE.meta] as const;
    const name = names[random.below(names.length)] ?? DATABASE.journal;
    const torn = this.disk.tear(name);
    if (torn === null) return;
    this.time.owner = NOBODY;
    const store = LmdbStore.on(this.disk.open(), { epoch: 0xffff_ffff, stream: 0 });
    try {
      if (name === DATABASE.journal) store.scanJournal([], () => {});
      else if (name === DATABASE.records) store.getRecord(torn.key);
      else if (name === DATABASE.cold) store.getCold(torn.key);
      else store.getMeta(Buffer.from(torn.key).toString());
      this.checker.report(INVARIANT.damage, `a torn value of "${name}" was read as if it were whole`);
    } catch (error) {
      this.#expectCorrupt(error);
    }
    torn.mend();
  }

  #expectCorrupt(error: unknown): void {
    if (error instanceof StoreError && error.code === 'CORRUPT') return;
    this.checker.report(INVARIANT.damage, `a torn value is answered with: ${textOf(error)}`);
  }
}

function textOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
