/**
 * What living tags add to an event: the same turn under three catalogs, without tags, with 500 rules none of which reads
 * the event, and with 500 of which ten do. The first subtracted from the last is the figure of issue 6, at most 5 µs.
 */
import type { Catalog } from '../../decision/catalog.ts';
import { compileCatalog } from '../../workers/catalog/compile-catalog.ts';
import type { MicroCase } from './micro-case.ts';
import { TurnBench } from './turn-cases.ts';

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

function catalogOf(touched: number, rules: number): Catalog {
  const tags = Array.from({ length: rules }, (_, i) => {
    const rule = i < touched ? TOUCHED[i % TOUCHED.length] : `count("other-${i}", "7d") >= 3`;
    return `    t${i}: { family: behaviour, when: '${rule}' }`;
  });
  return compileCatalog(
    `version: 1
name: tags
currency: EUR
timeZone: UTC
${rules === 0 ? '' : `profile:\n  tags:\n${tags.join('\n')}\n`}channels: { app: {} }
actions:
  - { key: a, channels: [app], valueMinor: 9, eligibility: 'count("view", "30s") >= 0 && sum("view", "revenueMinor", "30s") >= 0' }
`,
    'tags.yaml',
  );
}

function tracking(catalog: Catalog): () => number {
  const bench = new TurnBench(true, catalog);
  return () => {
    bench.track(bench.step(), 'view');
    return bench.eventTurn.isDuplicate ? 1 : 2;
  };
}

export const TAG_CASES: readonly MicroCase[] = [
  { name: 'tags: track an event, no tags', prepare: () => tracking(catalogOf(0, 0)) },
  { name: 'tags: track an event, 500 rules, none touched', prepare: () => tracking(catalogOf(0, RULES)) },
  { name: 'tags: track an event, 500 rules, ten touched', prepare: () => tracking(catalogOf(TOUCHED.length, RULES)) },
];
