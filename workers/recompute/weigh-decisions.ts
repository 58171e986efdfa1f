/**
 * What given models would have done at logged decisions: the probability of every action that was allowed, at the
 * person's state of then, under the catalog of then. With it a policy that was never tried is judged on a log.
 *
 *   journal ─ entries ─▸ record, as it was ─┬─▸ decide turn on the models given ─▸ probability of each action
 *                                           └─▸ (the logged choice stays what happened next)
 *
 * Unlike `recompute-decisions.ts` nothing is learnt on the way, so workers need not be read side by side and no
 * snapshot of a start is needed. Reads only, also beside a running node; memory: the records of all persons.
 */
import { ActorRuntime } from '../../actors/actor-runtime.ts';
import { DecideTurn } from '../../actors/decide-turn.ts';
import { formatDecisionId } from '../../actors/decision-id.ts';
import { DECISION, EFFECT, type Effect, follows, MARK_TYPE_MIN } from '../../actors/effect.ts';
import { CATALOG_MARK, FeedMarks, MARK, START_MARK } from '../../actors/journal-marks.ts';
import type { JournalPosition } from '../../actors/store.ts';
import type { ZoneTable } from '../../decision/local-time.ts';
import { WANT } from '../../decision/pipeline.ts';
import { Request } from '../../proto/request.ts';
import { coldCodec } from '../cold-codec.ts';
import type { ModelSnapshot } from '../jobs/model-snapshot-file.ts';
import type { NodeSecret } from '../node-secret.ts';
import { isAfter } from '../recovery.ts';
import { BATCH_MAX } from '../store/journal-key.ts';
import type { JournalReader } from '../store/journal-reader.ts';
import { StreamCursor, streamsOf } from '../store/journal-streams.ts';
import { catalogName, KeptCatalogs } from './kept-catalogs.ts';
import { hadOptOut, LoggedLedger, readLoggedRequest } from './logged-request.ts';
import { RecomputeModels } from './recompute-models.ts';
import { RecomputeStore } from './recompute-store.ts';

/** What the models say of one logged decision. */
export interface WeighedDecision {
  readonly decisionId: string;
  /** Keys of the actions allowed, and the probability of each: 1 in sum, or empty. */
  readonly actions: readonly string[];
  readonly probabilities: Float64Array;
  /** Whether the models may have learnt from what came of it: it was logged before their snapshot was taken. */
  readonly isSeen: boolean;
}

export interface WeighOptions {
  readonly reader: JournalReader;
  readonly secret: NodeSecret;
  readonly zones: ZoneTable;
  readonly models: ModelSnapshot;
  /** Whether the decision is of interest; others cost no more than reading them. */
  readonly isWanted: (decisionId: string) => boolean;
  readonly onDecision: (weighed: WeighedDecision) => void;
  /** Told of a wanted decision of which nothing can be said. */
  readonly onMissing: (decisionId: string, reason: string) => void;
}

/** @throws StoreError `CORRUPT` at a damaged batch of the journal. */
export function weighDecisions(options: WeighOptions): void {
  new Weighing(options).run();
}

class Weighing {
  readonly #options: WeighOptions;
  readonly #store: RecomputeStore;
  readonly #catalogs: KeptCatalogs;
  readonly #ledger = new LoggedLedger();
  readonly #request = new Request();
  readonly #feeds = new FeedMarks();
  #runtime: ActorRuntime | null = null;
  #decideTurn: DecideTurn | null = null;
  #models: RecomputeModels | null = null;
  #catalogHash = 0;

  constructor(options: WeighOptions) {
    this.#options = options;
    this.#store = new RecomputeStore(options.reader);
    this.#catalogs = new KeptCatalogs(options.reader);
  }

  run(): void {
    const { reader } = this.#options;
    let from: readonly JournalPosition[] = [];
    for (;;) {
      const found = streamsOf(reader, from);
      if (found.length === 0) return;
      const passed = found.map((position) => ({ ...position, batch: BATCH_MAX }));
      // A person is in one stream of a start only, so the streams can be read one after the other.
      for (const position of found) this.#readStream(position, new StreamCursor(reader, position, passed));
      from = passed;
    }
  }

