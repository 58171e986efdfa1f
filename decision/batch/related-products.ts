/**
 * What goes with a product: a camera brings a tripod, and not another camera. Seen side by side is no sign of that,
 * as people compare what they will buy only one of; so three kinds of evidence are counted a pair of products:
 *
 *   together   in one basket, or in the person's next one (from i to j)            for complements
 *   chance     the same, were baskets filled independently: a(i) n(j) / N          popular products go with nothing
 *   compared   of sessions that viewed both, those that bought i, j, and both      alternatives: both is rarer than chance
 *
 *   n = baskets with the product of all N,  a = n + those of them that another basket followed
 *   cosine(i, j) = together / sqrt(a(i) n(j)),   lift = (together + k) / (chance + k)
 *   keep         = min(1, (both + k) / (bought i × bought j / viewed both + k))
 *   score        = max(0, together − chance) / sqrt(a(i) n(j)) × together / (together + k) × keep
 *
 * Counts are additive: any worker may count a part, in any order, and merging gives what one would have counted. k
 * shrinks pairs that were met few times towards no relation. A pair with keep below 1/2 is one of alternatives and
 * is never related, nor is one met together less than EVIDENCE_MIN times.
 *
 * Sources: cosine over baskets is Linden, Smith and York, "Amazon.com recommendations: item-to-item collaborative
 * filtering", IEEE Internet Computing 2003; shrinkage after Bell and Koren, ICDM 2007; complement against substitute by
 * what was bought and what was only viewed after McAuley, Pandey and Leskovec, KDD 2015. Deviations: the cosine is taken of what
 * exceeds chance, so that what everybody buys is not related to everything.
 */
import { mixHash } from '../features.ts';

export const PRODUCTS_MAX = 2 ** 24;
/** Different products of one basket or session that are read; pairs grow with the square, and such lists are robots'. */
export const BASKET_PRODUCTS_MAX = 64;
export const EVIDENCE_MIN = 3;
export const SHRINKAGE_DEFAULT = 5;
/** Fewer than half as many bought both as chance would have it. */
const ALTERNATIVE_KEEP_MAX = 0.5;
/** In a table: no further product. */
export const NO_PRODUCT = 0xffffffff;

/** Columns of a pair's counts. */
const TOGETHER = 0;
const VIEWED_BOTH = 1;
const BOUGHT_FIRST = 2;
const BOUGHT_BOTH = 3;
const COLUMNS = 4;

/** Counts of ordered pairs, by open addressing in flat arrays: a million pairs are 80 MB and no work for a collector. */
class PairCounts {
  #keys = new Float64Array(1024).fill(-1);
  #counts = new Float64Array(1024 * COLUMNS);
  size = 0;

  add(first: number, second: number, column: number, amount: number): void {
    const key = first * PRODUCTS_MAX + second;
    let slot = this.#slotOf(first, second);
    if (this.#keys[slot] !== key) {
      if (4 * (this.size + 1) > 3 * this.#keys.length) {
        this.#grow();
        slot = this.#slotOf(first, second);
      }
      this.#keys[slot] = key;
      this.size += 1;
    }
    const index = slot * COLUMNS + column;
    this.#counts[index] = (this.#counts[index] as number) + amount; // slot is below the length
  }

  read(first: number, second: number, column: number): number {
    const slot = this.#slotOf(first, second);
    // A slot whose key is another's is empty: its counts are 0.
    return this.#counts[slot * COLUMNS + column] as number; // slot is below the length
  }

