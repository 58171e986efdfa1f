/**
 * After another catalog, looks at the tags of everybody who is stored, a few records at a time between the requests:
 * whose tags were worked out under other rules gets them anew, whether anybody asks for the person or not. Who is asked
 * for meanwhile has theirs from the turn itself (`actors/tag-turn.ts`); this only brings the end about.
 *
 *   every 10 ms, unless requests wait or the disk is behind:  64 records read ─▸ those of other rules: looked at anew
 *
 * Traded away: speed. 6,400 records a second and shard; and who is in memory only waits for their next turn.
 */
import type { ActorRuntime } from '../actors/actor-runtime.ts';
import { NO_HANDLE } from '../actors/slab.ts';
import { STORE_KEY_BYTES } from '../actors/store.ts';
import { storedTagsHash } from '../actors/tag-turn.ts';
import { epochMillis } from './clock.ts';
import type { ShardStore } from './store/shard-store.ts';

const PAUSE_MILLIS = 10;
const RECORDS_A_STEP = 64;

export interface TagFeedOptions {
  readonly runtime: ActorRuntime;
  readonly store: Pick<ShardStore, 'scanRecords'>;
  ownsPartition(partition: number): boolean;
  /** Requests wait, more waits for the disk than may, or nothing can be written: no step is made. */
  isBusy(): boolean;
}

export class TagFeed {
  readonly #options: TagFeedOptions;
  #from: Uint8Array | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: TagFeedOptions) {
    this.#options = options;
  }

  get isRunning(): boolean {
    return this.#from !== undefined;
  }

  /** Begins with the first record, whether a pass was under way or not. */
  begin(): void {
    this.#from = new Uint8Array(STORE_KEY_BYTES);
    this.#timer ??= setInterval(() => this.step(), PAUSE_MILLIS);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#from = undefined;
  }

  /** One step; called by the timer, and by tests that have none. */
  step(): void {
    const { runtime, store, ownsPartition, isBusy } = this.#options;
    if (this.#from === undefined || isBusy()) return;
    const stale: Uint8Array[] = [];
    const { hash } = runtime.index.tags;
    this.#from = store.scanRecords(this.#from, RECORDS_A_STEP, (key, record) => {
      if (ownsPartition(key[2] as number) && storedTagsHash(record) !== hash) stale.push(Uint8Array.from(key));
    });
    for (const key of stale) this.#look(key);
    if (this.#from === undefined) this.stop();
  }

  #look(key: Uint8Array): void {
    const { runtime } = this.#options;
    const view = new DataView(key.buffer, key.byteOffset);
    const [partition, high, low] = [view.getUint8(2), view.getUint32(3), view.getUint32(7)];
    const wasResident = runtime.profiles.find(partition, low, high) !== NO_HANDLE;
    try {
      if (!runtime.openKnown(partition, low, high)) return;
      runtime.expireDue(epochMillis());
      // Many people must not push those out of memory who are asked for.
      if (!wasResident) runtime.passivateBound();
    } catch (error) {
      // A record that cannot be read must not end the pass for the others.
      runtime.reportTurnFailure(error);
    }
  }
}
