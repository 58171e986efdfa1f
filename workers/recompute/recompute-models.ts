/**
 * The models of one worker while its decisions are computed again: they learn and add as `ShardModels` do, and
 * know the price of a product and hour from the journal's marks, as the worker knew it from the first to draw it.
 */
import type { Store } from '../../actors/store.ts';
import type { Catalog, Product } from '../../decision/catalog.ts';
import type { PricePoint } from '../../decision/price-point.ts';
import type { DrawPrice, HourPrice } from '../price-table.ts';
import { type ModelState, ShardModels } from '../shard-models.ts';

const HOUR_MILLIS = 3_600_000;

export interface RecomputeModelsInput {
  readonly catalog: Catalog;
  readonly store: Pick<Store, 'readJournal'>;
  readonly seedSecret: Uint32Array;
  readonly zoneName: (zone: number) => string;
  readonly hasPeers: boolean;
  readonly state?: ModelState;
}

/** No mark says what the price was. */
export class UnknownPriceError extends Error {}

export class RecomputeModels extends ShardModels {
  readonly #prices = new Map<number, { readonly hour: number; readonly point: PricePoint }>();

  constructor(input: RecomputeModelsInput) {
    const draws = { priceOf: (_slot: number, _hour: number, draw: DrawPrice): HourPrice => draw(-1, -1) };
    super(input.catalog, input.store, draws, input.seedSecret, input.zoneName, input.hasPeers, input.state);
  }

  /** From now on this is the price. */
  see(product: Product, nowEpochMillis: number, price: HourPrice): void {
    const { priceMinor, propensity } = price;
    const promotion = product.promotions[price.promotion]?.key ?? null;
    const point = { priceMinor, maskedPriceMinor: priceMinor, personalised: false, propensity, promotion, explain: {} };
    this.#prices.set(product.hash, { hour: Math.floor(nowEpochMillis / HOUR_MILLIS), point });
  }

  override pricePoint(product: Product, nowEpochMillis: number): PricePoint {
    const seen = this.#prices.get(product.hash);
    if (seen?.hour !== Math.floor(nowEpochMillis / HOUR_MILLIS)) throw new UnknownPriceError();
    return seen.point;
  }
}