  forEach(visit: (first: number, second: number, counts: Float64Array) => void): void {
    for (let slot = 0; slot < this.#keys.length; slot += 1) {
      const key = this.#keys[slot] as number; // slot < length
      if (key < 0) continue;
      const first = Math.floor(key / PRODUCTS_MAX);
      visit(first, key - first * PRODUCTS_MAX, this.#counts.subarray(slot * COLUMNS, slot * COLUMNS + COLUMNS));
    }
  }

  /** The pair's slot, or the empty one it would take. */
  #slotOf(first: number, second: number): number {
    const mask = this.#keys.length - 1;
    const key = first * PRODUCTS_MAX + second;
    let slot = mixHash(first, second) & mask;
    while (this.#keys[slot] !== key && this.#keys[slot] !== -1) slot = (slot + 1) & mask;
    return slot;
  }

  #grow(): void {
    const [keys, counts] = [this.#keys, this.#counts];
    this.#keys = new Float64Array(2 * keys.length).fill(-1);
    this.#counts = new Float64Array(2 * counts.length);
    for (let slot = 0; slot < keys.length; slot += 1) {
      const key = keys[slot] as number; // slot < length
      if (key < 0) continue;
      const first = Math.floor(key / PRODUCTS_MAX);
      const to = this.#slotOf(first, key - first * PRODUCTS_MAX);
      this.#keys[to] = key;
      this.#counts.set(counts.subarray(slot * COLUMNS, slot * COLUMNS + COLUMNS), to * COLUMNS);
    }
  }
}

export interface PairScore {
  /** In [0, 1] for pairs of one basket; above it may rise by next baskets. */
  readonly cosine: number;
  /** Above 1: more often together than by chance. */
  readonly lift: number;
  /** In [0, 1]: 1 nothing speaks for alternatives, 0 nobody who viewed both bought both. */
  readonly keep: number;
  /** >= 0; 0 where the two are not related. */
  readonly score: number;
}

/** What has been counted; products are numbers 0 to products − 1, as the catalog's index has them. */
export class RelatedCounts {
  readonly products: number;
  baskets = 0;
  readonly #bought: Float64Array;
  readonly #before: Float64Array;
  readonly #pairs = new PairCounts();

  /** @throws RangeError unless products is whole, 1 to PRODUCTS_MAX */
  constructor(products: number) {
    if (!(Number.isInteger(products) && products >= 1 && products <= PRODUCTS_MAX))
      throw new RangeError(`products ${products}: a whole number from 1 to ${PRODUCTS_MAX}`);
    this.products = products;
    this.#bought = new Float64Array(products);
    this.#before = new Float64Array(products);
  }

  /** Different pairs met, each counted in both orders. */
  get pairs(): number {
    return this.#pairs.size;
  }

