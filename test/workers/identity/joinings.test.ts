/** What the shards of two keys say to each other when messages are lost, come twice or come late, and nobody answers. */
import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { isMoved } from '../../../actors/identity.ts';
import { Request } from '../../../proto/request.ts';
import { FAULT, type Fault } from '../../../proto/statuses.ts';
import { type JoiningOutcome, Joinings } from '../../../workers/identity/joinings.ts';
import type { PersonMessage } from '../../../workers/identity/person-message.ts';
import { OneShard } from '../../actors/one-shard.ts';
import { NOON } from '../../actors/test-catalog.ts';

const CATALOG = `version: 1
name: joinings
currency: EUR
timeZone: Europe/Berlin
decision: { explorationProbability: 0, holdoutProbability: 0 }
channels: { app: {} }
actions: [{ key: any, channels: [app], valueMinor: 10, eligibility: 'count("open", "7d") < 1000' }]
`;
const SECOND = 1_000;
const HOUR = 3_600_000;

let shard: OneShard;
let joinings: Joinings;
let sent: PersonMessage[];
let told: JoiningOutcome[];
beforeEach(() => begin(new OneShard({ catalog: CATALOG })));

/** On a disk that is as quick as memory. */
function begin(next: OneShard): void {
  shard = next;
  sent = [];
  told = [];
  joinings = new Joinings({
    runtime: shard.runtime,
    writer: { isReadOnly: false, batchToWaitFor: () => -1, hold: () => {} },
    send: (_partition, message) => sent.push(message),
    eraseSignpost: () => true,
    erased: () => {},
  });
}
function ask(fields: { from: string; to?: string }, now: number): Fault | null {
  return joinings.ask(Object.assign(new Request(), fields), now, (outcome) => told.push(outcome));
}
/** Delivers what was sent, and what that brings about, until nothing is under way. */
function deliver(now: number): void {
  while (sent.length > 0) for (const message of sent.splice(0)) joinings.take(message, now);
}
function wake(now: number): void {
  shard.runtime.wakes.advance(now, 100);
}
function isSignpost(key: string): boolean {
  const { partition, hashLow, hashHigh } = shard.runtime.hashOf(key);
  return shard.runtime.openKnown(partition, hashLow, hashHigh) && isMoved(shard.runtime.record);
}
const view = (profile: string, now: number): void => expect(shard.track({ profile, event: 'open' }, now)).toBeNull();

describe('a joining', () => {
  it('whose message is lost is told again after a second, also by a start that finds it, and counts once', () => {
    view('visitor', NOON);
    expect(ask({ from: 'visitor', to: 'customer' }, NOON)).toBeNull();
    expect(sent.splice(0).map(({ kind }) => kind)).toEqual(['arrive']);
    shard.store.commitNow();
    begin(shard.recovered());
    wake(NOON + 3 * SECOND);
    expect(sent.map(({ kind }) => kind)).toEqual(['arrive']);
    const [arrival] = sent;
    deliver(NOON + 3 * SECOND);
    const bytes = shard.recordBytes('customer');
    if (arrival !== undefined) joinings.take(arrival, NOON + 4 * SECOND);
    deliver(NOON + 4 * SECOND);
    expect(shard.recordBytes('customer')).toEqual(bytes);
    expect(isSignpost('visitor')).toBe(true);
  });

  it('that nobody answers keeps what is asked of the key for two seconds and says so then', () => {
    view('visitor', NOON);
    ask({ from: 'visitor', to: 'customer' }, NOON);
    expect(isSignpost('visitor')).toBe(true);
    const answers: (Fault | 'again')[] = [];
    const waiting = {
      arrivedMicros: 1_000_000,
      again: () => answers.push('again'),
      fail: (fault: Fault) => answers.push(fault),
    };
    expect(joinings.keep(waiting)).toBe(true);
    joinings.tick(2_900_000);
    expect(answers).toEqual([]);
    joinings.tick(3_000_001);
    expect(answers).toEqual([FAULT.joining]);
    expect(joinings.keep({ ...waiting, arrivedMicros: 4_000_000 })).toBe(true);
    deliver(NOON + SECOND);
    expect([answers[1], told]).toEqual(['again', [expect.objectContaining({ fault: null, merged: true })]]);
  });

  it('of which more wait than may is refused', () => {
    view('visitor', NOON);
    ask({ from: 'visitor', to: 'customer' }, NOON);
    isSignpost('visitor');
    const waiting = { arrivedMicros: 0, again: () => {}, fail: () => {} };
    const kept = Array.from({ length: 300 }, () => joinings.keep(waiting));
    expect(kept.filter((isKept) => isKept)).toHaveLength(256);
  });
});

