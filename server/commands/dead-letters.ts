/**
 * `opportune dead-letters`: what a running node has refused of people and keeps, newest first; one with what it says
 * (`--show`); told again (`--redrive`) or let go (`--drop`), one by its id, those of a reason or an age, or all.
 */
import { parseDurationMillis } from '../../workers/catalog/durations.ts';
import { epochMillis } from '../../workers/clock.ts';
import type { ShownLetter } from '../../workers/letter-desk.ts';
import { LETTERS_A_REQUEST_MAX } from '../http/letter-routes.ts';
import { OperatorError } from '../operator-error.ts';
import { askAdmin } from './admin-connection.ts';
import { type CommandCall, EXIT, textOption } from './command.ts';
import { wholeOption } from './connection.ts';
import { ProgressLine } from './progress-line.ts';
import { createPaint, formatCount, formatDistance, formatTable } from './terminal-text.ts';

/** Letters shown where no `--limit` is given. */
const SHOWN = 50;
/** Of what was not settled. */
const BAD_SHOWN = 20;
const PATH = '/v1/dead-letters';

interface Page {
  readonly letters: readonly ShownLetter[];
  readonly next: string | null;
  readonly complete: boolean;
}
interface Result {
  readonly id: string;
  readonly outcome: string;
  readonly message?: string;
}

export async function run(call: CommandCall): Promise<number> {
  const { options } = call;
  const asked = (['show', 'redrive', 'drop'] as const).filter((name) => options[name] !== undefined);
  if (asked.length > 1) throw usage(`--${asked.join(' and --')} exclude each other`);
  const [what] = asked;
  if (what === 'show') return show(call, textOption(options, 'show') ?? '');
  return what === undefined ? list(call) : settle(call, what);
}

async function show(call: CommandCall, id: string): Promise<number> {
  const letter = (await askAdmin(call, `${PATH}?id=${encodeURIComponent(id)}`)) as ShownLetter; // the route's answer
  const { io, options } = call;
  if (options.json === true) io.out(`${JSON.stringify(letter)}\n`);
  else {
    const paint = createPaint(io.hasColour);
    io.out(`${paint.bold(letter.id)}  ${whatOf(letter)}  ${originOf(letter)}\n`);
    for (const { message, reason } of letter.refused) io.out(`  ${paint.bad('refused')}  ${message ?? reason}\n`);
    io.out(`${JSON.stringify(letter.message, null, 2)}\n`);
  }
  return EXIT.ok;
}

async function list(call: CommandCall): Promise<number> {
  const { io, options } = call;
  const limit = wholeOption(options, 'limit', 1, 100_000) ?? SHOWN;
  const { letters, complete } = await collect(call);
  const shown = letters.toSorted((a, b) => b.lastEpochMillis - a.lastEpochMillis).slice(0, limit);
  if (options.json === true) {
    io.out(`${JSON.stringify({ letters: shown, total: letters.length, complete })}\n`);
    return EXIT.ok;
  }
  const paint = createPaint(io.hasColour);
  if (letters.length === 0) io.out('no dead letters\n');
  else {
    const now = epochMillis();
    const head = ['id', 'what', 'refused', 'times', 'from', 'last'];
    const rows = shown.map((letter) => [
      letter.id,
      whatOf(letter),
      letter.refused.map(({ field, reason }) => (field === null ? reason : `${field} (${reason})`)).join(', '),
      letter.times.toLocaleString('en'),
      originOf(letter),
      formatDistance(letter.lastEpochMillis, now),
    ]);
    const [title = '', ...lines] = formatTable([head, ...rows], ['left', 'left', 'left', 'right']);
    io.out(`${[paint.dim(title), ...lines].join('\n')}\n\n`);
    io.out(`${formatCount(letters.length, 'dead letter')}: ${reasonsOf(letters)}\n`);
    if (shown.length < letters.length) io.out(paint.dim(`${shown.length} shown; --limit shows more\n`));
  }
  if (!complete)
    io.out(paint.warn('the node has not looked through all its people since it started; there may be more\n'));
  return EXIT.ok;
}

