/**
 * The job after the fits: what the models say of each person becomes facts, segments get names that they keep, and
 * all of it becomes the results' file. A model that was not asked for, or has nothing to say, leaves what the last
 * results say: its facts are taken over by the person's key, its products as they are.
 */

import { FACT_KEY_WORDS, type FactRows } from '../../actors/fact-turn.ts';
import { ProfileIndex } from '../../actors/profile-index.ts';
import { NO_HANDLE } from '../../actors/slab.ts';
import { churnProbability } from '../../decision/batch/churn-model.ts';
import { NO_PRODUCT } from '../../decision/batch/related-products.ts';
import { fitRfmCuts, rfmScore } from '../../decision/batch/rfm.ts';
import { FACTS_OF_MODEL, type FactName } from '../../decision/facts.ts';
import {
  type FitInfo,
  type FitModel,
  type FitResults,
  type ModelReport,
  readFitResults,
  writeFitResults,
} from '../fits/fit-results-file.ts';
import { nameSegments } from '../fits/segment-names.ts';
import type { CollectedPeople } from './collect-people.ts';
import type { FitChurnResult } from './fit-churn.ts';
import type { FitPurchasesResult } from './fit-purchases.ts';
import type { FitRelatedResult } from './fit-related.ts';
import type { FitSegmentsResult } from './fit-segments.ts';

const MINUTE_MILLIS = 60_000;

export interface WriteFactsInput {
  readonly path: string;
  readonly fittedAtEpochMillis: number;
  readonly collected: CollectedPeople;
  /** Of the models that were asked for: how each did. Results of those that are used are below. */
  readonly reports: { readonly [Model in FitModel]?: ModelReport };
  readonly purchases?: FitPurchasesResult;
  readonly segments?: FitSegmentsResult;
  readonly churn?: FitChurnResult;
  readonly related?: FitRelatedResult;
}

export interface WrittenFacts {
  readonly info: FitInfo;
  readonly fileBytes: number;
  /** What is wrong with the results before, or null. */
  readonly damage: string | null;
}

/** @throws the file system's error; then the results before stay. */
export function writeFacts(input: WriteFactsInput): WrittenFacts {
  const { path, collected, fittedAtEpochMillis } = input;
  const before = readFitResults(path);
  const last = typeof before === 'string' ? null : before;
  const columns = new Map<FactName, Float64Array>();
  const column = (name: FactName): Float64Array => {
    const values = new Float64Array(collected.people).fill(Number.NaN);
    columns.set(name, values);
    return values;
  };
  const keys = new Uint32Array(collected.keys);
  if (last !== null) takeOver(last.rows, keys, input, columns);
  const segments = segmentFacts(input, last?.info.segments ?? [], column);
  purchaseFacts(input, column);
  churnFacts(input, column);
  const info: FitInfo = {
    fit: Math.max(Math.floor(fittedAtEpochMillis / 1000), (last?.info.fit ?? 0) + 1),
    fittedAtEpochMillis,
    people: collected.people,
    models: { ...last?.info.models, ...input.reports },
    segments: segments ?? last?.info.segments ?? [],
    related: relatedOf(input) ?? last?.info.related ?? {},
  };
  const results: FitResults = { info, rows: { keys, columns, fit: info.fit } };
  return { info, fileBytes: writeFitResults(path, results), damage: typeof before === 'string' ? before : null };
}

type ColumnOf = (name: FactName) => Float64Array;

