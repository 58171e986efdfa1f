/** What moves demand beside the price, from the catalog to the price: learnt, drawn by, recovered and replayed. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { JournalMarks } from '../../actors/journal-marks.ts';
import { CROSS_INPUTS_MAX, summariseCross } from '../../decision/cross-demand.ts';
import { WANT } from '../../decision/pipeline.ts';
import { drawUniform } from '../../decision/random.ts';
import { compileCatalog } from '../../workers/catalog/compile-catalog.ts';
import { deriveSecret } from '../../workers/node-secret.ts';
import { recomputeDecisions } from '../../workers/recompute/recompute-decisions.ts';
import { writeCatalogText } from '../../workers/recovery.ts';
import { JournalReader } from '../../workers/store/journal-reader.ts';
import { temporaryFolder } from '../server/running-node.ts';
import { writeDataFolder } from '../workers/recompute/written-folder.ts';
import { OneShard, SECRET_BYTES, ZONES } from './one-shard.ts';
import { catalogText, NOON } from './test-catalog.ts';

const HOUR = 3_600_000;
const MONEY =
  'listMinor: 1000, floorMinor: 700, ceilingMinor: 1300, costMinor: 500, stepMinor: 1, quoteTtlMillis: 1000';
function catalogWith(inputs: string, more = ''): string {
  return catalogText({
    actions: '{ key: a, channels: [app], valueMinor: 9 }',
    traits: 'age: { type: integer }',
    products: `{ sku: coffee, ${MONEY}${more}${inputs === '' ? '' : `, demandInputs: [${inputs}]`} }, { sku: tea, ${MONEY} }`,
  });
}
const INPUTS =
  '{ context: rivalMinor, usualMinor: 1000 }, { product: tea }, { hour: sine }, { context: warm, mean: 15, scale: 10 }';
const CATALOG = catalogWith(INPUTS);
const QUOTES = 1_500;
/** Truth: sales of one quote at list price, and what a rival half as dear again, warmth and the price do to them. */
const BASE = Math.log(0.3);
const ELASTICITY = 2;
const RIVAL = 1.2;
const WARM = -0.6;
let shard: OneShard;

function ask(on: OneShard, n: number, context: Record<string, number> | null) {
  const now = NOON + n * 0.2 * HOUR;
  const reply = on.decide(
    { profile: `p${n % 50}`, sku: 'coffee', context, wantMask: WANT.price, isExplain: n % 100 === 0 },
    now,
  );
  if (reply.price === undefined) throw new Error('no price');
  return { price: reply.price, explain: reply.explain?.price, decisionId: reply.decisionId ?? '', now };
}

beforeAll(() => {
  shard = new OneShard({ catalog: CATALOG });
  const marks = new JournalMarks(shard.store);
  marks.start(shard.runtime.index.catalog.versionHash, 1, 0, NOON);
  writeCatalogText(shard.store, shard.runtime.index.catalog.version, CATALOG);
  shard.models.onPrice = (seen) => marks.price(seen);
  for (let n = 0; n < QUOTES; n++) {
    const draw = (purpose: number): number => drawUniform(8, n, purpose, 1);
    const context = { rivalMinor: Math.round(700 + 800 * draw(1)), warm: 5 + 20 * draw(2) };
    const { price, decisionId, now } = ask(shard, n, n % 10 === 0 ? null : context);
    const moved = n % 10 === 0 ? 0 : RIVAL * Math.log(context.rivalMinor / 1000) + WARM * ((context.warm - 15) / 10);
    const rate = Math.exp(BASE - ELASTICITY * Math.log(price.priceMinor / 1000) + moved);
    const event = draw(3) < 1 - Math.exp(-rate) ? 'purchase' : 'impression';
    expect(shard.track({ profile: `p${n % 50}`, event: 'impression', decisionId }, now + 1)).toBeNull();
    if (event === 'purchase') shard.track({ profile: `p${n % 50}`, event, decisionId }, now + 2);
    if (n % 50 !== 49) continue;
    shard.models.nameVersion();
    shard.store.commitNow();
    shard.models.nameVersion();
  }
});

