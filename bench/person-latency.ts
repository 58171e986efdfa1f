/**
 * `npm run bench:person`: how soon something told of a person is in their answer, and how long a joining takes, seen by a
 * client of a server of its own. One call at a time, so it is the way itself and no queue; each beside a ping in the same
 * round, which is the network, the kernel and this client.
 *
 *     npm run bench:person -- --rounds 5 --people 1000 --workers 2
 *
 *   next answer   an event and a decide sent together ─▸ the decide answers otherwise
 *   pushed        an event on one connection ─▸ the other answer, pushed over another
 *   on disk       an event ─▸ acknowledged
 *   committed     as the next answer, event and decision both on disk before it comes
 *   joined        two people of six events each ─▸ one, on disk on both sides
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { connect, type OpportuneClient } from '../client/index.ts';
import { monotonicMicros } from '../workers/clock.ts';
import { LatencyHistogram, prepareHistograms } from './latency-histogram.ts';
import { startServer, stopServer } from './started-server.ts';

const EVENTS_BEFORE_JOINING = 6;
const DEADLINE_MILLIS = 5_000;
/** Who has looked at something is offered another action. */
const CATALOG = `version: 1
name: person
currency: EUR
timeZone: UTC
decision: { explorationProbability: 0, holdoutProbability: 0 }
profile: { tags: { seen: { family: behaviour, when: 'count("view", "1h") > 0' } } }
channels: { app: {} }
slots: { home: { channels: [app] } }
actions:
  - { key: first, channels: [app], slots: [home], valueMinor: 100, eligibility: '!tag("seen")' }
  - { key: second, channels: [app], slots: [home], valueMinor: 100, eligibility: 'tag("seen")' }
`;

/** Two connections: what is told goes over the one, what is pushed comes over the other. */
interface Clients {
  readonly teller: OpportuneClient;
  readonly listener: OpportuneClient;
}

/** One call about somebody nobody has been asked about before; the microseconds it took. */
type Measure = (clients: Clients, person: string) => Promise<number>;

const viewOf = (profile: string, durability: 'applied' | 'committed') => ({ profile, event: 'view', durability });

async function ping({ teller }: Clients): Promise<number> {
  const begun = monotonicMicros();
  await teller.ping();
  return monotonicMicros() - begun;
}

/** Both sent together; with `committed` both wait for the disk. */
function nextAnswer(durability: 'applied' | 'committed'): Measure {
  return async ({ teller }, profile) => {
    await teller.decide({ profile, slot: 'home' });
    const begun = monotonicMicros();
    const told = teller.track(viewOf(profile, durability));
    const { actions } = await teller.decide({ profile, slot: 'home', durability });
    const micros = monotonicMicros() - begun;
    await told;
    if (actions[0]?.action !== 'second') throw new Error(`${profile}: the event is not in the next answer`);
    return micros;
  };
}

async function pushedAnswer({ teller, listener }: Clients, profile: string): Promise<number> {
  let onFirst: () => void = () => {};
  let onSecond: (micros: number) => void = () => {};
  const first = new Promise<void>((resolve) => {
    onFirst = resolve;
  });
  const second = new Promise<number>((resolve) => {
    onSecond = resolve;
  });
  const subscription = listener.subscribe(
    { profile, decide: { slot: 'home' } },
    {
      onAnswer: ({ actions: [best] }) => {
        if (best?.action === 'second') onSecond(monotonicMicros());
        else onFirst();
      },
    },
  );
  await first;
  const begun = monotonicMicros();
  const told = teller.track(viewOf(profile, 'applied'));
  const micros = (await second) - begun;
  await told;
  subscription.unsubscribe();
  return micros;
}

async function onDisk({ teller }: Clients, profile: string): Promise<number> {
  const begun = monotonicMicros();
  await teller.track(viewOf(profile, 'committed'));
  return monotonicMicros() - begun;
}

async function joined({ teller }: Clients, profile: string): Promise<number> {
  const other = `${profile}-too`;
  const told = [profile, other].flatMap((one) =>
    Array.from({ length: EVENTS_BEFORE_JOINING }, () => teller.track(viewOf(one, 'committed'))),
  );
  await Promise.all(told);
  const begun = monotonicMicros();
  await teller.alias({ from: profile, to: other });
  return monotonicMicros() - begun;
}