describe('taking a key out again', () => {
  beforeEach(() => {
    view('visitor', NOON);
    ask({ from: 'visitor', to: 'customer' }, NOON);
    deliver(NOON);
    told = [];
  });

  it('goes on after a crash between the two sides', () => {
    expect(ask({ from: 'visitor' }, NOON + 1)).toBeNull();
    const [unjoining] = sent.splice(0);
    if (unjoining !== undefined) joinings.take(unjoining, NOON + 1);
    // The answer is lost with the process.
    expect(sent.splice(0).map(({ kind }) => kind)).toEqual(['unjoined']);
    shard.store.commitNow();
    begin(shard.recovered());
    expect(isSignpost('visitor')).toBe(true);
    wake(NOON + 3 * SECOND);
    expect(sent.map(({ kind }) => kind)).toEqual(['unjoin']);
    deliver(NOON + 3 * SECOND);
    expect(isSignpost('visitor')).toBe(false);
    wake(NOON + 9 * SECOND);
    expect(sent).toEqual([]);
  });

  it('an answer that comes a second time does not part what was joined again meanwhile', () => {
    ask({ from: 'visitor' }, NOON + 1);
    const [unjoining] = sent.splice(0);
    if (unjoining !== undefined) joinings.take(unjoining, NOON + 1);
    const [answer] = sent;
    deliver(NOON + 1);
    ask({ from: 'visitor', to: 'customer' }, NOON + 2);
    deliver(NOON + 2);
    if (answer !== undefined) joinings.take(answer, NOON + 3);
    expect(isSignpost('visitor')).toBe(true);
  });
});

