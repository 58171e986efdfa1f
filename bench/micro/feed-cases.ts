/**
 * What a context feed adds to a decide: the same turn with one rule that compares a number of the context, and with one
 * that compares a number of a feed of 1,000 rows, by a literal key and by a trait that is text (read from the cold
 * record, as any rule that needs a text). Then a push of one row into that table.
 */
import { compileCatalog } from '../../workers/catalog/compile-catalog.ts';
import { NOW_EPOCH_MILLIS } from './bench-inputs.ts';
import type { MicroCase } from './micro-case.ts';
import { TurnBench } from './turn-cases.ts';

const SILENT = { mark(): void {} };
const ROWS = 1_000;
const FOREVER = NOW_EPOCH_MILLIS + 1e12;
const rowOf = (key: string, celsius: number) => ({ key, values: [celsius], expiresAtEpochMillis: FOREVER });

function benchOf(rule: string, hasFeed: boolean): TurnBench {
  const feeds = hasFeed ? 'feeds: { weather: { ttl: 1h, fields: { celsius: { type: number } } } }\n' : '';
  const catalog = compileCatalog(
    `version: 1
name: feeds
currency: EUR
timeZone: UTC
profile: { traits: { city: { type: string } } }
channels: { app: {} }
slots: { home: { channels: [app] } }
${feeds}products: [{ sku: bench-product, listMinor: 9, floorMinor: 9, ceilingMinor: 9, costMinor: 9, stepMinor: 1 }]
actions: [{ key: a, channels: [app], valueMinor: 9, eligibility: '${rule}' }]
`,
    'feeds.yaml',
  );
  const bench = new TurnBench(false, catalog);
  const rows = Array.from({ length: ROWS }, (_, i) => rowOf(i === 7 ? 'Lisbon' : `city-${i}`, 20));
  bench.runtime.feeds.apply({ feed: 'weather', version: 1, atEpochMillis: NOW_EPOCH_MILLIS, replace: true, rows });
  return bench;
}

function deciding(rule: string, hasFeed = true): () => number {
  const bench = benchOf(rule, hasFeed);
  return () => {
    const request = bench.step();
    request.wantMask = 1;
    bench.expectFine(bench.decideTurn.run(request, bench.now, SILENT));
    return bench.decideTurn.outcome.stateSeq;
  };
}

export const FEED_CASES: readonly MicroCase[] = [
  { name: 'feeds: decide, one rule, no feeds', prepare: () => deciding('context.none > 10 || true', false) },
  {
    name: 'feeds: decide, one rule of a feed, literal key',
    prepare: () => deciding('feed("weather", "celsius", "Lisbon") > 10'),
  },
  {
    name: 'feeds: decide, one rule of a feed, key of a trait',
    prepare: () => deciding('feed("weather", "celsius", profile.city) > 10'),
  },
  {
    name: 'feeds: a push of one row into 1,000',
    prepare() {
      const { feeds } = benchOf('true', true).runtime;
      let version = 1;
      return () => {
        const rows = [rowOf('Lisbon', version % 40)];
        feeds.apply({ feed: 'weather', version: ++version, atEpochMillis: NOW_EPOCH_MILLIS, replace: false, rows });
        return version;
      };
    },
  },
];
