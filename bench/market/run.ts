/**
 * `npm run bench:market`: policies against each other in a market whose truth is known, as one table.
 *
 *   --seeds 1-5      which worlds, as FROM-TO or one number        --question NAME  action, price, shock, time or joint
 *   --people 1000    --days 180    --actions 10    --products 4    --json FILE      keeps rows and seeds
 *   --server URL     plays the first seed's visits against a running server instead, see `live-market.ts`
 *   --catalog        prints the catalog of the first seed's market, for that server
 *
 * Ends with 2 for words it does not understand. Targets are judged by `npm run verify:science`, on seeds of its own.
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { monotonicMillis } from '../../workers/clock.ts';
import { liveText, playLive } from './live-market.ts';
import { marketCatalogText } from './market-catalog.ts';
import { QUESTIONS, type Question, rowsOf, runQuestion } from './market-questions.ts';
import { type Ledger, runActions } from './market-run.ts';
import { type MarketRow, tableText } from './market-table.ts';
import { randomActions } from './rival-policies.ts';
import { Showings } from './showings.ts';
import { checkMarketOptions, MARKET_DEFAULTS, type MarketOptions, World } from './world.ts';

export interface MarketWords {
  readonly seeds: readonly number[];
  readonly questions: readonly Question[];
  /** Of the first seed. */
  readonly options: MarketOptions;
  readonly json: string | undefined;
  readonly server: string | undefined;
  readonly showsCatalog: boolean;
}

const SEEDS_MAX = 1000;

/** @throws RangeError or TypeError that says which word is wrong and what would be right */
export function marketWords(words: readonly string[]): MarketWords {
  const { values } = parseArgs({
    args: [...words],
    options: {
      seeds: { type: 'string', default: '1-5' },
      question: { type: 'string', multiple: true },
      people: { type: 'string' },
      days: { type: 'string' },
      actions: { type: 'string' },
      products: { type: 'string' },
      json: { type: 'string' },
      server: { type: 'string' },
      catalog: { type: 'boolean', default: false },
    },
  });
  const numbers = /^(\d+)(?:-(\d+))?$/.exec(values.seeds);
  const [first, last] = [Number(numbers?.[1]), Number(numbers?.[2] ?? numbers?.[1])];
  if (numbers === null || last < first || last - first >= SEEDS_MAX) {
    throw new RangeError(`--seeds ${values.seeds}: expected FROM-TO or one number, at most ${SEEDS_MAX} seeds`);
  }
  for (const name of values.question ?? []) {
    if (!QUESTIONS.includes(name as Question)) {
      throw new RangeError(`--question ${name}: expected one of ${QUESTIONS.join(', ')}`);
    }
  }
  const number = (name: 'people' | 'days' | 'actions' | 'products'): number => {
    const text = values[name];
    return text === undefined ? MARKET_DEFAULTS[name] : /^\d+$/.test(text) ? Number(text) : Number.NaN;
  };
  const options: MarketOptions = {
    ...MARKET_DEFAULTS,
    seed: first,
    people: number('people'),
    days: number('days'),
    actions: number('actions'),
    products: number('products'),
  };
  checkMarketOptions(options);
  checkMarketOptions({ ...options, seed: last });
  return {
    seeds: Array.from({ length: last - first + 1 }, (_, i) => first + i),
    questions: (values.question ?? QUESTIONS) as readonly Question[], // checked above
    options,
    json: values.json,
    server: values.server,
    showsCatalog: values.catalog,
  };
}

/** What the whole took, and how many days of how many people were lived through a second. */
export function speedText(personDays: number, millis: number, what: string): string {
  return `${what}: ${Math.round(personDays / (millis / 1000)).toLocaleString('en')} person-days a second`;
}

function play({ seeds, questions, options, json }: MarketWords): void {
  const rows: MarketRow[] = [];
  const begin = monotonicMillis();
  for (const question of questions) {
    const runs: (readonly Ledger[])[] = [];
    for (const seed of seeds) {
      if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${question}, seed ${seed} `);
      runs.push(runQuestion(question, { ...options, seed }));
    }
    rows.push(...rowsOf(question, runs));
  }
  if (process.stderr.isTTY) process.stderr.write('\r\x1b[K');
  const policies = rows.length;
  const personDays = options.people * options.days * seeds.length * policies;
  process.stdout.write(
    `seeds ${seeds[0]} to ${seeds.at(-1)}, ${options.people} people, ${options.days} days; ± is a standard error over seeds\n\n`,
  );
  process.stdout.write(`${tableText(rows)}\n`);
  process.stdout.write(`${speedText(personDays, monotonicMillis() - begin, `all ${policies} policies`)}; `);
  process.stdout.write(`${measureSpeed(options)}\n`);
  if (json !== undefined) writeFileSync(json, `${JSON.stringify({ seeds, options, rows }, null, 2)}\n`);
}

/** The market alone: one world's visits with a random policy, its making not counted. */
function measureSpeed(options: MarketOptions): string {
  const world = new World(options);
  const showings = new Showings(world);
  const begin = monotonicMillis();
  const { decisions: visits } = runActions(world, randomActions(world), showings);
  const millis = monotonicMillis() - begin;
  return `${speedText(options.people * options.days, millis, 'the market alone')} (${visits.toLocaleString('en')} visits)`;
}

async function main(words: readonly string[]): Promise<void> {
  let understood: MarketWords;
  try {
    understood = marketWords(words);
  } catch (error) {
    process.stderr.write(`bench:market: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 2;
    return;
  }
  if (understood.showsCatalog) process.stdout.write(marketCatalogText(new World(understood.options)));
  else if (understood.server === undefined) play(understood);
  else {
    const report = await playLive(new World(understood.options), {
      url: understood.server,
      onProgress: (sofar) => process.stderr.write(`${liveText(sofar)}\n`),
    });
    process.stdout.write(`${liveText(report)}\n`);
  }
}

if (process.argv[1]?.endsWith('market/run.js') === true) await main(process.argv.slice(2));
