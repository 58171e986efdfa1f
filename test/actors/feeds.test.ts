/** Context feeds in what is learnt and what is asked: features of the response model, demand and ceilings of a price. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Effect } from '../../actors/effect.ts';
import { FeedMarks, JournalMarks, MARK } from '../../actors/journal-marks.ts';
import { featureNamer } from '../../decision/feature-names.ts';
import { buildFeatures, FeatureVector } from '../../decision/features.ts';
import type { FeedPush } from '../../decision/feed-table.ts';
import { WANT } from '../../decision/pipeline.ts';
import { drawUniform } from '../../decision/random.ts';
import { deriveSecret } from '../../workers/node-secret.ts';
import { recomputeDecisions } from '../../workers/recompute/recompute-decisions.ts';
import { weighDecisions } from '../../workers/recompute/weigh-decisions.ts';
import { writeCatalogText } from '../../workers/recovery.ts';
import { JournalReader } from '../../workers/store/journal-reader.ts';
import { temporaryFolder } from '../server/running-node.ts';
import { writeDataFolder } from '../workers/recompute/written-folder.ts';
import { OneShard, SECRET_BYTES, ZONES } from './one-shard.ts';
import { catalogText, NOON } from './test-catalog.ts';

const HOUR = 3_600_000;
const WEATHER = `weather: { ttl: 1h, key: profile.city, fields: { celsius: { type: number, min: -20, max: 40, feature: true }, rain: { type: boolean, feature: true }, sky: { type: text, values: [blue, grey], feature: true }, wind: { type: number } } }`;
const RIVALS = 'rivals: { ttl: 100h, fields: { priceMinor: { type: number, min: 0 } } }';
const MONEY =
  'listMinor: 1000, floorMinor: 700, ceilingMinor: 1300, costMinor: 500, stepMinor: 1, quoteTtlMillis: 1000';
const CATALOG = catalogText({
  actions: '{ key: ice, channels: [app], valueMinor: 9 }',
  traits: 'city: { type: string }',
  products: `{ sku: coffee, ${MONEY}, ceilingFrom: { feed: { name: rivals, field: priceMinor }, basisPoints: -100 } }, { sku: tea, ${MONEY}, demandInputs: [{ feed: { name: rivals, field: priceMinor, key: other-tea }, usualMinor: 1000 }] }`,
  more: `feeds: { ${WEATHER}, ${RIVALS} }`,
});
const FOREVER = NOON + 1e9;

/** A shard whose journal replay can read. */
function begin(): { shard: OneShard; push: (push: Pick<FeedPush, 'feed' | 'rows'>, now: number) => void } {
  const shard = new OneShard({ catalog: CATALOG });
  const marks = new JournalMarks(shard.store);
  marks.start(shard.runtime.index.catalog.versionHash, 1, 0, NOON);
  writeCatalogText(shard.store, shard.runtime.index.catalog.version, CATALOG);
  shard.models.onPrice = (seen) => marks.price(seen);
  let version = 0;
  return {
    shard,
    push: ({ feed, rows }, now) => {
      const push = { feed, rows, version: ++version, atEpochMillis: now, replace: false };
      marks.feed(push, now);
      expect(shard.runtime.feeds.apply(push)).toBe(true);
    },
  };
}
const row = (key: string, ...values: (number | boolean | string | null)[]) => ({
  ...{ key, values, expiresAtEpochMillis: FOREVER },
});
const rival = (key: string, priceMinor: number, expiresAtEpochMillis = FOREVER) => ({
  feed: 'rivals',
  rows: [{ key, values: [priceMinor], expiresAtEpochMillis }],
});

async function replay(shard: OneShard): Promise<{ differences: unknown[]; recomputed: number; prices: number }> {
  shard.store.commitNow();
  const folder = temporaryFolder('feeds');
  mkdirSync(join(folder, 'models'));
  await writeDataFolder(folder, shard.disk);
  const reader = JournalReader.open(join(folder, 'store'));
  const differences: unknown[] = [];
  const { recomputed, decisions, prices } = recomputeDecisions({
    ...{ reader, modelPath: join(folder, 'models', 'model'), secret: deriveSecret(SECRET_BYTES), zones: ZONES },
    onDifference: (difference) => differences.push(difference),
  });
  await reader.close();
  expect(recomputed).toBe(decisions);
  return { differences, recomputed, prices };
}

