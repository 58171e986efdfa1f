/**
 * `npm run verify:replay`: writes a log of a million decisions by four shards that learn from each other, and
 * computes every one of them again. Prints what was measured; ends with 1 when a bit differs or a decision
 * cannot be computed again.
 *
 *     npm run verify:replay -- 1000000 4 1        decisions, shards, seed
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { textHash } from '../proto/murmur3.ts';
import { monotonicMillis } from '../workers/clock.ts';
import { deriveSecret } from '../workers/node-secret.ts';
import { recomputeDecisions } from '../workers/recompute/recompute-decisions.ts';
import { JournalReader } from '../workers/store/journal-reader.ts';
import { createZoneTable } from '../workers/zone-table.ts';
import { writeDecisionLog } from './decision-log.ts';

const DIFFERENCES_SHOWN = 10;

async function main(words: readonly string[]): Promise<number> {
  const [decisions = 1_000_000, shards = 4, seed = 1] = words.map(Number);
  if (!(decisions >= 1) || !(shards >= 1)) throw new RangeError('usage: verify:replay [decisions] [shards] [seed]');
  const folder = mkdtempSync(join(tmpdir(), 'opportune-recompute-'));
  try {
    const startedMillis = monotonicMillis();
    const written = await writeDecisionLog({
      folder,
      catalogPath: fileURLToPath(new URL('../../catalogs/retail.yaml', import.meta.url)),
      decisions,
      shards,
      people: Math.max(100, Math.floor(decisions / 20)),
      seed,
    });
    say(
      `written: ${rate('decisions', written.decisions, startedMillis)}, ${written.events} events, ${shards} shards, ${written.refused} refused`,
    );
    const reader = JournalReader.open(join(folder, 'store'));
    const recomputedMillis = monotonicMillis();
    let shown = 0;
    const totals = recomputeDecisions({
      reader,
      modelPath: join(folder, 'models', 'model'),
      secret: deriveSecret(readFileSync(join(folder, 'secret'))),
      zones: createZoneTable(textHash),
      onDifference: ({ subject, fields }) => {
        if (++shown > DIFFERENCES_SHOWN) return;
        for (const { field, logged, recomputed } of fields.slice(0, 5))
          say(`  ${subject}  ${field}: ${logged} → ${recomputed}`);
      },
    });
    await reader.close();
    say(`recomputed: ${rate('decisions', totals.recomputed, recomputedMillis)}`);
    say(`differences: ${totals.different} decisions; prices: ${totals.prices} drawn, ${totals.pricesDifferent} differ`);
    for (const [reason, { count }] of totals.unreplayable) say(`not recomputable: ${count}, ${reason}`);
    const isSame = totals.different + totals.pricesDifferent === 0 && totals.recomputed === written.decisions;
    return isSame ? 0 : 1;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function rate(what: string, count: number, sinceMillis: number): string {
  const seconds = (monotonicMillis() - sinceMillis) / 1000;
  return `${count} ${what} in ${seconds.toFixed(1)} s (${Math.round(count / seconds)} a second)`;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

process.exitCode = await main(process.argv.slice(2));
