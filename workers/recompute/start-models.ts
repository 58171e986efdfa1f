/**
 * The models a start of the node began with: the snapshot it read, and what the journal says after it, learnt
 * again in the journal's order as `Shard.recover` does. The same for every worker of the start.
 */
import { EFFECT, Effect, EVENT, EVENT_FLAG, TEACHING } from '../../actors/effect.ts';
import { MARK } from '../../actors/journal-marks.ts';
import type { Catalog } from '../../decision/catalog.ts';
import type { ZoneTable } from '../../decision/local-time.ts';
import { type ModelSnapshot, readModelSnapshot, startSnapshotPath } from '../jobs/model-snapshot-file.ts';
import type { NodeSecret } from '../node-secret.ts';
import type { ModelState } from '../shard-models.ts';
import { ERASED } from '../store/journal-blanking.ts';
import type { JournalReader } from '../store/journal-reader.ts';
import { RecomputeModels } from './recompute-models.ts';
import type { RecomputeStore } from './recompute-store.ts';

export interface StartBase {
  readonly state: ModelState;
  /** Whether the journal taught it something beyond the snapshot: then that has a version of its own. */
  readonly isTaught: boolean;
}

export interface StartModelsOptions {
  readonly reader: JournalReader;
  readonly modelPath: string;
  readonly secret: NodeSecret;
  readonly zones: ZoneTable;
}

/** Those that are learnt by looking at the decision they are about. */
const RESPONSE_FLAGS =
  EVENT_FLAG.trial |
  EVENT_FLAG.ripened |
  EVENT_FLAG.response |
  EVENT_FLAG.trialWithResponse |
  EVENT_FLAG.quote |
  EVENT_FLAG.purchase;
export const LESSON_LEFT = 'a decision that was learnt from has left the journal';
export const LESSON_ERASED = 'somebody who had taught the models was erased';

/** Whether a mark says that somebody's lessons are not in the journal any more, or were taken back. */
export function endsLessons(mark: Effect): boolean {
  return mark.type === MARK.forget || (mark.type === MARK.erased && mark.u8[ERASED.hasTaught] === 1);
}

export class StartModels {
  readonly #options: StartModelsOptions;
  readonly #store: RecomputeStore;
  /** Of one start, by catalog version. */
  readonly #bases = new Map<number, StartBase | string>();
  #epoch = 0;

  constructor(options: StartModelsOptions, store: RecomputeStore) {
    this.#options = options;
    this.#store = store;
  }

  /** Models that begin with a state, or with the priors. */
  create(catalog: Catalog, hasPeers: boolean, state: ModelState | undefined): RecomputeModels {
    const { secret, zones } = this.#options;
    return new RecomputeModels({
      catalog,
      store: this.#store,
      seedSecret: secret.seedSecret,
      zoneName: (zone) => zones.zoneName(zone),
      hasPeers,
      ...(state === undefined ? {} : { state }),
    });
  }

  /**
   * What every worker of this start knew when it began: the snapshot, and what the journal says after it, as
   * `Shard.recover` learns it again. Or why that cannot be known.
   */
  baseOf(epoch: number, catalog: Catalog, modelEpoch: number): StartBase | string {
    if (this.#epoch !== epoch) this.#bases.clear();
    this.#epoch = epoch;
    const known = this.#bases.get(catalog.versionHash);
    if (known !== undefined) return known;
    const base = this.#learnBase(catalog, modelEpoch);
    this.#bases.set(catalog.versionHash, base);
    return base;
  }

  #learnBase(catalog: Catalog, modelEpoch: number): StartBase | string {
    let snapshot: ModelSnapshot | null = null;
    if (modelEpoch !== 0) {
      const path = startSnapshotPath(this.#options.modelPath, this.#epoch);
      const read = readModelSnapshot(path);
      if (read === null) return `the model snapshot of start ${this.#epoch}, ${path}, is gone`;
      if (read.snapshot === null) return read.damage.join(' ');
      if (read.snapshot.modelEpoch !== modelEpoch) {
        return `the model snapshot ${path} is version ${read.snapshot.modelEpoch}; start ${this.#epoch} began from version ${modelEpoch}`;
      }
      snapshot = read.snapshot;
    }
    const positions = snapshot?.positions ?? [];
    const models = this.create(catalog, false, snapshot?.state);
    const event = new Effect();
    let isTaught = false;
    /** Stream of an epoch → batch that must come next. */
    const next = new Map(positions.map(({ epoch, stream, batch }) => [`${epoch}:${stream}`, batch]));
    for (const batch of this.#options.reader.read(positions)) {
      if (batch.epoch >= this.#epoch) break;
      const name = `${batch.epoch}:${batch.stream}`;
      // Batches without entries have numbers too, so only what is missing at the front can be told.
      if (!next.has(name) && batch.batch !== 1) {
        return `what start ${this.#epoch} learnt again from start ${batch.epoch} has left the journal in part`;
      }
      next.set(name, batch.batch + 1);
      for (let offset = 0; ; ) {
        const end = event.load(batch.bytes, offset);
        if (end < 0) break;
        offset = end;
        if (endsLessons(event)) return LESSON_ERASED;
        if (event.type !== EFFECT.event || (event.getU32(EVENT.flags) & TEACHING) === 0) continue;
        if (!this.hasLesson(event)) return LESSON_LEFT;
        models.learn(event);
        isTaught = true;
      }
    }
    return { state: models.snapshot(), isTaught };
  }

  /** Whether the decision an event teaches something about is still in the journal. */
  hasLesson(event: Effect): boolean {
    if ((event.getU32(EVENT.flags) & RESPONSE_FLAGS) === 0) return true;
    const position = {
      epoch: event.getU32(EVENT.decisionEpoch),
      stream: event.getU32(EVENT.decisionStream),
      batch: event.getU32(EVENT.decisionBatch),
    };
    const batch = this.#store.readJournal(position);
    // One that was blanked teaches nothing either.
    return batch !== undefined && batch[event.getU32(EVENT.decisionOffset) + 4] === EFFECT.decision;
  }
}