  #readStream({ epoch, stream }: JournalPosition, cursor: StreamCursor): void {
    const position = { epoch, stream, batch: 0, offset: 0 };
    while (cursor.advance()) {
      const { entry } = cursor;
      if (entry.type === MARK.start) {
        this.#useCatalog(entry.getU32(START_MARK.catalogVersion));
        this.#runtime?.feeds.clear();
      } else if (entry.type === MARK.feed) this.#takeFeed(entry);
      else if (entry.type === MARK.catalog) this.#useCatalog(entry.getU32(CATALOG_MARK.catalogVersion));
      if (entry.type >= MARK_TYPE_MIN) continue;
      position.batch = cursor.batch;
      position.offset = cursor.entryOffset;
      this.#takeEffect(entry, position);
    }
  }

  #takeFeed(mark: Effect): void {
    const push = this.#feeds.take(mark);
    if (push !== null) this.#runtime?.feeds.apply(push);
  }

  #takeEffect(entry: Effect, position: JournalPosition & { readonly offset: number }): void {
    let problem: string | null = null;
    if (entry.type === EFFECT.decision) problem = this.#useCatalog(entry.getU32(DECISION.catalogVersion));
    const runtime = this.#runtime;
    if (runtime === null) {
      this.#report(entry, problem ?? 'no catalog is in the store');
      return;
    }
    runtime.bindLogged(entry);
    const { stateSeq } = runtime.record;
    const isNext = follows(entry, stateSeq);
    if (!isNext && entry.stateSeq > stateSeq) problem ??= "the person's earlier entries have left the journal";
    if (entry.type === EFFECT.decision && this.#isWanted(entry)) {
      if (problem === null && isNext) this.#weigh(entry, position);
      else this.#report(entry, problem ?? 'it stands in the journal twice');
    }
    if (isNext) runtime.applyLogged(entry, position);
  }

  #weigh(entry: Effect, position: JournalPosition): void {
    const { onDecision, models } = this.#options;
    const { index, consent } = this.#runtime as ActorRuntime; // a catalog is in use
    const { catalog } = index;
    consent.hasOptOut = hadOptOut(entry);
    const request = this.#request;
    readLoggedRequest(entry, catalog, request);
    request.isDryRun = true;
    // What it would cost is another question; when it would be sent decides about quiet hours.
    request.wantMask &= ~WANT.price;
    this.#ledger.see(entry, catalog);
    const actions: string[] = [];
    const probabilities: number[] = [];
    const fault = (this.#decideTurn as DecideTurn).weigh(request, entry.at, ({ key }, probability) => {
      actions.push(key);
      probabilities.push(probability);
    });
    if (fault !== null) this.#report(entry, (this.#runtime as ActorRuntime).message);
    else if (request.count > 1 && actions.length > 1) {
      this.#report(entry, 'several actions were asked for: the probability of each is known, not that of the list');
    } else {
      onDecision({
        decisionId: idOf(entry),
        actions,
        probabilities: Float64Array.from(probabilities),
        isSeen: !isAfter(models.positions, position),
      });
    }
  }

  #isWanted(entry: Effect): boolean {
    return this.#options.isWanted(idOf(entry));
  }

  #report(entry: Effect, reason: string): void {
    if (entry.type === EFFECT.decision && this.#isWanted(entry)) this.#options.onMissing(idOf(entry), reason);
  }

  /** Null, or why this catalog cannot be used; then the one before stays. */
  #useCatalog(versionHash: number): string | null {
    if (this.#runtime !== null && this.#catalogHash === versionHash) return null;
    const index = this.#catalogs.find(versionHash);
    if (index === null) return `the text of catalog ${catalogName(versionHash)} is not in the store`;
    this.#catalogHash = versionHash;
    const { secret, zones, models: snapshot } = this.#options;
    if (this.#runtime === null) {
      this.#models = new RecomputeModels({
        catalog: index.catalog,
        store: this.#store,
        seedSecret: secret.seedSecret,
        zoneName: (zone) => zones.zoneName(zone),
        hasPeers: false,
        state: snapshot.state,
      });
      this.#runtime = new ActorRuntime(
        {
          ...{ store: this.#store, epoch: 0, stream: 0, zones, ledger: this.#ledger, models: this.#models, coldCodec },
          ...{ hashSeeds: secret.hashSeeds, seedSecret: secret.seedSecret, signer: secret.signer },
          memoryBytesMax: Number.POSITIVE_INFINITY,
          idleMillis: Number.POSITIVE_INFINITY,
          ownsPartition: () => true,
        },
        index,
      );
      this.#decideTurn = new DecideTurn(this.#runtime);
    } else {
      this.#models?.setCatalog(index.catalog);
      this.#runtime.setCatalog(index);
      this.#decideTurn?.useCatalog();
    }
    return null;
  }
}

function idOf(entry: Effect): string {
  return formatDecisionId(entry.partition, entry.hashLow, entry.hashHigh, entry.getU32(DECISION.decisionSeq));
}