  /**
   * One basket, and the same person's basket before it if that was lately.
   * A product twice counts once; what was in the basket before already is bought again, not brought by it.
   * @throws RangeError naming a product that is none. Cost: 0.1 us a pair.
   */
  addBasket(products: ArrayLike<number>, before: ArrayLike<number> = []): void {
    const basket = this.#distinct('basket', products);
    const earlier = this.#distinct('basket before', before);
    this.baskets += 1;
    for (const first of basket) {
      count(this.#bought, first);
      for (const second of basket) if (first !== second) this.#pairs.add(first, second, TOGETHER, 1);
    }
    for (const first of earlier) count(this.#before, first);
    for (const second of basket) {
      if (earlier.includes(second)) continue;
      for (const first of earlier) this.#pairs.add(first, second, TOGETHER, 1);
    }
  }

  /**
   * One session: what was viewed side by side, and what of it was bought in it or after it (none is as telling).
   * @throws RangeError naming a product that is none. Cost: 0.2 us a pair.
   */
  addSession(viewed: ArrayLike<number>, bought: ArrayLike<number>): void {
    const seen = this.#distinct('viewed', viewed);
    const kept = new Set(this.#distinct('bought', bought));
    for (const first of seen) {
      for (const second of seen) {
        if (first === second) continue;
        this.#pairs.add(first, second, VIEWED_BOTH, 1);
        if (!kept.has(first)) continue;
        this.#pairs.add(first, second, BOUGHT_FIRST, 1);
        if (kept.has(second)) this.#pairs.add(first, second, BOUGHT_BOTH, 1);
      }
    }
  }

  /** Adds what another has counted. @throws RangeError when it counts other products */
  merge(other: RelatedCounts): void {
    if (other.products !== this.products)
      throw new RangeError(`${other.products} products into counts of ${this.products}`);
    this.baskets += other.baskets;
    for (let product = 0; product < this.products; product += 1) {
      count(this.#bought, product, other.#bought[product]);
      count(this.#before, product, other.#before[product]);
    }
    other.#pairs.forEach((first, second, counts) => {
      for (let column = 0; column < COLUMNS; column += 1)
        this.#pairs.add(first, second, column, counts[column] as number); // column < COLUMNS, its length
    });
  }

  /**
   * How `second` goes with `first`; all 0 but keep 1 and lift 1 for pairs never met.
   * @param shrinkage k, > 0. Cost: 0.2 us.
   */
  score(first: number, second: number, shrinkage = SHRINKAGE_DEFAULT): PairScore {
    checkShrinkage(shrinkage);
    for (const product of [first, second]) this.#check('product', product);
    const together = this.#pairs.read(first, second, TOGETHER);
    const viewed = this.#pairs.read(first, second, VIEWED_BOTH);
    const boughtFirst = this.#pairs.read(first, second, BOUGHT_FIRST);
    const boughtSecond = this.#pairs.read(second, first, BOUGHT_FIRST);
    const boughtBoth = this.#pairs.read(first, second, BOUGHT_BOTH);
    const chances = at(this.#bought, first) + at(this.#before, first);
    const bought = at(this.#bought, second);
    const chance = this.baskets > 0 ? (chances * bought) / this.baskets : 0;
    const size = Math.sqrt(chances * bought);
    const keep =
      viewed > 0 ? Math.min((boughtBoth + shrinkage) / ((boughtFirst * boughtSecond) / viewed + shrinkage), 1) : 1;
    const isRelated = first !== second && together >= EVIDENCE_MIN && together > chance && keep >= ALTERNATIVE_KEEP_MAX;
    return {
      cosine: size > 0 ? together / size : 0,
      lift: (together + shrinkage) / (chance + shrinkage),
      keep,
      score: isRelated ? ((together - chance) / size) * (together / (together + shrinkage)) * keep : 0,
    };
  }

  /** Visits each pair that was met together at least EVIDENCE_MIN times. */
  forEachPair(visit: (first: number, second: number) => void): void {
    this.#pairs.forEach((first, second, counts) => {
      if ((counts[TOGETHER] as number) >= EVIDENCE_MIN) visit(first, second); // four columns
    });
  }

  #distinct(name: string, products: ArrayLike<number>): number[] {
    const distinct: number[] = [];
    for (let i = 0; i < products.length && distinct.length < BASKET_PRODUCTS_MAX; i += 1) {
      const product = products[i] as number; // i < length
      this.#check(name, product);
      if (!distinct.includes(product)) distinct.push(product);
    }
    return distinct;
  }

  #check(name: string, product: number): void {
    if (!(Number.isInteger(product) && product >= 0 && product < this.products))
      throw new RangeError(`${name}: ${product} is no product below ${this.products}`);
  }
}

/** What goes with each product, best first: row p of `perProduct` entries from p × perProduct on. */
export interface RelatedTable {
  readonly perProduct: number;
  /** NO_PRODUCT after the last. */
  readonly related: Uint32Array;
  /** Of `related`, falling; 0 after the last. */
  readonly scores: Float64Array;
}

/**
 * The table that is looked up at decide: complete and ready-made, so that a lookup is an index.
 *
 * @param perProduct related products kept of each, 1 to 100; default 10
 * @param shrinkage k, > 0; default 5
 * @returns the same for the same counts, in whatever order they were met: ties go to the lower number
 * Draws: none. Cost: 2 us a pair.
 */
export function relatedTable(counts: RelatedCounts, perProduct = 10, shrinkage = SHRINKAGE_DEFAULT): RelatedTable {
  if (!(Number.isInteger(perProduct) && perProduct >= 1 && perProduct <= 100))
    throw new RangeError(`perProduct ${perProduct}: a whole number from 1 to 100`);
  checkShrinkage(shrinkage);
  const related = new Uint32Array(counts.products * perProduct).fill(NO_PRODUCT);
  const scores = new Float64Array(counts.products * perProduct);
  counts.forEachPair((first, second) => {
    const { score } = counts.score(first, second, shrinkage);
    if (!(score > 0)) return;
    const start = first * perProduct;
    let place = start + perProduct;
    const isBefore = (index: number): boolean =>
      score > at(scores, index) || (score === at(scores, index) && second < (related[index] as number)); // in the row
    while (place > start && isBefore(place - 1)) place -= 1;
    if (place === start + perProduct) return;
    related.copyWithin(place + 1, place, start + perProduct - 1);
    scores.copyWithin(place + 1, place, start + perProduct - 1);
    related[place] = second;
    scores[place] = score;
  });
  return { perProduct, related, scores };
}

function checkShrinkage(shrinkage: number): void {
  if (!(shrinkage > 0 && shrinkage <= 1e12)) throw new RangeError(`shrinkage ${shrinkage}: above 0, at most 1e12`);
}

function count(values: Float64Array, index: number, amount = 1): void {
  values[index] = at(values, index) + amount;
}

function at(values: Float64Array, index: number): number {
  return values[index] as number; // products are checked
}
