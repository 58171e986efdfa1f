/** Logged decisions computed again: none differs, and what was changed or is gone is said, by name. */
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CHOSEN, DECISION, EFFECT, Effect, EVENT, EVENT_FLAG } from '../../../actors/effect.ts';
import { MARK } from '../../../actors/journal-marks.ts';
import { isTimekeeping } from '../../../actors/standing.ts';
import { writeDecisionLog } from '../../../bench/decision-log.ts';
import { textHash } from '../../../proto/murmur3.ts';
import { deriveSecret } from '../../../workers/node-secret.ts';
import { recomputeDecisions } from '../../../workers/recompute/recompute-decisions.ts';
import type { DecisionDifference, RecomputeTotals } from '../../../workers/recompute/recompute-totals.ts';
import { JournalReader } from '../../../workers/store/journal-reader.ts';
import { LmdbStore } from '../../../workers/store/lmdb-store.ts';
import { createZoneTable } from '../../../workers/zone-table.ts';

const ZONES = createZoneTable(textHash);
const DECISIONS = 250;
const SHARDS = 2;
const folder = mkdtempSync(join(tmpdir(), 'opportune-recompute-'));
const log = join(folder, 'log');
let copies = 0;

beforeAll(async () => {
  mkdirSync(log);
  const plan = { folder: log, catalogPath: 'catalogs/retail.yaml', decisions: DECISIONS, shards: SHARDS };
  await writeDecisionLog({ ...plan, people: 12, seed: 3 });
}, 60_000);
afterAll(() => rmSync(folder, { recursive: true }));

async function recompute(
  at: string,
  only?: Parameters<typeof recomputeDecisions>[0]['only'],
): Promise<{ totals: RecomputeTotals; differences: DecisionDifference[] }> {
  const reader = JournalReader.open(join(at, 'store'));
  const differences: DecisionDifference[] = [];
  try {
    const totals = recomputeDecisions({
      reader,
      modelPath: join(at, 'models', 'model'),
      secret: deriveSecret(readFileSync(join(at, 'secret'))),
      zones: ZONES,
      ...(only === undefined ? {} : { only }),
      onDifference: (difference) => differences.push(difference),
    });
    return { totals, differences };
  } finally {
    await reader.close();
  }
}

/** The same log with entries changed (in place) or left out. */
async function changed(change: (entry: Effect, batch: { stream: number; batch: number }) => boolean): Promise<string> {
  const to = join(folder, `copy-${copies++}`);
  mkdirSync(join(to, 'models'), { recursive: true });
  copyFileSync(join(log, 'secret'), join(to, 'secret'));
  const reader = JournalReader.open(join(log, 'store'));
  const entry = new Effect();
  for (let stream = 0; stream < SHARDS; stream++) {
    const store = LmdbStore.open({ path: join(to, 'store'), epoch: 1, stream });
    for (const name of reader.metaNames('catalog:')) store.putMeta(name, reader.getMeta(name) as Uint8Array); // just listed
    for (const batch of reader.read()) {
      if (batch.stream !== stream) continue;
      while (store.openBatch < batch.batch) {
        store.putMeta('empty', Uint8Array.of(1));
        await store.commit();
      }
      for (let offset = 0; ; ) {
        const next = entry.load(batch.bytes, offset);
        if (next < 0) break;
        offset = next;
        if (change(entry, batch)) store.appendJournal(entry.u8, 0, entry.length);
      }
      await store.commit();
    }
    await store.close();
  }
  await reader.close();
  return to;
}

