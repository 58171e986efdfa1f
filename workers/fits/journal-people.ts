/**
 * What the journal says of each person, in one pass: the numbers that the batch models are fitted to, and which
 * products were viewed and bought. Entries of one person stand in the journal in the order of their turns, so a few
 * running numbers a person do; nothing is kept of an entry but, of views and purchases, its products.
 *
 *   journal entry ─▸ person's row (by the keyed hash; the key itself is in no journal) ─▸ numbers, product lines
 *
 * Memory: some 140 bytes a person and 17 a product line, up to PEOPLE_MAX and LINES_MAX: 660 MB, held in flat arrays
 * outside the JavaScript heap. People beyond it are left out; of product lines the newest stay.
 * Traded away: an event told late, before the person's newest purchase, counts as part of that one.
 */
import { EFFECT, type Effect, EVENT, EVENT_FLAG } from '../../actors/effect.ts';
import { FACT_KEY_WORDS } from '../../actors/fact-turn.ts';
import { CATALOG_MARK, MARK, START_MARK } from '../../actors/journal-marks.ts';
import { ProfileIndex } from '../../actors/profile-index.ts';
import { NO_HANDLE } from '../../actors/slab.ts';
import type { Catalog } from '../../decision/catalog.ts';
import { CYCLE_SLOTS, CYCLE_TOTALS, learnPurchase, PURCHASES, REPEAT_SPEND } from '../../decision/purchase-cycle.ts';
import type { Properties } from '../../proto/messages.ts';
import { murmur3Text } from '../../proto/murmur3.ts';
import { coldCodec } from '../cold-codec.ts';

export const PEOPLE_MAX = 4_194_304;
export const LINES_MAX = 4_194_304;
/** Different products read; a catalog has at most 10,000, and the rest is what callers made up. */
const PRODUCTS_MAX = 20_000;

/** Numbers of a person, behind the CYCLE_SLOTS of `purchase-cycle.ts`. */
export const PERSON = {
  spendMinor: CYCLE_SLOTS,
  firstAt: CYCLE_SLOTS + 1,
  lastAt: CYCLE_SLOTS + 2,
  events: CYCLE_SLOTS + 3,
  /** The same before the cut. */
  lastBefore: CYCLE_SLOTS + 4,
  eventsBefore: CYCLE_SLOTS + 5,
} as const;
export const PERSON_SLOTS = CYCLE_SLOTS + 6;

const LINE = { view: 0, purchase: 1 } as const;
/** Entries of ours, or what was done to the person: no sign that he is still there. */
const NO_BEHAVIOUR = new Set(
  ['confirm', 'seen', 'ripened', 'impression', 'contact'].map((name) => murmur3Text(name, 0)),
);
const HASH = {
  purchase: murmur3Text('purchase', 0),
  refund: murmur3Text('refund', 0),
  view: murmur3Text('view', 0),
} as const;

/** A view or a purchase of one product. Views have `isPurchase` false. */
export interface ProductLine {
  readonly person: number;
  readonly product: number;
  readonly atEpochMillis: number;
  readonly isPurchase: boolean;
}

export interface JournalPeopleOptions {
  /** Later events count as of now. */
  readonly nowEpochMillis: number;
  /** Instant that parts what a churn model is told from what it is to foresee. */
  readonly cutEpochMillis: number;
  /** The catalog in force from a mark on; null when its text is gone. */
  catalogOf(versionHash: number): Catalog | null;
}

export class JournalPeople {
  people = 0;
  /** People beyond PEOPLE_MAX, and purchases in another currency than the catalog's, whose money is left out. */
  peopleLeftOut = 0;
  foreignPurchases = 0;
  events = 0;
  readonly skus: string[] = [];
  readonly totals = new Float64Array(CYCLE_TOTALS);
  readonly #options: JournalPeopleOptions;
  readonly #index = new ProfileIndex();
  readonly #products = new Map<string, number>();
  #keys = new Uint32Array(1024 * FACT_KEY_WORDS);
  #numbers = new Float64Array(1024 * PERSON_SLOTS);
  #linePeople = new Uint32Array(1024);
  #lineProducts = new Uint32Array(1024);
  #lineAts = new Float64Array(1024);
  #lineKinds = new Uint8Array(1024);
  #lines = 0;
  #catalog: Catalog | null = null;