const MEASURES: readonly (readonly [name: string, measure: Measure])[] = [
  ['ping', ping],
  ['next answer', nextAnswer('applied')],
  ['pushed', pushedAnswer],
  ['on disk', onDisk],
  ['committed', nextAnswer('committed')],
  ['joined', joined],
];

interface Percentiles {
  readonly p50: number;
  readonly p99: number;
}

async function measureRound(clients: Clients, round: number, people: number): Promise<Map<string, Percentiles>> {
  const found = new Map<string, Percentiles>();
  for (const [name, measure] of MEASURES) {
    const histogram = new LatencyHistogram();
    for (let n = -Math.ceil(people / 10); n < people; n++) {
      const micros = await measure(clients, `${name} ${round} ${n}`);
      // The first tenth warms up.
      if (n >= 0) histogram.record(micros);
    }
    found.set(name, { p50: histogram.percentile(50), p99: histogram.percentile(99) });
    histogram.destroy();
    say(`  round ${round}: ${name.padEnd(12)} p50 ${timeText(found.get(name)?.p50 ?? 0)}`);
  }
  return found;
}

async function main(words: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...words],
    options: {
      rounds: { type: 'string', default: '3' },
      people: { type: 'string', default: '1000' },
      workers: { type: 'string', default: '1' },
      json: { type: 'string' },
    },
  });
  const [rounds, people] = [Number(values.rounds), Number(values.people)];
  if (!(Number.isInteger(rounds) && rounds >= 1 && rounds <= 100))
    throw new RangeError(`--rounds ${values.rounds}: from 1 to 100`);
  if (!(Number.isInteger(people) && people >= 10 && people <= 100_000))
    throw new RangeError(`--people ${values.people}: from 10 to 100,000`);
  await prepareHistograms();
  const folder = mkdtempSync(join(tmpdir(), 'opportune-person-'));
  const server = await startServer(folder, CATALOG, ['--workers', values.workers]).catch((error: unknown) => {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  });
  const made = () => connect({ url: server.url, deadlineMillis: DEADLINE_MILLIS });
  const clients: Clients = { teller: made(), listener: made() };
  try {
    const found: Map<string, Percentiles>[] = [];
    for (let round = 1; round <= rounds; round++) found.push(await measureRound(clients, round, people));
    const table = MEASURES.map(([name]) => ({ name, ...summary(found, name) }));
    say(
      `\nmedians of ${rounds} rounds of ${people} people one by one, and in brackets the rounds; ${values.workers} workers`,
    );
    for (const { name, p50, p99, ratio } of table)
      say(`${name.padEnd(12)} p50 ${spanText(p50)}  p99 ${spanText(p99)}  ${ratio.toFixed(1)} pings`);
    if (values.json !== undefined)
      writeFileSync(values.json, `${JSON.stringify({ rounds, people, workers: Number(values.workers), table })}\n`);
  } finally {
    clients.teller.close();
    clients.listener.close();
    await stopServer(server);
    rmSync(folder, { recursive: true, force: true });
  }
}

interface Span {
  readonly median: number;
  readonly least: number;
  readonly most: number;
}

function summary(rounds: readonly Map<string, Percentiles>[], name: string): { p50: Span; p99: Span; ratio: number } {
  const of = (wanted: keyof Percentiles, measure: string): Span => {
    const values = rounds.map((round) => round.get(measure)?.[wanted] ?? 0).sort((a, b) => a - b);
    return {
      median: values[values.length >> 1] ?? 0,
      least: values[0] ?? 0,
      most: values.at(-1) ?? 0,
    };
  };
  const p50 = of('p50', name);
  return { p50, p99: of('p99', name), ratio: p50.median / of('p50', 'ping').median };
}

function spanText({ median, least, most }: Span): string {
  return `${timeText(median)} (${timeText(least).trim()} to ${timeText(most).trim()})`.padEnd(32);
}

function timeText(micros: number): string {
  return micros < 1000 ? `${Math.round(micros)} µs`.padStart(8) : `${(micros / 1000).toFixed(2)} ms`.padStart(8);
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

main(process.argv.slice(2)).catch((error: unknown) => {
  process.exitCode = 2;
  process.stderr.write(`bench:person: ${error instanceof Error ? error.message : String(error)}\n`);
});