describe('demand inputs', () => {
  it('learnt from quotes: effects of known sign and size, a sum that a snapshot holds', () => {
    const [row] = [...shard.models.snapshot().cross.values()];
    const [means, deviations] = [new Float64Array(CROSS_INPUTS_MAX), new Float64Array(CROSS_INPUTS_MAX)];
    summariseCross(row as Float64Array, 0, means, deviations);
    const near = (i: number, truth: number): void => {
      // At most one unit is sold where the model counts them, so effects come out a little flatter.
      expect(Math.abs((means[i] as number) - truth)).toBeLessThan(4 * (deviations[i] as number));
      expect(deviations[i]).toBeLessThan(0.4);
    };
    near(2, RIVAL);
    near(5, WARM);
    // The hour does nothing here, and nobody has asked for tea at another price than the hour's.
    expect(Math.abs(means[4] as number)).toBeLessThan(4 * (deviations[4] as number));
  });

  it('explained: each input with its value and effect', () => {
    const { explain } = ask(shard, QUOTES + 100, { rivalMinor: 1500, warm: 15 });
    const listed = explain?.demandInputs as { kind: string; value: number; effect: number }[];
    expect(listed.map(({ kind }) => kind)).toEqual(['price', 'product', 'hour', 'number']);
    expect(listed[0]?.value).toBeCloseTo(Math.log(1.5), 6);
    expect(listed[0]?.effect).toBeGreaterThan(0.5);
  });

  it('one price an hour: who asks first in the hour tells the world, and all others get that price', () => {
    const one = ask(shard, QUOTES + 200, { rivalMinor: 1400, warm: 20 });
    const two = ask(shard, QUOTES + 201, { rivalMinor: 500, warm: -9 });
    expect(Math.floor(one.now / HOUR)).toBe(Math.floor(two.now / HOUR));
    expect(two.price.priceMinor).toBe(one.price.priceMinor);
  });

  it('a stock to be sold by a day: a dear rival makes it dearer, in the mean over hours', () => {
    const selling = compileCatalog(
      catalogWith(INPUTS, ', stock: 400, sellBy: "2026-07-02T00:00Z", salvageMinor: 100'),
      'x.yaml',
    );
    const [product] = selling.products;
    if (product === undefined) throw new Error('no product');
    const mean = (rival: number): number => {
      const inputs = Float64Array.of(Math.log(rival / 1000), 0, 0, 0, 0, 0);
      const basis = { stockLeft: 200, previousPriceMinor: -1, referencePriceMinor: -1, inputs, ceilingMinor: Infinity };
      let sum = 0;
      for (let n = 0; n < 40; n++) sum += shard.models.drawPrice(product, NOON + (310 + n) * HOUR, basis).priceMinor;
      return sum / 40;
    };
    expect(mean(1500)).toBeGreaterThan(mean(700));
  });

  it('recovery: the same sums, bit for bit', () => {
    expect([...shard.recovered().models.snapshot().cross]).toEqual([...shard.models.snapshot().cross]);
  });

  it('replay: every decision and every drawn price are the same, bit for bit', async () => {
    shard.store.commitNow();
    const folder = temporaryFolder('demand-inputs');
    mkdirSync(join(folder, 'models'));
    await writeDataFolder(folder, shard.disk);
    const reader = JournalReader.open(join(folder, 'store'));
    const differences: unknown[] = [];
    const totals = recomputeDecisions({
      ...{ reader, modelPath: join(folder, 'models', 'model'), secret: deriveSecret(SECRET_BYTES), zones: ZONES },
      onDifference: (difference) => differences.push(difference),
    });
    await reader.close();
    expect([differences, totals.recomputed, totals.pricesDifferent]).toEqual([[], totals.decisions, 0]);
    // Of two products, nearly every hour.
    expect(totals.prices).toBeGreaterThan(500);
  });

  it.each([
    ['nothing', '{}', 'exactly one of'],
    ['two things', '{ hour: sine, product: tea }', 'exactly one of'],
    ['half a number', '{ context: warm, mean: 3 }', 'exactly one of'],
    ['a trait', '{ context: age, mean: 3, scale: 1 }', 'is a trait'],
    ['itself', '{ product: coffee }', 'in its demand already'],
    ['an unknown product', '{ product: te }', 'not a declared product'],
    ['a scale of nothing', '{ context: warm, mean: 3, scale: 0 }', 'scale'],
  ])('catalog, %s: refused', (_, input, reason) => {
    expect(() => compileCatalog(catalogWith(input), 'x.yaml')).toThrow(reason);
  });
});
