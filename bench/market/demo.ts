/**
 * `npm run demo`: a server of its own, and the market of known truth as its traffic, for a minute. Shows what a
 * tenth of the people, who get random offers, respond to against the rest; the price that the server would take by
 * what it has learnt of each product's demand, against the best there is; and one request, asked before and after.
 * The server's clock runs 1,800 times as fast, for prices change by the hour. All data are gone afterwards.
 *
 *   --seconds 60    how long        --seed 1    which market        --keep    leaves the server and its data until Ctrl-C
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { connect, type DecideReply, type OpportuneClient } from '../../client/index.ts';
import { monotonicMillis } from '../../workers/clock.ts';
import { startServer, stopServer } from '../started-server.ts';
import { type LiveGroup, type LiveReport, playLive } from './live-market.ts';
import { marketCatalogText, traitsOf } from './market-catalog.ts';
import { profileKey } from './market-shard.ts';
import { MARKET_DEFAULTS, World } from './world.ts';

const TIME_SCALE = 1800;
const PEOPLE = 300;
const EVERY_SECONDS_MAX = 10;
/** More than are lived through in a minute. */
const DAYS = 400;
const CONCURRENCY = 16;

/** The request that is asked before and after: nothing is granted, and the answer says why. */
function ask(client: OpportuneClient, sku: string): Promise<DecideReply> {
  const profile = profileKey(PEOPLE - 1);
  return client.decide({ profile, slot: 'home', sku, want: ['action', 'price'], dryRun: true, explain: true });
}

function answerText({ actions, price, explain }: DecideReply): string {
  const [best] = actions;
  const chosen = explain?.chosen?.[0];
  const reasons = [...(chosen?.contributions ?? [])]
    .sort((a, b) => Math.abs(b.effect) - Math.abs(a.effect))
    .slice(0, 3)
    .map(({ feature, effect }) => `${feature} ${effect >= 0 ? '+' : ''}${effect.toFixed(2)}`);
  const why = reasons.length === 0 ? 'nothing learnt yet' : reasons.join(', ');
  const response =
    best === undefined ? '' : `, a response in ${(100 * best.responseProbability).toFixed(1)} % of cases`;
  return `${best?.action ?? 'no offer'}${response}; price ${price?.priceMinor ?? '-'}\n            because: ${why}`;
}

function rate({ shown, responses }: LiveGroup): string {
  return shown === 0 ? 'nobody yet' : `${((100 * responses) / shown).toFixed(1).padStart(5)} % of ${shown} visits`;
}

function bar(share: number): string {
  return '█'.repeat(Math.max(0, Math.min(60, Math.round(share * 100))));
}

const share = ({ shown, responses }: LiveGroup): number => (shown === 0 ? 0 : responses / shown);

/** What has come since the last line, so that learning is seen and not averaged away. */
function since(now: LiveGroup, then: LiveGroup): LiveGroup {
  return {
    shown: now.shown - then.shown,
    responses: now.responses - then.responses,
    valueMinor: now.valueMinor - then.valueMinor,
    marginMinor: now.marginMinor - then.marginMinor,
  };
}

async function main(words: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...words],
    options: {
      seconds: { type: 'string', default: '60' },
      seed: { type: 'string', default: '1' },
      keep: { type: 'boolean', default: false },
    },
  });
  const [seconds, seed] = [Number(values.seconds), Number(values.seed)];
  if (!(seconds >= 1 && seconds <= 3600)) throw new RangeError(`--seconds ${values.seconds}: from 1 to 3600`);
  if (!(Number.isInteger(seed) && seed >= 0)) throw new RangeError(`--seed ${values.seed}: an integer from 0`);
  const world = new World({ ...MARKET_DEFAULTS, seed, people: PEOPLE, days: DAYS });
  const folder = mkdtempSync(join(tmpdir(), 'opportune-demo-'));
  const server = await startServer(folder, marketCatalogText(world), ['--time-scale', String(TIME_SCALE)]).catch(
    (error: unknown) => {
      rmSync(folder, { recursive: true, force: true });
      throw error;
    },
  );
  const stopped = new AbortController();
  process.once('SIGINT', () => stopped.abort());
  const client = connect({ url: server.url, clientName: 'demo', deadlineMillis: 10_000 });
  try {
    say(
      `A market of ${PEOPLE} people, ${world.offers.length} offers, ${world.goods.length} products; server ${server.url}, metrics ${server.admin}/metrics`,
    );
    const [good] = world.goods;
    if (good === undefined) throw new RangeError('a market without products');
    await client.identify({ profile: profileKey(PEOPLE - 1), traits: traitsOf(world, PEOPLE - 1) });
    const before = await ask(client, good.sku);
    say(`\nBefore      ${answerText(before)}\n`);
    const begin = monotonicMillis();
    let then: LiveReport | undefined;
    const report = await playLive(world, {
      url: server.url,
      concurrency: CONCURRENCY,
      everyMillis: Math.min(seconds, EVERY_SECONDS_MAX) * 1000,
      onProgress: (now) => {
        const [ours, control] = [since(now.ours, then?.ours ?? NOBODY), since(now.control, then?.control ?? NOBODY)];
        then = structuredClone(now);
        const second = String(Math.round((monotonicMillis() - begin) / 1000)).padStart(4);
        say(`${second} s      ours   ${rate(ours)}  ${bar(share(ours))}`);
        say(`            random ${rate(control)}  ${bar(share(control))}`);
        say(
          `            prices ${now.prices.map(({ sku, quotedMinor, bestMinor }) => `${sku} ${quotedMinor} (best ${bestMinor})`).join('  ')}`,
        );
        if (monotonicMillis() - begin >= seconds * 1000) stopped.abort();
      },
      signal: stopped.signal,
    });
    say(`\nAfter       ${answerText(await ask(client, good.sku))}`);
    const lift = share(report.control) > 0 ? share(report.ours) / share(report.control) - 1 : Number.NaN;
    say(
      `\n${report.visits} visits: ours ${rate(report.ours)}, random ${rate(report.control)}: ${lift >= 0 ? '+' : ''}${(100 * lift).toFixed(0)} %`,
    );
    if (values.keep) {
      say(`The server goes on at ${server.url}; its data are in ${folder} until you press Ctrl-C.`);
      await new Promise<void>((resolve) => process.once('SIGINT', () => resolve()));
    }
  } finally {
    client.close();
    await stopServer(server);
    rmSync(folder, { recursive: true, force: true });
  }
}

const NOBODY: LiveGroup = { shown: 0, responses: 0, valueMinor: 0, marginMinor: 0 };

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

main(process.argv.slice(2)).catch((error: unknown) => {
  process.exitCode = 2;
  process.stderr.write(`demo: ${error instanceof Error ? error.message : String(error)}\n`);
});