describe('keys that came along with one another', () => {
  interface Shown {
    readonly keys?: { readonly by?: string }[];
    readonly counters: { readonly count: number }[];
    readonly calendar: { readonly hourOfDayCounts: number[] };
  }
  let keys: readonly string[];
  let now: number;
  const shown = (key: string): Shown => shard.describe(key, NOON + 5 * HOUR) as unknown as Shown;

  /** Each key is joined with the next, the first first; the second has told two events in its hour, and so on. */
  function chain(letters: string, isMended = true): void {
    begin(new OneShard({ catalog: CATALOG }));
    keys = [...letters];
    now = NOON + 4 * HOUR;
    for (const [n, key] of keys.entries()) for (let i = 0; i <= n; i++) view(key, NOON + n * HOUR);
    for (const [n, from] of keys.entries()) {
      const to = keys[n + 1];
      if (to === undefined) break;
      expect(ask({ from, to }, ++now)).toBeNull();
      if (isMended) deliver(now);
      else
        while (sent.length > 0)
          for (const message of sent.splice(0)) if (message.kind !== 'repoint') joinings.take(message, now);
    }
    expect(shown(keys.at(-1) ?? '').keys).toHaveLength(keys.length - 1);
    told = [];
  }
  /** What each is and has. */
  const standing = () =>
    keys.map((key) => {
      if (isSignpost(key)) return `${key}: joined`;
      const { keys: joined = [], counters, calendar } = shown(key);
      const hours = calendar.hourOfDayCounts.filter((count) => count > 0);
      return { key, keys: joined.length, views: counters[0]?.count, hours };
    });
  const apart = () => keys.map((key, n) => ({ key, keys: 0, views: n + 1, hours: [n + 1] }));
  /** Lets seconds pass until nothing has been asked again for three of them. */
  function settle(): void {
    for (let n = 0, quiet = 0; quiet < 3; n++) {
      if (n === 40) throw new Error('still under way after forty seconds');
      deliver(now);
      now += SECOND;
      wake(now);
      quiet = sent.length === 0 ? quiet + 1 : 0;
    }
  }
  function restart(): void {
    shard.store.commitNow();
    begin(shard.recovered());
  }

  it.each(['ab', 'ba'])('stand each alone, with their own, when they are taken out in the order %s', (order) => {
    chain('abc');
    for (const from of order) {
      expect(ask({ from }, now)).toBeNull();
      settle();
    }
    expect(told.map(({ fault }) => fault)).toEqual([null, null]);
    expect(standing()).toEqual(apart());
    restart();
    expect(standing()).toEqual(apart());
  });

  it.each([
    ['', true],
    [', though that one never heard that it had moved on', false],
  ])('the one between has the one that came with it when it alone is taken out%s', (_name, isMended) => {
    chain('abc', isMended);
    ask({ from: 'b' }, now);
    settle();
    expect(standing()).toEqual(['a: joined', { key: 'b', keys: 1, views: 3, hours: [1, 2] }, apart()[2]]);
    ask({ from: 'a' }, now);
    settle();
    expect(standing()).toEqual(apart());
  });

  it('an answer of who held it before it went along with another is not taken: the other holds it then', () => {
    chain('abc');
    ask({ from: 'a' }, now);
    const [early] = sent.splice(0);
    ask({ from: 'b' }, now);
    // To c, to a, and back to c, which lets both go; b is not told yet.
    for (let n = 0; n < 3; n++) for (const message of sent.splice(0)) joinings.take(message, now);
    expect(sent.map(({ kind }) => kind)).toEqual(['unjoined']);
    if (early !== undefined) joinings.take(early, now);
    settle();
    expect(told.map(({ fault }) => fault)).toEqual([null, null]);
    expect(standing()).toEqual(apart());
  });

  it('a round that comes back late does not part what was joined again meanwhile', () => {
    chain('abc');
    ask({ from: 'b' }, now);
    for (let n = 0; n < 2; n++) for (const message of sent.splice(0)) joinings.take(message, now);
    const [late] = sent;
    settle();
    ask({ from: 'b', to: 'c' }, now);
    settle();
    const before = standing();
    expect(before.slice(0, 2)).toEqual(['a: joined', 'b: joined']);
    if (late !== undefined) joinings.take(late, now);
    settle();
    expect(standing()).toEqual(before);
    expect(shown('c').keys).toHaveLength(2);
  });

  it('too late, all stay what they were', () => {
    chain('abc');
    now += 31 * 24 * HOUR;
    ask({ from: 'a' }, now);
    settle();
    expect(told.map(({ fault }) => fault)).toEqual([FAULT.unjoinTooLate]);
    expect(standing().slice(0, 2)).toEqual(['a: joined', 'b: joined']);
    expect(shown('c').keys).toHaveLength(2);
  });

  it.each(['ab', 'ba'])('whatever step the process dies behind, in the order %s', (order) => {
    let steps = 0;
    for (let dies = 0; dies <= steps + 1; dies++) {
      chain('abc');
      let taken = 0;
      for (const from of order) {
        expect(ask({ from }, now)).toBeNull();
        while (sent.length > 0) {
          if (taken++ === dies) {
            sent = [];
            restart();
            break;
          }
          const message = sent.shift();
          if (message !== undefined) joinings.take(message, now);
        }
        settle();
      }
      steps = Math.max(steps, taken);
      expect([dies, standing()]).toEqual([dies, apart()]);
    }
    expect(steps).toBeGreaterThan(4);
  });

  it('all at once, by messages that are lost, come twice and in any order, and starts in between', () => {
    const step = fc.constantFrom('first', 'last', 'twice', 'lost', 'second', 'restart');
    const order = fc.constantFrom('ab', 'ba', 'abc', 'acb', 'bac', 'bca', 'cab', 'cba');
    fc.assert(
      fc.property(order, fc.array(step, { maxLength: 24 }), (leaving, steps) => {
        chain('abcd'.slice(0, leaving.length + 1));
        for (const from of leaving) expect(ask({ from }, now)).toBeNull();
        for (const what of steps) {
          if (what === 'second') {
            now += SECOND;
            wake(now);
          } else if (what === 'restart') {
            sent = [];
            restart();
          } else {
            const message = what === 'last' ? sent.pop() : sent.shift();
            if (message === undefined || what === 'lost') continue;
            joinings.take(message, now);
            if (what === 'twice') joinings.take(message, now);
          }
        }
        settle();
        expect(standing()).toEqual(apart());
      }),
      { seed: 7, numRuns: 150 },
    );
  });
});
