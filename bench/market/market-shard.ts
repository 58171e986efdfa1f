/**
 * The product in this process, as one shard's actors use it: decide, track and identify go through the same turns,
 * pipeline and models as on the wire; only sockets and disk are missing. Nothing here knows the truth.
 */
import { ActorRuntime } from '../../actors/actor-runtime.ts';
import { DecideTurn } from '../../actors/decide-turn.ts';
import { EventTurn } from '../../actors/event-turn.ts';
import { ProfileTurn } from '../../actors/profile-turn.ts';
import { advanceRipening } from '../../actors/trial-ripening.ts';
import { CatalogIndex } from '../../decision/catalog-index.ts';
import type { DecideReply, Properties } from '../../proto/messages.ts';
import { Request } from '../../proto/request.ts';
import type { Fault } from '../../proto/statuses.ts';
import { compileCatalog } from '../../workers/catalog/compile-catalog.ts';
import { coldCodec } from '../../workers/cold-codec.ts';
import { deriveSecret } from '../../workers/node-secret.ts';
import { createPriceMemory, PriceTable } from '../../workers/price-table.ts';
import { ShardModels } from '../../workers/shard-models.ts';
import { createLedgerMemory, dealSlots, SharedLedger } from '../../workers/shared-ledger.ts';
import { RecentStore } from '../micro/recent-store.ts';
import { marketCatalogText, traitsOf } from './market-catalog.ts';
import { MARKET_ZONES, type World } from './world.ts';

const SILENT = { mark(): void {} };
const ENCODER = new TextEncoder();

export function profileKey(person: number): string {
  return `person-${person}`;
}

export class MarketShard {
  readonly models: ShardModels;
  readonly #store = new RecentStore(Number.POSITIVE_INFINITY);
  readonly #runtime: ActorRuntime;
  readonly #decideTurn: DecideTurn;
  readonly #eventTurn: EventTurn;
  readonly #request = new Request();
  readonly #keys: readonly Uint8Array[];

  /** Everybody in the world is known by their traits, and nothing else is. The node's secret follows from the seed. */
  constructor(world: World) {
    const catalog = compileCatalog(marketCatalogText(world), 'market.yaml');
    const secretBytes = new Uint8Array(32);
    new DataView(secretBytes.buffer).setUint32(0, world.options.seed);
    const secret = deriveSecret(secretBytes);
    const ledger = new SharedLedger(createLedgerMemory(1), 0);
    ledger.setSubjects(dealSlots([], catalog));
    const prices = new PriceTable(createPriceMemory());
    const zoneName = (zone: number): string => MARKET_ZONES.zoneName(zone);
    this.models = new ShardModels(catalog, this.#store, prices, secret.seedSecret, zoneName, false);
    this.#runtime = new ActorRuntime(
      {
        store: this.#store,
        epoch: 1,
        stream: 0,
        hashSeeds: secret.hashSeeds,
        seedSecret: secret.seedSecret,
        zones: MARKET_ZONES,
        ledger,
        models: this.models,
        signer: secret.signer,
        coldCodec,
        memoryBytesMax: 1 << 30,
        idleMillis: Number.POSITIVE_INFINITY,
        ownsPartition: () => true,
      },
      new CatalogIndex(catalog),
    );
    this.#decideTurn = new DecideTurn(this.#runtime);
    this.#eventTurn = new EventTurn(this.#runtime);
    const profileTurn = new ProfileTurn(this.#runtime);
    this.#keys = Array.from({ length: world.options.people }, (_, person) => ENCODER.encode(profileKey(person)));
    for (let person = 0; person < world.options.people; person++) {
      const request = this.#reset(person);
      request.traits = traitsOf(world, person);
      this.#expectFine(profileTurn.identify(request, world.start));
    }
  }

  /**
   * @param wantMask `WANT` bits
   * @returns the shard's own reply, valid until the next call
   */
  decide(person: number, slot: string, sku: string, channel: string, wantMask: number, now: number): DecideReply {
    const request = this.#reset(person);
    request.slot = slot;
    request.sku = sku;
    request.channel = channel;
    request.wantMask = wantMask;
    advanceRipening(this.#runtime, now, Number.POSITIVE_INFINITY);
    this.#expectFine(this.#decideTurn.run(request, now, SILENT));
    return this.#decideTurn.outcome;
  }

  track(person: number, event: string, decisionId: string, properties: Properties | null, now: number): void {
    const request = this.#reset(person);
    request.event = event;
    request.decisionId = decisionId;
    request.properties = properties;
    this.#expectFine(this.#eventTurn.track(request, now));
  }

  #reset(person: number): Request {
    this.#store.limitBatch();
    const request = this.#request;
    const key = this.#keys[person] as Uint8Array; // person < people
    request.reset(key, 0);
    request.keyBytes = key;
    request.keyStart = 0;
    request.keyLength = key.length;
    return request;
  }

  #expectFine(fault: Fault | null): void {
    if (fault !== null) throw new Error(`market shard: ${fault.status} ${fault.code}: ${this.#runtime.message}`);
  }
}