describe('recompute decisions', () => {
  it('all: every decision of two workers that learnt from each other is the same in every bit', async () => {
    const { totals, differences } = await recompute(log);
    expect(differences).toEqual([]);
    expect([totals.recomputed, totals.unreplayable.size]).toEqual([totals.decisions, 0]);
    expect(totals.decisions).toBeGreaterThanOrEqual(DECISIONS);
    expect(totals.prices).toBeGreaterThan(0);
    const reader = JournalReader.open(join(log, 'store'));
    const types = new Map<number, number>();
    const entry = new Effect();
    for (const { bytes } of reader.read()) {
      for (let offset = 0; ; ) {
        offset = entry.load(bytes, offset);
        if (offset < 0) break;
        types.set(entry.type, (types.get(entry.type) ?? 0) + 1);
      }
    }
    await reader.close();
    // Otherwise nothing of what is hard was there.
    for (const type of [EFFECT.event, EFFECT.identify, MARK.start, MARK.publication, MARK.merge, MARK.price]) {
      expect(types.get(type)).toBeGreaterThan(0);
    }
  });

  it('tags: decisions whose rules read them, while events and timers change them, are the same as well', async () => {
    const catalogPath = join(folder, 'tags.yaml');
    const tags = `  tags:
    looking: { family: behaviour, when: 'count("view", "1s") >= 2', parent: any, holdFor: 1s }
    still: { family: lifeCycle, when: 'lastSeen("view") > 0.02', feature: true }
    fading: { family: spending, when: 'count("view", "1d") > 0', weight: 'count("view", "1d") * 1.0', halfLife: 1s }
    any: { family: social }`;
    const text = readFileSync('catalogs/retail.yaml', 'utf8')
      .replace(/^ {2}tags:.*/m, tags)
      .replace(/eligibility: '[^']*'/, `eligibility: 'tag("looking") || tagWeight("fading") > 0.5'`)
      .replace(/eligibility: 'count\([^']*'/, `eligibility: 'tag("still")'`);
    writeFileSync(catalogPath, text);
    const to = join(folder, 'tagged');
    mkdirSync(to);
    await writeDecisionLog({ folder: to, catalogPath, decisions: 160, shards: SHARDS, people: 6, seed: 4 });
    const { totals, differences } = await recompute(to);
    expect(differences).toEqual([]);
    expect([totals.recomputed, totals.unreplayable.size]).toEqual([totals.decisions, 0]);
    const reader = JournalReader.open(join(to, 'store'));
    const entry = new Effect();
    let changes = 0;
    for (const { bytes } of reader.read()) {
      for (let at = entry.load(bytes, 0); at >= 0; at = entry.load(bytes, at))
        if (entry.type === EFFECT.standing && !isTimekeeping(entry)) changes++;
    }
    await reader.close();
    expect(changes).toBeGreaterThan(4);
  }, 60_000);

  it('tampered decision: its field is named with both values, and no other decision differs', async () => {
    let left = 50;
    const to = await changed((entry) => {
      if (entry.type === EFFECT.decision && entry.u8[DECISION.chosenCount] === 1 && left-- === 0) {
        entry.setF64(DECISION.chosen + CHOSEN.propensity, 0.123);
      }
      return true;
    });
    const { totals, differences } = await recompute(to);
    expect(totals.different).toBe(1);
    expect(differences).toHaveLength(1);
    expect(differences[0]?.fields).toHaveLength(1);
    expect(differences[0]?.fields[0]).toMatchObject({ field: 'chosen[0].propensity', logged: '0.123' });
    expect(Number(differences[0]?.fields[0]?.recomputed)).toBeGreaterThan(0);
  });

  it('tampered learning: decisions that knew what is gone differ', async () => {
    let left = 20;
    const lessons = EVENT_FLAG.trial | EVENT_FLAG.response | EVENT_FLAG.trialWithResponse;
    const to = await changed((entry) => {
      if (entry.type === EFFECT.event && (entry.getU32(EVENT.flags) & lessons) !== 0 && left-- > 0) {
        entry.setU32(EVENT.flags, entry.getU32(EVENT.flags) & ~lessons);
      }
      return true;
    });
    const { totals, differences } = await recompute(to);
    expect(totals.different).toBeGreaterThan(0);
    expect(differences.every(({ fields }) => fields.length > 0)).toBe(true);
  });

  it('one decision: found by its id; the rest of the log is only learnt from', async () => {
    let wanted: { partition: number; hashLow: number; hashHigh: number; decisionSeq: number } | undefined;
    await changed((entry) => {
      if (entry.type === EFFECT.decision) {
        const { partition, hashLow, hashHigh } = entry;
        wanted = { partition, hashLow, hashHigh, decisionSeq: entry.getU32(DECISION.decisionSeq) };
      }
      return true;
    });
    const { totals } = await recompute(log, wanted);
    expect([totals.decisions, totals.recomputed, totals.different]).toEqual([1, 1, 0]);
    const none = await recompute(log, { partition: 0, hashLow: 1, hashHigh: 2, decisionSeq: 3 });
    expect(none.totals.decisions).toBe(0);
  });

  it('trimmed journal: what cannot be computed again is counted by its reason, nothing is guessed', async () => {
    const to = await changed((_, { stream, batch }) => stream !== 0 || batch > 1);
    const { totals, differences } = await recompute(to);
    expect(differences).toEqual([]);
    const reasons = [...totals.unreplayable.keys()];
    expect(reasons).toContain('the beginning of start 1, worker 0, has left the journal');
    // The other worker waits in vain for what the first one learnt.
    expect(reasons.some((reason) => reason.startsWith('a worker never wrote what it published'))).toBe(true);
    const unreplayable = [...totals.unreplayable.values()].reduce((sum, { count }) => sum + count, 0);
    expect(totals.recomputed + unreplayable).toBe(totals.decisions);
  });
});