async function settle(call: CommandCall, what: 'redrive' | 'drop'): Promise<number> {
  const { io, options } = call;
  const id = textOption(options, what);
  const isMany = options.all === true || options.reason !== undefined || options.older !== undefined;
  if ((id === undefined) === !isMany)
    throw usage(`--${what} takes an id, or --all, or --reason REASON, or --older DURATION`);
  const ids = id === undefined ? (await collect(call)).letters.map((letter) => letter.id) : [id];
  const progress = new ProgressLine(io);
  const results: Result[] = [];
  try {
    for (let start = 0; start < ids.length; start += LETTERS_A_REQUEST_MAX) {
      const some = ids.slice(start, start + LETTERS_A_REQUEST_MAX);
      const answer = (await askAdmin(call, `${PATH}/${what}`, { ids: some })) as { results: Result[] }; // the route's answer
      results.push(...answer.results);
      progress.show(`${what} of dead letters`, results.length, ids.length);
    }
  } finally {
    progress.end();
  }
  const isGood = results.every(({ outcome }) => GOOD.includes(outcome));
  if (options.json === true) io.out(`${JSON.stringify({ results })}\n`);
  else {
    const paint = createPaint(io.hasColour);
    const bad = results.filter(({ outcome }) => !GOOD.includes(outcome));
    for (const { id: one, outcome, message = '' } of bad.slice(0, BAD_SHOWN))
      io.out(`${one}  ${paint.bad(outcome)}  ${message}\n`);
    if (bad.length > BAD_SHOWN) io.out(paint.dim(`… and ${bad.length - BAD_SHOWN} more; --json has all\n`));
    io.out(`${summaryOf(results)}\n`);
  }
  return isGood ? EXIT.ok : EXIT.failed;
}

const GOOD: readonly string[] = ['taken', 'duplicate', 'dropped'];
const WORDS: readonly (readonly [outcome: string, words: string])[] = [
  ['taken', 'taken in'],
  ['duplicate', 'known already'],
  ['dropped', 'dropped'],
  ['refused', 'refused again, and kept'],
  ['unknown', 'not there any more'],
  ['underWay', 'being told again by somebody else'],
  ['unreadable', 'not readable'],
  ['later', 'not possible now; try again'],
];

function summaryOf(results: readonly Result[]): string {
  const told = WORDS.flatMap(([outcome, words]) => {
    const count = results.filter((one) => one.outcome === outcome).length;
    return count === 0 ? [] : [`${count.toLocaleString('en')} ${words}`];
  });
  return told.length === 0 ? 'no dead letters' : told.join(' · ');
}

/** All of them, or those of a reason or an age. */
async function collect(call: CommandCall): Promise<{ letters: ShownLetter[]; complete: boolean }> {
  const reason = textOption(call.options, 'reason');
  const before = refusedBefore(call);
  const letters: ShownLetter[] = [];
  let complete = true;
  for (let cursor: string | null = ''; cursor !== null; ) {
    const query = new URLSearchParams({ limit: String(LETTERS_A_REQUEST_MAX) });
    if (reason !== undefined) query.set('reason', reason);
    if (cursor !== '') query.set('cursor', cursor);
    const page = (await askAdmin(call, `${PATH}?${query}`)) as Page; // the route's answer
    letters.push(...page.letters.filter(({ lastEpochMillis }) => lastEpochMillis <= before));
    complete &&= page.complete;
    cursor = page.next;
  }
  return { letters, complete };
}

/** The instant of the age asked for; infinity where any is meant. */
function refusedBefore({ options }: CommandCall): number {
  const text = textOption(options, 'older');
  if (text === undefined) return Number.POSITIVE_INFINITY;
  const millis = parseDurationMillis(text);
  if (millis === null) throw usage(`--older ${text}: expected a duration such as 12h or 90d`);
  return epochMillis() - millis;
}

function whatOf({ op, event }: ShownLetter): string {
  return event === null ? op : event;
}

function originOf({ door, by }: ShownLetter): string {
  return `${door} ${by}`;
}

function reasonsOf(letters: readonly ShownLetter[]): string {
  const counts = new Map<string, number>();
  for (const { refused } of letters)
    for (const reason of new Set(refused.map((one) => one.reason))) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  return [...counts]
    .sort(([, a], [, b]) => b - a)
    .map(([reason, count]) => `${reason} ${count.toLocaleString('en')}`)
    .join(' · ');
}

function usage(message: string): OperatorError {
  return new OperatorError('USAGE', message, { advice: 'See opportune dead-letters --help.' });
}
