/**
 * The market as traffic of a running server: its people visit over WebSocket, through the SDK, as fast as the server
 * answers, and respond and buy by the truth. A tenth of them are a control who get a random offer (the request names
 * it as the only action); the price is everybody's. Offer and price are asked for apart, so that a purchase is no
 * response to the offer. The server's clock is its own: its hours are real ones, while the market's days pass as
 * quickly as the visits. The server must have the market's catalog (`bench:market --catalog`).
 */
import { connect, type OpportuneClient } from '../../client/index.ts';
import { epochMillis, monotonicMillis } from '../../workers/clock.ts';
import { KIND } from './chance.ts';
import { traitsOf } from './market-catalog.ts';
import { eachVisit } from './market-run.ts';
import { profileKey } from './market-shard.ts';
import { Showings } from './showings.ts';
import { browsedAt, type Visit } from './visits.ts';
import { CATEGORIES, type Good, type World } from './world.ts';

export interface LiveOptions {
  readonly url: string;
  /** Visits played at once; a person's own follow each other. Default 32. */
  readonly concurrency?: number;
  /** Most visits to play. Default: all of the market's days. */
  readonly visitsMax?: number;
  /** How often `onProgress` is told; by default after each tenth of the visits. */
  readonly everyMillis?: number;
  readonly onProgress?: (report: LiveReport) => void;
  /** Ends the play after the visits under way. */
  readonly signal?: AbortSignal;
}

export interface LiveGroup {
  shown: number;
  responses: number;
  /** Of the responses, minor units. */
  valueMinor: number;
  /** Revenue less cost of what was bought, minor units. */
  marginMinor: number;
}
export interface LiveReport {
  visits: number;
  readonly ours: LiveGroup;
  readonly control: LiveGroup;
  /** By product: the last price quoted, and the best as the truth knows it. */
  readonly prices: { readonly sku: string; quotedMinor: number; bestMinor: number }[];
}

const CONTROL_SHARE = 0.1;
const CONCURRENCY = 32;

/** @throws OpportuneError when the server refuses a request: it is not there, or has another catalog */
export async function playLive(world: World, options: LiveOptions): Promise<LiveReport> {
  const client = connect({ url: options.url, clientName: 'market', deadlineMillis: 10_000 });
  try {
    return await play(world, options, client);
  } finally {
    client.close();
  }
}

async function play(world: World, options: LiveOptions, client: OpportuneClient): Promise<LiveReport> {
  const { concurrency = CONCURRENCY, visitsMax = Number.POSITIVE_INFINITY, everyMillis, onProgress, signal } = options;
  const visits: Visit[] = [];
  eachVisit(world, (visit) => {
    if (visits.length < visitsMax) visits.push(visit);
  });
  const report: LiveReport = {
    visits: 0,
    ours: { shown: 0, responses: 0, valueMinor: 0, marginMinor: 0 },
    control: { shown: 0, responses: 0, valueMinor: 0, marginMinor: 0 },
    prices: world.goods.map(({ sku }) => ({ sku, quotedMinor: 0, bestMinor: 0 })),
  };
  const showings = new Showings(world);
  const known = new Set<number>();
  const tenth = Math.max(1, Math.ceil(visits.length / 10));
  let toldMillis = monotonicMillis();
  for (let from = 0; from < visits.length && signal?.aborted !== true; from += concurrency) {
    const together = visits.slice(from, from + concurrency);
    const byPerson = groupByPerson(together);
    await Promise.all(
      [...byPerson].map(async ([person, own]) => {
        if (!known.has(person)) {
          known.add(person);
          await client.identify({ profile: profileKey(person), traits: traitsOf(world, person) });
        }
        for (const visit of own) await playVisit(world, client, showings, visit, report);
      }),
    );
    const isDue =
      everyMillis === undefined
        ? Math.floor(from / tenth) !== Math.floor((from + concurrency) / tenth)
        : monotonicMillis() - toldMillis >= everyMillis;
    if (!isDue) continue;
    toldMillis = monotonicMillis();
    onProgress?.(report);
  }
  return report;
}

function groupByPerson(visits: readonly Visit[]): Map<number, Visit[]> {
  const groups = new Map<number, Visit[]>();
  for (const visit of visits) {
    const own = groups.get(visit.person) ?? [];
    own.push(visit);
    groups.set(visit.person, own);
  }
  return groups;
}

async function playVisit(
  world: World,
  client: OpportuneClient,
  showings: Showings,
  visit: Visit,
  report: LiveReport,
): Promise<void> {
  const { person, index, day, product } = visit;
  const { chance } = world;
  const profile = profileKey(person);
  const isControl = chance.uniform(KIND.policy, person, 0) < CONTROL_SHARE;
  const group = isControl ? report.control : report.ours;
  const good = world.goods[product] as Good; // product < products
  await client.track({ profile, event: 'open' });
  await client.track({ profile, event: `view_${CATEGORIES[browsedAt(world, visit)]}` });
  const random = world.offers[chance.whole(KIND.policy, world.offers.length, person, index + 1)]?.key ?? '';
  const offered = await client.decide({
    profile,
    slot: 'home',
    sku: good.sku,
    want: ['action'],
    ...(isControl ? { actions: [random] } : {}),
  });
  const { price, decisionId: quoteDecisionId } = await client.decide({ profile, sku: good.sku, want: ['price'] });
  const { decisionId } = offered;
  const offer = world.offers.findIndex(({ key }) => key === offered.actions[0]?.action);
  if (offer < 0 || decisionId === null || price === undefined || quoteDecisionId === null) {
    throw new Error('live market: the server gave no offer or no price; has it the catalog of this market?');
  }
  await client.track({ profile, event: 'impression', decisionId });
  await client.track({ profile, event: 'impression', decisionId: quoteDecisionId });
  report.visits++;
  const quote = report.prices[product];
  if (quote !== undefined) {
    quote.quotedMinor = price.priceMinor;
    quote.bestMinor = world.bestPriceMinor(product, day);
  }
  group.shown++;
  const now = { ...visit, hourOfWeek: world.localHourOfWeek(person, epochMillis()) };
  const isResponse = chance.uniform(KIND.response, person, index) < showings.responseProbability(now, offer);
  showings.add(now, offer);
  const isPurchase =
    chance.uniform(KIND.purchase, person, index) < world.purchaseProbability(person, product, price.priceMinor, day);
  if (isResponse) {
    group.responses++;
    group.valueMinor += world.offers[offer]?.valueMinor ?? 0;
    await client.track({ profile, event: 'click', decisionId });
  }
  if (isPurchase) {
    group.marginMinor += price.priceMinor - good.costMinor;
    const properties = { revenueMinor: price.priceMinor, items: [{ sku: good.sku, quantity: 1 }] };
    await client.track({ profile, event: 'purchase', decisionId: quoteDecisionId, properties });
  }
}

/** The report as lines of text. */
export function liveText({ visits, ours, control, prices }: LiveReport): string {
  const rate = ({ shown, responses, valueMinor, marginMinor }: LiveGroup): string =>
    shown === 0
      ? 'nobody yet'
      : `${((100 * responses) / shown).toFixed(1)} % respond, value ${(valueMinor / shown).toFixed(1)} and margin ${(marginMinor / shown).toFixed(1)} minor units a visit (${shown} visits)`;
  const quoted = prices.map(({ sku, quotedMinor, bestMinor }) => `${sku} ${quotedMinor} of best ${bestMinor}`);
  return [
    `${visits} visits`,
    `  ours     ${rate(ours)}`,
    `  random   ${rate(control)}`,
    `  prices   ${quoted.join(', ')}`,
  ].join('\n');
}
