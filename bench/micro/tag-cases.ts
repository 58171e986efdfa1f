/**
 * What living tags add to an event: the same turn under three catalogs, without tags, with 500 rules none of which reads
 * the event, and with 500 of which ten do: the first subtracted from that is to be at most 5 µs. And ten that ask how unusual
 * a count is in place of how many.
 */
import type { Catalog } from '../../decision/catalog.ts';
import { USUAL_FEED, usualKey } from '../../decision/usual-feed.ts';
import { compileCatalog } from '../../workers/catalog/compile-catalog.ts';
import type { MicroCase } from './micro-case.ts';
import { NEW_PROFILES, TurnBench } from './turn-cases.ts';

const RULES = 500;
/** Of the ten: windows, silences, a sum and a value; none of them turns with every event, as in life. */
const TOUCHED = [
  'count("view", "30s") >= 3',
  'count("view", "20s") >= 50',
  'count("view", "30s") >= 2 && count("purchase", "30s") == 0',
  'lastSeen("view") > 25',
  'lastSeen("view") > 20 && lastSeen("view") < 3600',
  'sum("view", "revenueMinor", "30s") > 100',
  'lastSeen("view") > 86400',
  'count("view", "10s") >= 5 || lastSeen("purchase") < 60',
  '!(count("view", "30s") < 9)',
  'count("view", "15s") > 4',
];

/** Windows of their own, so that each has a row of its own. */
const UNUSUAL = Array.from({ length: TOUCHED.length }, (_, i) => `unusual("view", "${30 + i}s") > 9`);

function catalogOf(touched: readonly string[], rules: number): Catalog {
  const tags = Array.from({ length: rules }, (_, i) => {
    const rule = i < touched.length ? touched[i] : `count("other-${i}", "7d") >= 3`;
    return `    t${i}: { family: behaviour, when: '${rule}' }`;
  });
  return compileCatalog(
    `version: 1
name: tags
currency: EUR
timeZone: UTC
abuse: { usual: {} }
${rules === 0 ? '' : `profile:\n  tags:\n${tags.join('\n')}\n`}channels: { app: {} }
actions:
  - { key: a, channels: [app], valueMinor: 9, eligibility: 'count("view", "30s") >= 0 && sum("view", "revenueMinor", "30s") >= 0' }
`,
    'tags.yaml',
  );
}

function tracking(catalog: Catalog): () => number {
  const bench = new TurnBench(true, catalog);
  const rows = UNUSUAL.map((_, i) => ({
    key: usualKey('view', (30 + i) * 1000),
    values: [2, 0.35, 6, 1000],
    expiresAtEpochMillis: Number.MAX_SAFE_INTEGER,
  }));
  bench.runtime.feeds.apply({ feed: USUAL_FEED, version: 1, atEpochMillis: 0, replace: true, rows });
  // The first look at somebody goes through every rule: not what is measured.
  for (let n = 0; n < NEW_PROFILES; n++) bench.track(bench.step(), 'view');
  return () => {
    bench.track(bench.step(), 'view');
    return bench.eventTurn.isDuplicate ? 1 : 2;
  };
}

export const TAG_CASES: readonly MicroCase[] = [
  { name: 'tags: track an event, no tags', prepare: () => tracking(catalogOf([], 0)) },
  { name: 'tags: track an event, 500 rules, none touched', prepare: () => tracking(catalogOf([], RULES)) },
  { name: 'tags: track an event, 500 rules, ten touched', prepare: () => tracking(catalogOf(TOUCHED, RULES)) },
  { name: 'tags: track an event, 500 rules, ten ask how unusual', prepare: () => tracking(catalogOf(UNUSUAL, RULES)) },
];
