/**
 * Whole turns as a shard runs them, without socket, codec and disk: open the profile, decide or take in an
 * event, apply the effect, journal it into memory. The bench catalog with its 20 actions, profiles whose
 * traits and counters are filled (30 features and more), price and send-time included; the signature of the
 * quote too. The clock goes a millisecond a turn, so leases expire and hours turn as they would.
 */
import { ActorRuntime } from '../../actors/actor-runtime.ts';
import { DecideTurn } from '../../actors/decide-turn.ts';
import { EventTurn } from '../../actors/event-turn.ts';
import { ProfileTurn } from '../../actors/profile-turn.ts';
import { CatalogIndex } from '../../decision/catalog-index.ts';
import { textHash } from '../../proto/murmur3.ts';
import { Request } from '../../proto/request.ts';
import type { Fault } from '../../proto/statuses.ts';
import { coldCodec } from '../../workers/cold-codec.ts';
import { deriveSecret } from '../../workers/node-secret.ts';
import { createPriceMemory, PriceTable } from '../../workers/price-table.ts';
import { ShardModels } from '../../workers/shard-models.ts';
import { createLedgerMemory, dealSlots, SharedLedger } from '../../workers/shared-ledger.ts';
import { createZoneTable } from '../../workers/zone-table.ts';
import { defaultContext } from '../load-requests.ts';
import { benchCatalog, NOW_EPOCH_MILLIS } from './bench-inputs.ts';
import type { MicroCase } from './micro-case.ts';
import { RecentStore } from './recent-store.ts';

const PROFILES = 256;
/** Without history, so that their rings and counters do not fill up under the measurement. */
export const NEW_PROFILES = 8_192;
const EVENTS = ['view', 'search', 'add_to_cart', 'purchase', 'open', 'click'];
const SILENT = { mark(): void {} };

/** Profiles, with every trait set and some of each event behind them unless they are to be new, and a request for each. */
export class TurnBench {
  readonly store = new RecentStore();
  readonly runtime: ActorRuntime;
  readonly decideTurn: DecideTurn;
  readonly eventTurn: EventTurn;
  readonly #requests: Request[] = [];
  #next = 0;
  now = NOW_EPOCH_MILLIS;

  constructor(areNew = false, catalog = benchCatalog(), segment: string | null = null) {
    const zones = createZoneTable(textHash);
    const secret = deriveSecret(new Uint8Array(32).fill(1));
    const ledger = new SharedLedger(createLedgerMemory(1), 0);
    ledger.setSubjects(dealSlots([], catalog));
    const prices = new PriceTable(createPriceMemory());
    const runtime = new ActorRuntime(
      {
        store: this.store,
        epoch: 1,
        stream: 0,
        hashSeeds: secret.hashSeeds,
        seedSecret: secret.seedSecret,
        zones,
        ledger,
        models: new ShardModels(catalog, this.store, prices, secret.seedSecret, (z) => zones.zoneName(z), false),
        signer: secret.signer,
        coldCodec,
        memoryBytesMax: 1 << 30,
        idleMillis: Number.POSITIVE_INFINITY,
        ownsPartition: () => true,
      },
      new CatalogIndex(catalog),
    );
    this.runtime = runtime;
    this.decideTurn = new DecideTurn(runtime);
    this.eventTurn = new EventTurn(runtime);
    const profileTurn = new ProfileTurn(runtime);
    const traits: Record<string, string | number | boolean> = {};
    for (const { name, type, max, values } of catalog.traits) {
      if (type === 'integer' || type === 'number') traits[name] = Math.floor((max ?? 50) / 2);
      else if (type === 'boolean') traits[name] = true;
      else traits[name] = type === 'enum' ? (values[0] ?? '') : type === 'timeZone' ? 'Europe/Berlin' : 'Lisbon';
    }
    const encoder = new TextEncoder();
    for (let n = 0; n < (areNew ? NEW_PROFILES : PROFILES); n++) {
      const request = new Request();
      request.keyBytes = encoder.encode(`bench-${n}`);
      request.keyLength = request.keyBytes.length;
      request.slot = 'home';
      request.sku = 'bench-product';
      request.context = segment === null ? defaultContext(n % 8) : { ...defaultContext(n % 8), segment };
      request.frame = coldCodec.encodeProperties(request.context);
      request.contextEnd = request.frame.length;
      request.traits = traits;
      this.#requests.push(request);
      if (areNew) continue;
      this.expectFine(profileTurn.identify(request, this.now));
      for (const event of EVENTS) this.track(request, event);
    }
  }

  /** The next profile's request; the clock goes on. */
  step(): Request {
    this.store.limitBatch();
    this.now++;
    this.#next = (this.#next + 1) % this.#requests.length;
    return this.#requests[this.#next] as Request; // inside: modulo
  }

  track(request: Request, event: string): void {
    this.store.limitBatch();
    request.event = event;
    this.expectFine(this.eventTurn.track(request, this.now));
  }

  expectFine(fault: Fault | null): void {
    if (fault !== null) throw new Error(`turn: ${fault.status} ${fault.code}`);
  }
}

export const TURN_CASES: readonly MicroCase[] = [
  {
    name: 'turn: decide, 20 actions, price, send-time',
    prepare() {
      const bench = new TurnBench();
      return () => {
        bench.expectFine(bench.decideTurn.run(bench.step(), bench.now, SILENT));
        const { stateSeq, price, actions } = bench.decideTurn.outcome;
        return stateSeq + (price?.priceMinor ?? 0) + actions.length;
      };
    },
  },
  {
    name: 'turn: decide, 20 actions, action only',
    prepare() {
      const bench = new TurnBench();
      return () => {
        const request = bench.step();
        request.wantMask = 1;
        bench.expectFine(bench.decideTurn.run(request, bench.now, SILENT));
        return bench.decideTurn.outcome.stateSeq;
      };
    },
  },
  {
    name: 'turn: track an event with a message id',
    prepare() {
      const bench = new TurnBench(true);
      let n = 0;
      return () => {
        const request = bench.step();
        request.messageId = `message-${n++}`;
        bench.track(request, 'view');
        return bench.eventTurn.isDuplicate ? 1 : 2;
      };
    },
  },
  {
    name: 'turn: decide and its click, learnt',
    prepare() {
      const bench = new TurnBench();
      return () => {
        const request = bench.step();
        request.wantMask = 1;
        request.decisionId = '';
        bench.expectFine(bench.decideTurn.run(request, bench.now, SILENT));
        request.decisionId = bench.decideTurn.outcome.decisionId ?? '';
        bench.track(request, 'click');
        return bench.decideTurn.outcome.stateSeq;
      };
    },
  },
];