describe('feeds as features', () => {
  it('features: a field each where it is known, named, and of no other person', () => {
    const { shard, push } = begin();
    const { index, scope, record } = shard.runtime;
    shard.identify('ann', { city: 'Rome' }, NOON);
    const namesAt = (now: number): string[] => {
      scope.bind(record, index, null, now, 0);
      const out = new FeatureVector();
      const names: string[] = [];
      buildFeatures(index.catalog, scope, 0, 0, null, out, names);
      const namer = featureNamer(index.catalog, { slotHash: 0, skuHash: 0, context: null, textOf: () => 'Rome' });
      for (let i = 0; i < out.count; i++) {
        if (!names[i]?.startsWith('feed ')) continue;
        const [, name = ''] = /^feed ([\w.]+)/.exec(names[i] ?? '') ?? [];
        expect(namer(out.hashes[i] as number)).toEqual({ group: 'feeds', name, trait: -1 });
      }
      return names.filter((name) => name.startsWith('feed '));
    };
    expect(namesAt(NOON)).toEqual([]);
    push({ feed: 'weather', rows: [row('Rome', 31, false, 'blue', 7), row('Oslo', 1, true, 'grey', 7)] }, NOON);
    expect(namesAt(NOON)).toEqual([
      'feed weather.celsius from 25 to 32.5',
      'feed weather.celsius (linear)',
      'feed weather.rain = false',
      'feed weather.sky = blue',
    ]);
    push({ feed: 'weather', rows: [row('Rome', null, true, null, null)] }, NOON);
    expect(namesAt(NOON)).toEqual(['feed weather.rain = true']);
    expect(namesAt(FOREVER)).toEqual([]);
  });

  it('features: the model learns from them, and every decision replays bit for bit', async () => {
    const { shard, push } = begin();
    const people = Array.from({ length: 20 }, (_, i) => `p${i}`);
    for (const profile of people) shard.identify(profile, { city: 'Rome' }, NOON);
    const ask = (n: number, celsius: number) => {
      const now = NOON + n * 1000;
      push({ feed: 'weather', rows: [row('Rome', celsius, null, null, null)] }, now);
      const profile = people[n % people.length] ?? '';
      const reply = shard.decide({ profile, wantMask: WANT.action }, now);
      return { profile, decisionId: reply.decisionId ?? '', now, chosen: reply.actions[0] };
    };
    for (let n = 0; n < 600; n++) {
      const isWarm = n % 2 === 0;
      const { profile, decisionId, now } = ask(n, isWarm ? 35 : -15);
      shard.track({ profile, event: 'impression', decisionId }, now + 1);
      if (isWarm && drawUniform(3, n, 1, 1) < 0.7) shard.track({ profile, event: 'click', decisionId }, now + 2);
      if (n % 20 !== 19) continue;
      shard.models.nameVersion();
      shard.store.commitNow();
    }
    const warm = ask(1000, 35).chosen?.responseProbability ?? Number.NaN;
    const cold = ask(1001, -15).chosen?.responseProbability ?? Number.NaN;
    expect(warm).toBeGreaterThan(2 * cold);
    const { differences, recomputed } = await replay(shard);
    expect([differences, recomputed]).toEqual([[], 602]);
  });
});

describe('feeds in a price', () => {
  const priceOf = (shard: OneShard, sku: string, now: number) => {
    const reply = shard.decide({ profile: 'ann', sku, wantMask: WANT.price, isExplain: true }, now);
    if (reply.price === undefined) throw new Error('no price');
    return { price: reply.price.priceMinor, explain: reply.explain?.price };
  };

  it('ceiling: at most 1 % below the rival, never below floor, and none where the rival is not known', async () => {
    const { shard, push } = begin();
    const ceilings = new Set<unknown>();
    const hourly = (from: number, hours: number): number[] => {
      ceilings.clear();
      return Array.from({ length: hours }, (_, h) => {
        const { price, explain } = priceOf(shard, 'coffee', NOON + (from + h) * HOUR);
        ceilings.add(explain?.feedCeilingMinor);
        return price;
      });
    };
    const free = hourly(0, 12);
    expect(Math.max(...free)).toBeGreaterThan(900);
    push(rival('coffee', 909), NOON + 12 * HOUR);
    const bound = hourly(12, 12);
    expect(Math.max(...bound)).toBe(899);
    expect([...ceilings]).toEqual([899]);
    push(rival('coffee', 1, NOON + 30 * HOUR), NOON + 24 * HOUR);
    expect(new Set(hourly(24, 6))).toEqual(new Set([700]));
    const again = hourly(30, 12);
    expect(Math.max(...again)).toBeGreaterThan(900);
    expect([...ceilings]).toEqual([undefined]);
    const { differences, prices } = await replay(shard);
    expect([differences, prices]).toEqual([[], 42]);
  });

  it('ceiling: the price of an hour that is drawn stays, whatever is pushed meanwhile', () => {
    const { shard, push } = begin();
    const { price } = priceOf(shard, 'coffee', NOON);
    push(rival('coffee', 720), NOON + 1);
    expect(priceOf(shard, 'coffee', NOON + 2).price).toBe(price);
    expect(priceOf(shard, 'coffee', NOON + HOUR).price).toBeLessThanOrEqual(712);
  });

  it('demand: an input by a feed is that of its key, logged with the decision and the same when replayed', async () => {
    const { shard, push } = begin();
    const inputOf = (now: number): unknown => priceOf(shard, 'tea', now).explain?.demandInputs;
    expect(inputOf(NOON)).toMatchObject([{ kind: 'price', value: 0 }]);
    push(rival('tea', 5), NOON);
    expect(inputOf(NOON + HOUR)).toMatchObject([{ value: 0 }]);
    push(rival('other-tea', 2000), NOON + HOUR);
    const [input] = inputOf(NOON + 2 * HOUR) as { value: number }[];
    expect(input?.value).toBeCloseTo(Math.LN2, 6);
    const { differences, prices } = await replay(shard);
    expect([differences, prices]).toEqual([[], 3]);
  });
});