/** Facts of the models that say nothing new, as the last results had them. */
function takeOver(
  last: FactRows,
  keys: Uint32Array,
  input: WriteFactsInput,
  columns: Map<FactName, Float64Array>,
): void {
  const stale = Object.entries(FACTS_OF_MODEL).filter(
    ([model]) => input[model as keyof typeof FACTS_OF_MODEL] === undefined,
  ); // its own keys
  const names = stale.flatMap(([, facts]) => [...facts]).filter((name) => last.columns.has(name));
  if (names.length === 0) return;
  const rows = new ProfileIndex();
  for (let at = 0; at < last.keys.length; at += FACT_KEY_WORDS) {
    const [partition = 0, low = 0, high = 0] = last.keys.subarray(at, at + FACT_KEY_WORDS);
    rows.set(partition, low, high, at / FACT_KEY_WORDS);
  }
  const people = keys.length / FACT_KEY_WORDS;
  for (const name of names) columns.set(name, new Float64Array(people).fill(Number.NaN));
  for (let row = 0; row < people; row += 1) {
    const [partition = 0, low = 0, high = 0] = keys.subarray(row * FACT_KEY_WORDS, (row + 1) * FACT_KEY_WORDS);
    const from = rows.find(partition, low, high);
    if (from === NO_HANDLE) continue;
    for (const name of names)
      (columns.get(name) as Float64Array)[row] = (last.columns.get(name) as Float64Array)[from] as number; // both have it
  }
}

function segmentFacts(
  { collected, segments }: WriteFactsInput,
  before: FitInfo['segments'],
  column: ColumnOf,
): FitInfo['segments'] | null {
  const fitted = segments?.segments;
  if (segments === undefined || fitted === undefined || fitted === null) return null;
  const buyers = new Uint32Array(collected.buyerRows);
  const rfm = new Float64Array(collected.rfm);
  const { named, positionOf } = nameSegments(fitted, segments.segmentOfRow, before);
  const cuts = fitRfmCuts({ values: rfm, width: 3 });
  const [segment, recency, frequency, monetary] = FACTS_OF_MODEL.segments.map(column) as [
    Float64Array,
    Float64Array,
    Float64Array,
    Float64Array,
  ]; // four names
  for (const [i, row] of buyers.entries()) {
    segment[row] = positionOf[segments.segmentOfRow[i] as number] as number; // a segment a buyer
    const [days = 0, purchases = 0, money = 0] = rfm.subarray(3 * i, 3 * i + 3);
    const score = rfmScore(cuts, days, purchases, money);
    recency[row] = Math.floor(score / 100);
    frequency[row] = Math.floor(score / 10) % 10;
    monetary[row] = score % 10;
  }
  return named;
}

function purchaseFacts({ collected, purchases }: WriteFactsInput, column: ColumnOf): void {
  if (purchases === undefined) return;
  const expected = column('expectedPurchases');
  const value = column('lifetimeValueMinor');
  const next = column('nextPurchaseAtEpochMillis');
  const [expectedOf, worthOf, nextOf] = [purchases.expectedPurchases, purchases.values, collected.nextPurchases].map(
    (buffer) => new Float64Array(buffer),
  ) as [Float64Array, Float64Array, Float64Array]; // three columns
  for (const [i, row] of new Uint32Array(collected.buyerRows).entries()) {
    expected[row] = Math.round((expectedOf[i] as number) * 100) / 100; // a number a buyer, as below
    value[row] = Math.min(Math.round(worthOf[i] as number), Number.MAX_SAFE_INTEGER);
    next[row] = Math.round((nextOf[i] as number) / MINUTE_MILLIS) * MINUTE_MILLIS;
  }
}

function churnFacts({ collected, churn }: WriteFactsInput, column: ColumnOf): void {
  if (churn === undefined) return;
  const probability = column('churnProbability');
  const { width, current } = collected.churn;
  const rows = new Float64Array(current);
  for (let row = 0; row < collected.people; row += 1)
    probability[row] =
      Math.round(churnProbability(churn.model, rows.subarray(row * width, row * width + width)) * 1000) / 1000;
}

function relatedOf({ collected, related }: WriteFactsInput): FitInfo['related'] | null {
  if (related === undefined) return null;
  const { skus } = collected;
  const bySku = Object.create(null) as Record<string, [string, number][]>; // a sku may be called __proto__
  for (const [product, sku] of skus.entries()) {
    const found: [string, number][] = [];
    for (let place = 0; place < related.perProduct; place += 1) {
      const other = related.related[product * related.perProduct + place] as number; // in the product's row
      if (other === NO_PRODUCT) break;
      const score = related.scores[product * related.perProduct + place] as number; // as above
      found.push([skus[other] as string, Math.round(score * 1e6) / 1e6]); // a product of the table
    }
    if (found.length > 0) bySku[sku] = found;
  }
  return bySku;
}
