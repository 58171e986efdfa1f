/**
 * The job behind the table of related products: counts baskets, next baskets and sessions from columns in shared
 * memory, and ranks what goes with each product (`decision/related-products.ts`).
 *
 *   products  ▏p p p▏p▏p p▏…      lists one after the other
 *   starts    ▏0    ▏3▏4  ▏…▏n    where each begins, and the end of the last
 */
import {
  RelatedCounts,
  type RelatedTable,
  relatedTable,
  SHRINKAGE_DEFAULT,
} from '../../decision/batch/related-products.ts';

/** Lists of products, unsigned 32-bit numbers: `starts` has one entry more than there are lists. */
export interface ProductLists {
  readonly products: SharedArrayBuffer;
  readonly starts: SharedArrayBuffer;
}

export interface FitRelatedInput {
  /** Products of the catalog. */
  readonly products: number;
  /** Sorted by person, then by time. */
  readonly baskets: ProductLists;
  /** Person of each basket, an unsigned 32-bit number. */
  readonly basketPersons: SharedArrayBuffer;
  /** Time of each basket, doubles, in days. */
  readonly basketDays: SharedArrayBuffer;
  /** What each session viewed, and what of it was bought: as many lists. */
  readonly viewed: ProductLists;
  readonly bought: ProductLists;
  /** A basket within so many days of the person's one before is its next; default 30. */
  readonly nextBasketDaysMax?: number;
  readonly perProduct?: number;
  readonly shrinkage?: number;
}

export interface FitRelatedResult extends RelatedTable {
  readonly baskets: number;
  readonly sessions: number;
  /** Ordered pairs of products met. */
  readonly pairs: number;
}

const NEXT_BASKET_DAYS_DEFAULT = 30;

/** @throws RangeError for products, lists or options out of bounds, naming them */
export function fitRelated(input: FitRelatedInput): FitRelatedResult {
  const { perProduct = 10, shrinkage = SHRINKAGE_DEFAULT, nextBasketDaysMax = NEXT_BASKET_DAYS_DEFAULT } = input;
  if (!(nextBasketDaysMax >= 0)) throw new RangeError(`nextBasketDaysMax ${nextBasketDaysMax}: from 0`);
  const counts = new RelatedCounts(input.products);
  const baskets = listsOf('baskets', input.baskets);
  const persons = new Uint32Array(input.basketPersons);
  const days = new Float64Array(input.basketDays);
  if (persons.length !== baskets.count || days.length !== baskets.count)
    throw new RangeError(`${baskets.count} baskets, ${persons.length} persons, ${days.length} days`);
  for (let basket = 0; basket < baskets.count; basket += 1) {
    const gap = basket > 0 ? (days[basket] as number) - (days[basket - 1] as number) : -1; // both below the count
    const isNext = basket > 0 && persons[basket] === persons[basket - 1] && gap >= 0 && gap <= nextBasketDaysMax;
    counts.addBasket(baskets.at(basket), isNext ? baskets.at(basket - 1) : []);
  }
  const viewed = listsOf('viewed', input.viewed);
  const bought = listsOf('bought', input.bought);
  if (viewed.count !== bought.count) throw new RangeError(`${viewed.count} sessions viewed, ${bought.count} bought`);
  for (let session = 0; session < viewed.count; session += 1) counts.addSession(viewed.at(session), bought.at(session));
  return {
    ...relatedTable(counts, perProduct, shrinkage),
    baskets: baskets.count,
    sessions: viewed.count,
    pairs: counts.pairs,
  };
}

function listsOf(name: string, lists: ProductLists): { count: number; at: (list: number) => Uint32Array } {
  const products = new Uint32Array(lists.products);
  const starts = new Uint32Array(lists.starts);
  const wrong = starts.findIndex((start, list) => start < (list > 0 ? (starts[list - 1] as number) : 0)); // list < length
  if (wrong >= 0 || (starts[0] ?? 0) !== 0 || (starts.at(-1) ?? 0) !== products.length)
    throw new RangeError(`${name}: starts must rise from 0 to the ${products.length} products`);
  return {
    count: Math.max(starts.length - 1, 0),
    at: (list) => products.subarray(starts[list], starts[list + 1]),
  };
}