describe('feeds as other models see them', () => {
  it('weighing: what was allowed is what the feeds allowed then, one start after the other', async () => {
    const catalog = catalogText({
      actions: `{ key: ice, channels: [app], valueMinor: 9, eligibility: 'feed("weather", "celsius", "Rome") > 20' }, { key: tea, channels: [app], valueMinor: 9 }`,
      more: `feeds: { ${WEATHER.replace('key: profile.city, ', '').replaceAll(', feature: true', '')} }`,
    });
    const wanted: string[][] = [];
    const shard = new OneShard({ catalog });
    const marks = new JournalMarks(shard.store);
    writeCatalogText(shard.store, shard.runtime.index.catalog.version, catalog);
    // The second start begins with a version that the first has left behind.
    for (const [start, version] of [50, 20].entries()) {
      marks.start(shard.runtime.index.catalog.versionHash, 1, 0, NOON);
      shard.runtime.feeds.clear();
      for (const [n, celsius] of [10, 30, 15].entries()) {
        const now = NOON + start * HOUR + n;
        const rows = [row('Rome', celsius, null, null, null)];
        const push = { feed: 'weather', version: version + n, atEpochMillis: now, replace: false, rows };
        marks.feed(push, now);
        expect(shard.runtime.feeds.apply(push)).toBe(true);
        shard.decide({ profile: 'ann', wantMask: WANT.action }, now);
        wanted.push(celsius === 30 ? ['ice', 'tea'] : ['tea']);
      }
    }
    shard.store.commitNow();
    const folder = temporaryFolder('weighed');
    mkdirSync(join(folder, 'models'));
    await writeDataFolder(folder, shard.disk);
    const reader = JournalReader.open(join(folder, 'store'));
    const found: string[][] = [];
    weighDecisions({
      ...{ reader, secret: deriveSecret(SECRET_BYTES), zones: ZONES, isWanted: () => true },
      models: { state: shard.models.snapshot(), positions: [], modelEpoch: 1, round: 0 },
      onDecision: ({ actions }) => found.push([...actions].sort()),
      onMissing: (_, reason) => found.push([reason]),
    });
    await reader.close();
    expect(found).toEqual(wanted);
  });
});

describe('marks of feeds', () => {
  it('marks: a push of any size is put together again, and one whose beginning is missing is passed over', () => {
    const { shard } = begin();
    const marks = new JournalMarks(shard.store);
    const pushOf = (rows: number): FeedPush => ({
      ...{ feed: 'weather', version: rows, atEpochMillis: 5, replace: true },
      rows: Array.from({ length: rows }, (_, i) => row(`key-é-${i}`, i / 3, i % 2 === 0, '日本', null)),
    });
    for (const rows of [0, 1, 4000]) marks.feed(pushOf(rows), NOON);
    shard.store.commitNow();
    const entry = new Effect();
    const found: FeedPush[] = [];
    const late: FeedPush[] = [];
    const [whole, half] = [new FeedMarks(), new FeedMarks()];
    let count = 0;
    shard.store.scanJournal([], ({ bytes }) => {
      for (let at = entry.load(bytes, 0); at >= 0; at = entry.load(bytes, at)) {
        if (entry.type !== MARK.feed) continue;
        const push = whole.take(entry);
        if (push !== null) found.push(push);
        const other = ++count > 3 ? half.take(entry) : null;
        if (other !== null) late.push(other);
      }
    });
    expect(count).toBeGreaterThan(4);
    expect(found).toEqual([0, 1, 4000].map(pushOf));
    expect(late).toEqual([]);
  });
});
