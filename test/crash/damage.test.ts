/**
 * Damage on disk, then a start: bytes flipped and tails cut off in the files of a folder that a killed server left.
 * What a start can see it names and refuses, or passes over to the last good state and says so. What is left is
 * damage inside LMDB's own pages, which have no checksums: then either every answer is right, or the server names
 * the record that is not, or `opportune verify` finds it. Never a wrong answer on a folder that verifies as whole.
 */
import { cpSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { EventWriter, viewCount } from '../server/event-writer.ts';
import { RunningNode, type StartedProgram, temporaryFolder, until } from '../server/running-node.ts';
import { catalogText, writeCatalog } from '../server/test-catalogs.ts';
import { WirePeer } from '../server/wire-peer.ts';
import { findingsIn, fractions, report, roundsOf, SEED } from './crash-run.ts';

const ROUNDS = roundsOf(3);
/** What is left of the data file. */
const LEFT = roundsOf(0) === 0 ? [0.5] : [0.98, 0.5, 0.05];
const catalog = writeCatalog(catalogText());
const whole = join(temporaryFolder('whole'), 'data');
const writer = new EventWriter(12);
const NAMED = /damaged|CORRUPT|DAMAGED|not what was written|not readable|differs/;

beforeAll(async () => {
  const node = await RunningNode.start({ catalog, data: whole });
  const peer = await WirePeer.connect(node.url);
  const writing = writer.write(peer, 8);
  await until(() => writer.acknowledgedCount > 200 && readdirSync(join(whole, 'models')).includes('model'));
  writer.stop();
  await writing;
  // Killed: so there is a log to read back, and a checkpoint before it.
  await node.kill();
  expect(await findingsIn(whole)).toEqual([]);
}, 60_000);

function copyOfWhole(): string {
  const copy = join(temporaryFolder('damaged'), 'data');
  cpSync(whole, copy, { recursive: true });
  return copy;
}

function flip(file: string, at: number, mask: number): void {
  const bytes = readFileSync(file);
  bytes[at] = (bytes[at] ?? 0) ^ mask;
  writeFileSync(file, bytes);
}

const PAGE_BYTES = 4096;
/** Of a page header: what kind of page it is; 1 is a branch and 2 a leaf, whose keys and links nothing checks. */
const FLAGS_AT = 18;

/** Where a byte is flipped: every other time in a page of keys, of which there are few. */
function chooseByte(bytes: Buffer, isInKeys: boolean, fraction: () => number): number {
  const pages: number[] = [];
  for (let at = 0; at + PAGE_BYTES <= bytes.length; at += PAGE_BYTES) {
    const isOwn = Number(bytes.readBigUInt64LE(at)) * PAGE_BYTES === at;
    if (isOwn && (bytes.readUInt16LE(at + FLAGS_AT) & 3) !== 0) pages.push(at);
  }
  const page = pages[Math.floor(fraction() * pages.length)];
  if (!isInKeys || page === undefined) return Math.floor(fraction() * bytes.length);
  return page + Math.floor(fraction() * PAGE_BYTES);
}

type Outcome = 'right' | 'refused' | 'named' | 'wrong' | 'signal';

interface StartOutcome {
  readonly outcome: Outcome;
  readonly said: string;
  readonly millis: number;
}

/** Starts on the folder and asks for every profile. */
async function startOn(data: string): Promise<StartOutcome> {
  let program: StartedProgram | undefined;
  const node = await RunningNode.start({ catalog, data, onSpawn: (started) => (program = started) }).catch(
    () => undefined,
  );
  if (node === undefined) {
    const end = await program?.ended;
    return { outcome: end?.signal === null ? 'refused' : 'signal', said: program?.stderr ?? '', millis: 0 };
  }
  let outcome: Outcome = 'right';
  try {
    const peer = await WirePeer.connect(node.url);
    for (const profile of writer.profiles) {
      const count = await viewCount(peer, profile).catch((error: Error) => error);
      if (count instanceof Error) outcome = /closed/.test(count.message) ? 'signal' : 'named';
      else if (count !== writer.acknowledged.get(profile)) outcome = 'wrong';
      if (outcome === 'wrong' || outcome === 'signal') break;
    }
    if (outcome === 'signal' && !node.hasEnded) outcome = 'named'; // the worker ended and said why
  } finally {
    await node.kill();
  }
  return { outcome, said: node.stderr, millis: node.readyMillis };
}

describe('damage', () => {
  it.each(LEFT)(
    'a data file of which only %d is left: the start is refused by name, not ended by a signal',
    async (left) => {
      const data = copyOfWhole();
      const file = join(data, 'store', 'data.mdb');
      const size = readFileSync(file).length;
      truncateSync(file, Math.floor((size * left) / 4096) * 4096);
      const { outcome, said } = await startOn(data);
      expect(outcome, said).toBe('refused');
      expect(said).toMatch(/data file lacks its last \d+ bytes/);
      expect(said).toMatch(/opportune restore/);
      expect((await findingsIn(data)).length).toBeGreaterThan(0);
    },
  );

  it('a data file without its head: refused by name', async () => {
    const data = copyOfWhole();
    const file = join(data, 'store', 'data.mdb');
    const bytes = readFileSync(file);
    writeFileSync(file, bytes.fill(0, 0, 8192));
    const { outcome, said } = await startOn(data);
    expect({ outcome, said }).toEqual({
      outcome: 'refused',
      said: expect.stringMatching(/data\.mdb is not what was written/),
    });
  });

  it('snapshots of models and the checked catalog damaged: passed over, said, and nothing is lost', async () => {
    const data = copyOfWhole();
    for (const name of readdirSync(join(data, 'models'))) flip(join(data, 'models', name), 60, 1);
    flip(join(data, 'catalog.checked'), 100, 1);
    writeFileSync(join(data, 'lock'), 'half a lo');
    const { outcome, said } = await startOn(data);
    expect(outcome, said).toBe('right');
    expect(said).toMatch(/model snapshot .* has a damaged body; it is not used/);
    rmSync(join(data, 'catalog.checked'));
    truncateSync(join(data, 'models', 'model'), 10);
    expect((await startOn(data)).outcome).toBe('right');
  });

  it(`a byte flipped anywhere in the data file, ${ROUNDS} times: named, or right, or found by verify`, {
    timeout: 60_000 + ROUNDS * 15_000,
  }, async () => {
    const fraction = fractions(SEED);
    const counts: Record<Outcome, number> = { right: 0, refused: 0, named: 0, wrong: 0, signal: 0 };
    const recoveries: number[] = [];
    let found = 0;
    const silent: string[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const data = copyOfWhole();
      const file = join(data, 'store', 'data.mdb');
      const at = chooseByte(readFileSync(file), round % 2 === 0, fraction);
      flip(file, at, 1 << Math.floor(fraction() * 8));
      const findings = await findingsIn(data);
      if (findings.length > 0) found++;
      const { outcome, said, millis } = await startOn(data);
      counts[outcome]++;
      if (millis > 0) recoveries.push(millis);
      const where = `byte ${at}, ${outcome}, verify: ${JSON.stringify(findings)}\n${said}`;
      // Damage in LMDB's list of free pages is seen by nobody before a live page is written over: then the server
      // names the value. A wrong answer, or an end by a signal, must have been found by verify before the start.
      const isSaid = outcome === 'named' || (outcome === 'refused' && NAMED.test(said));
      const isNamed = outcome === 'right' || isSaid || findings.length > 0;
      if (!isNamed) silent.push(where);
      rmSync(data, { recursive: true });
    }
    report({
      mode: 'damage',
      rounds: ROUNDS,
      acknowledged: writer.acknowledgedCount,
      lost: silent.length,
      duplicated: 0, // counts that are too high are wrong answers, and among the lost
      recoveryMillis: recoveries,
      note:
        `${counts.right} in bytes that matter to no answer, ${counts.refused} refused at start, ${counts.named} named on reading, ` +
        `${counts.wrong} only verify knew, ${counts.signal} ended by a signal; verify found ${found}`,
    });
    expect(silent).toEqual([]);
  });
});
