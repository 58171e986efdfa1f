/**
 * Baskets and sessions out of what people viewed and bought, as `fit-related.ts` counts them: what was bought within
 * an hour is one basket, what was viewed or bought without a pause of half an hour one session. A session of a single
 * product compares nothing and is left out. Called by `collect-people.ts`.
 */
import { DAY_MILLIS } from '../../decision/purchase-cycle.ts';
import { OCCASION_MILLIS } from '../../decision/purchase-due.ts';
import type { ProductLists } from '../jobs/fit-related.ts';
import type { ProductLine } from './journal-people.ts';

/** The half hour of web analytics. */
const SESSION_PAUSE_MILLIS = 30 * 60_000;

/** As `FitRelatedInput` has them. */
export interface ProductColumns {
  readonly baskets: ProductLists;
  readonly basketPersons: SharedArrayBuffer;
  readonly basketDays: SharedArrayBuffer;
  readonly viewed: ProductLists;
  readonly bought: ProductLists;
}

/** A list after the other, each product once a list. */
class ListBuilder {
  readonly #products: number[] = [];
  readonly #starts = [0];

  get count(): number {
    return this.#starts.length - 1;
  }

  add(products: ReadonlySet<number>): void {
    for (const product of products) this.#products.push(product);
    this.#starts.push(this.#products.length);
  }

  lists(): ProductLists {
    return { products: sharedWords(this.#products), starts: sharedWords(this.#starts) };
  }
}

/**
 * @param lines by person, then by time
 * @returns each product once a basket and once a session
 */
export function productColumns(lines: Iterable<ProductLine>): ProductColumns {
  const [baskets, viewed, bought] = [new ListBuilder(), new ListBuilder(), new ListBuilder()];
  const persons: number[] = [];
  const days: number[] = [];
  let person = -1;
  let basketAt = Number.NEGATIVE_INFINITY;
  let lastAt = Number.NEGATIVE_INFINITY;
  const basket = new Set<number>();
  const views = new Set<number>();
  const buys = new Set<number>();
  const endBasket = (): void => {
    if (basket.size === 0) return;
    baskets.add(basket);
    persons.push(person);
    days.push(basketAt / DAY_MILLIS);
    basket.clear();
  };
  const endSession = (): void => {
    if (views.size > 1) {
      viewed.add(views);
      bought.add(buys);
    }
    views.clear();
    buys.clear();
  };
  for (const line of lines) {
    const isOther = line.person !== person;
    if (isOther || line.atEpochMillis - lastAt > SESSION_PAUSE_MILLIS) endSession();
    if (line.isPurchase || isOther) {
      if (isOther || line.atEpochMillis - basketAt >= OCCASION_MILLIS) {
        endBasket();
        basketAt = line.isPurchase ? line.atEpochMillis : Number.NEGATIVE_INFINITY;
      }
    }
    person = line.person;
    lastAt = line.atEpochMillis;
    // Who buys has seen it, told or not.
    views.add(line.product);
    if (!line.isPurchase) continue;
    basket.add(line.product);
    buys.add(line.product);
  }
  endBasket();
  endSession();
  const basketDays = new SharedArrayBuffer(days.length * Float64Array.BYTES_PER_ELEMENT);
  new Float64Array(basketDays).set(days);
  return {
    baskets: baskets.lists(),
    basketPersons: sharedWords(persons),
    basketDays,
    viewed: viewed.lists(),
    bought: bought.lists(),
  };
}

function sharedWords(values: readonly number[]): SharedArrayBuffer {
  const shared = new SharedArrayBuffer(values.length * Uint32Array.BYTES_PER_ELEMENT);
  new Uint32Array(shared).set(values);
  return shared;
}
