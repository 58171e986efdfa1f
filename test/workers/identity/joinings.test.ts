/** What the shards of two keys say to each other when messages are lost, come twice or come late, and nobody answers. */
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
actions: [{ key: any, channels: [app], valueMinor: 10 }]
`;
const SECOND = 1_000;

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
const view = (profile: string, now: number): void => expect(shard.track({ profile, event: 'view' }, now)).toBeNull();

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
