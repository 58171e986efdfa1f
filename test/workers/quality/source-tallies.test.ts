/** Counts by source: bounded, kept, handed over to fewer workers, and as the figures that are read. */
import { describe, expect, it } from 'vitest';
import { REFUSAL } from '../../../decision/cleaning/value-rules.ts';
import { sourceQuality } from '../../../workers/quality/source-report.ts';
import { keptSources, SourceTallies, TALLY } from '../../../workers/quality/source-tallies.ts';

class NamedValues {
  readonly values = new Map<string, Uint8Array>();
  getMeta(name: string): Uint8Array | undefined {
    return this.values.get(name);
  }
  putMeta(name: string, bytes: Uint8Array): void {
    this.values.set(name, bytes);
  }
}
function count(tallies: SourceTallies, source: string, columns: Partial<Record<keyof typeof TALLY, number>>): void {
  const row = tallies.of({ door: 'segment', source });
  for (const [name, by] of Object.entries(columns)) {
    const column = TALLY[name as keyof typeof TALLY]; // its own keys
    row[column] = (row[column] ?? 0) + by;
  }
}

describe('source tallies', () => {
  it('beyond the bound sources are counted together, and none is lost', () => {
    const tallies = new SourceTallies(0);
    for (let i = 0; i < 200; i++) count(tallies, `key-${i}`, { received: 1 });
    const rows = tallies.rows();
    expect(rows).toHaveLength(65);
    expect(rows.find(({ source }) => source === 'other')?.counts[TALLY.received]).toBe(200 - 64);
    expect(rows.reduce((sum, { counts }) => sum + (counts[TALLY.received] ?? 0), 0)).toBe(200);
  });

  it('kept and read back; the rows of workers that are no more go to the first, once', () => {
    const store = new NamedValues();
    for (const shard of [0, 1, 2]) {
      const tallies = new SourceTallies(1000 + shard);
      expect(tallies.write(store, shard)).toBe(false);
      count(tallies, 'web', { received: 10 ** shard });
      expect(tallies.write(store, shard)).toBe(true);
      expect(tallies.write(store, shard)).toBe(false);
    }
    const receivedOf = (): number => sourceQuality(keptSources(store).rows)[0]?.received ?? 0;
    expect(receivedOf()).toBe(111);
    const [first, second] = [new SourceTallies(5000), new SourceTallies(5000)];
    first.load(store, 0, 2);
    second.load(store, 1, 2);
    // Before the first has written, what it took over still stands where it was: a crash loses and doubles nothing.
    expect(receivedOf()).toBe(111);
    first.write(store, 0);
    second.write(store, 1);
    expect(receivedOf()).toBe(111);
    expect(keptSources(store).sinceEpochMillis).toBe(1000);
    const again = new SourceTallies(9000);
    again.load(store, 0, 2);
    expect(again.rows()[0]?.counts[TALLY.received]).toBe(101);
    const older = { columns: 3, sinceEpochMillis: 1, rows: [{ door: 'ws', source: 'x', counts: [1, 2, 3] }] };
    store.putMeta('sources:0', new TextEncoder().encode(JSON.stringify(older)));
    expect(sourceQuality(keptSources(store).rows).some(({ source }) => source === 'x')).toBe(false);
  });

  it('figures: shares of what was judged, reasons by name, the worst and the best score', () => {
    const tallies = new SourceTallies(0);
    count(tallies, 'good', { received: 10, accepted: 10, toldShares: 10, toldMessages: 10 });
    count(tallies, 'bad', { received: 4, refused: 4, toldShares: 0, toldMessages: 4, refusedOther: 1 });
    const row = tallies.of({ door: 'segment', source: 'bad' });
    row[TALLY.reasons + REFUSAL.range] = 3;
    count(tallies, 'mixed', {
      received: 13,
      duplicates: 3,
      accepted: 8,
      refused: 2,
      cleaned: 4,
      blemished: 3,
      flagged: 5,
    });
    count(tallies, 'silent', {});
    const [mixed, good, bad, silent] = sourceQuality(tallies.rows());
    expect(good).toMatchObject({ score: 100, completeness: 1, validity: 1, reasons: {} });
    expect(bad).toMatchObject({ score: 0, validity: 0, reasons: { range: 3, other: 1 } });
    // 0.4 × 1 (nothing is declared) + 0.4 × 5/10 + 0.2 × 4/8
    expect(mixed).toMatchObject({ completeness: null, validity: 0.5, score: 70, flagged: 5 });
    expect(silent).toMatchObject({ score: null, validity: null });
  });
});