  constructor(options: JournalPeopleOptions) {
    this.#options = options;
  }

  /** Takes one journal entry; those without an event only tell which catalog was in force. */
  add(entry: Effect): void {
    if (entry.type === MARK.start) this.#catalog = this.#options.catalogOf(entry.getU32(START_MARK.catalogVersion));
    else if (entry.type === MARK.catalog)
      this.#catalog = this.#options.catalogOf(entry.getU32(CATALOG_MARK.catalogVersion));
    if (entry.type !== EFFECT.event) return;
    const eventHash = entry.getU32(EVENT.eventHash);
    if (NO_BEHAVIOUR.has(eventHash) || entry.getU32(EVENT.flags) & EVENT_FLAG.restricted) return;
    const row = this.#rowOf(entry);
    if (row < 0) return;
    this.events += 1;
    const at = Math.min(entry.getF64(EVENT.eventAt), this.#options.nowEpochMillis);
    this.#addBehaviour(row * PERSON_SLOTS, at);
    if (eventHash === HASH.purchase) this.#addPurchase(entry, row, at);
    else if (eventHash === HASH.refund) this.#addRefund(entry, row * PERSON_SLOTS);
    else if (eventHash === HASH.view) this.#addLine(row, skuOf(propertiesOf(entry)), at, LINE.view);
  }

  /** The number of a person's slot; `row` below `people`. */
  number(row: number, slot: number): number {
    return this.#numbers[row * PERSON_SLOTS + slot] as number; // rows and slots are in range
  }

  /** All numbers, PERSON_SLOTS a person; valid until the next `add`. */
  get numbers(): Float64Array {
    return this.#numbers;
  }

  /** Keys as `FactRows` has them, in shared memory. */
  keys(): SharedArrayBuffer {
    const shared = new SharedArrayBuffer(this.people * FACT_KEY_WORDS * 4);
    new Uint32Array(shared).set(this.#keys.subarray(0, this.people * FACT_KEY_WORDS));
    return shared;
  }

  /** Product lines by person, then by time, views of one instant before purchases. */
  *lines(): Generator<ProductLine> {
    const kept = Math.min(this.#lines, LINES_MAX);
    const [people, products, ats, kinds] = [this.#linePeople, this.#lineProducts, this.#lineAts, this.#lineKinds];
    const by = (values: { readonly [index: number]: number }, a: number, b: number): number =>
      (values[a] as number) - (values[b] as number); // both below `kept`
    const order = Uint32Array.from({ length: kept }, (_, i) => i).sort(
      (a, b) => by(people, a, b) || by(ats, a, b) || by(kinds, a, b) || a - b,
    );
    for (const i of order) {
      yield {
        person: people[i] as number, // i < kept, as below
        product: products[i] as number,
        atEpochMillis: ats[i] as number,
        isPurchase: kinds[i] === LINE.purchase,
      };
    }
  }

  #rowOf(entry: Effect): number {
    const known = this.#index.find(entry.partition, entry.hashLow, entry.hashHigh);
    if (known !== NO_HANDLE) return known;
    if (this.people >= PEOPLE_MAX) {
      this.peopleLeftOut += 1;
      return -1;
    }
    const row = this.people++;
    if (row * FACT_KEY_WORDS >= this.#keys.length) {
      this.#keys = doubled(this.#keys, new Uint32Array(this.#keys.length * 2));
      this.#numbers = doubled(this.#numbers, new Float64Array(this.#numbers.length * 2));
    }
    this.#keys.set([entry.partition, entry.hashLow, entry.hashHigh, entry.hashCheck], row * FACT_KEY_WORDS);
    this.#index.set(entry.partition, entry.hashLow, entry.hashHigh, row);
    return row;
  }

  #addBehaviour(offset: number, at: number): void {
    const numbers = this.#numbers;
    const events = numbers[offset + PERSON.events] as number; // offset is of a row
    if (events === 0 || at < (numbers[offset + PERSON.firstAt] as number)) numbers[offset + PERSON.firstAt] = at;
    if (events === 0 || at > (numbers[offset + PERSON.lastAt] as number)) numbers[offset + PERSON.lastAt] = at;
    numbers[offset + PERSON.events] = events + 1;
    if (at >= this.#options.cutEpochMillis) return;
    const before = numbers[offset + PERSON.eventsBefore] as number;
    if (before === 0 || at > (numbers[offset + PERSON.lastBefore] as number)) numbers[offset + PERSON.lastBefore] = at;
    numbers[offset + PERSON.eventsBefore] = before + 1;
  }

  #addPurchase(entry: Effect, row: number, at: number): void {
    const properties = propertiesOf(entry);
    const currency = properties?.currency;
    const isForeign = typeof currency === 'string' && this.#catalog !== null && currency !== this.#catalog.currency;
    if (isForeign) this.foreignPurchases += 1;
    const spend = isForeign ? 0 : entry.getF64(EVENT.revenueMinor);
    const offset = row * PERSON_SLOTS;
    learnPurchase(this.#numbers, offset, this.totals, at, spend);
    this.#numbers[offset + PERSON.spendMinor] = this.number(row, PERSON.spendMinor) + spend;
    const items = properties?.items;
    if (Array.isArray(items)) {
      for (const item of items as readonly unknown[]) this.#addLine(row, skuOf(item), at, LINE.purchase);
      return;
    }
    const sku = skuOf(properties) ?? this.#catalog?.productByHash.get(entry.getU32(EVENT.skuHash))?.sku;
    this.#addLine(row, sku, at, LINE.purchase);
  }

  #addRefund(entry: Effect, offset: number): void {
    const refunded = entry.getF64(EVENT.revenueMinor);
    const numbers = this.#numbers;
    numbers[offset + PERSON.spendMinor] = (numbers[offset + PERSON.spendMinor] as number) - refunded; // of a row
    if ((numbers[offset + PURCHASES] as number) > 1)
      numbers[offset + REPEAT_SPEND] = (numbers[offset + REPEAT_SPEND] as number) - refunded;
  }

  #addLine(row: number, sku: string | undefined, at: number, kind: number): void {
    if (sku === undefined) return;
    let product = this.#products.get(sku);
    if (product === undefined) {
      if (this.skus.length >= PRODUCTS_MAX) return;
      product = this.skus.push(sku) - 1;
      this.#products.set(sku, product);
    }
    const line = this.#lines % LINES_MAX;
    if (line >= this.#linePeople.length) {
      this.#linePeople = doubled(this.#linePeople, new Uint32Array(line * 2));
      this.#lineProducts = doubled(this.#lineProducts, new Uint32Array(line * 2));
      this.#lineAts = doubled(this.#lineAts, new Float64Array(line * 2));
      this.#lineKinds = doubled(this.#lineKinds, new Uint8Array(line * 2));
    }
    this.#linePeople[line] = row;
    this.#lineProducts[line] = product;
    this.#lineAts[line] = at;
    this.#lineKinds[line] = kind;
    this.#lines += 1;
  }
}

function doubled<Column extends Uint8Array | Uint32Array | Float64Array>(from: Column, to: Column): Column {
  to.set(from);
  return to;
}

/** What the caller told with the event; undefined where that was too much to be kept. */
function propertiesOf(entry: Effect): Properties | undefined {
  const bytes = entry.getU32(EVENT.propertyBytes);
  if (bytes === 0) return undefined;
  const start = EVENT.name + entry.getU16(EVENT.nameBytes);
  return coldCodec.decodeProperties(entry.u8.slice(start, start + bytes));
}

function skuOf(value: unknown): string | undefined {
  if (typeof value !== 'object' || value === null || !('sku' in value)) return undefined;
  return typeof value.sku === 'string' && value.sku.length <= 64 ? value.sku : undefined;
}
