/**
 * `catalogs/bench.yaml` with another number of actions, for the figures about cost a candidate: its
 * actions are repeated in order under new keys, so that the mix of rules stays the same.
 *
 *     node dist/bench/bench-catalog.js 2500 > bench-2500.yaml && opportune start --catalog bench-2500.yaml
 */
import { readFileSync } from 'node:fs';
import { benchActionKey } from './load-requests.ts';
import { benchCatalogPath } from './micro/bench-inputs.ts';

/** Throws RangeError unless `actions` is 1 to 2,500 and `base` ends in a list of `- { key: …` entries. */
export function benchCatalogText(base: string, actions: number): string {
  if (!Number.isInteger(actions) || actions < 1 || actions > 2500) {
    throw new RangeError(`the number of actions is ${actions}; it must be a whole number from 1 to 2500`);
  }
  const listStart = base.indexOf('\nactions:\n');
  const entries = base
    .slice(listStart + '\nactions:\n'.length)
    .split(/^(?= {2}- \{ key: )/m)
    .filter((entry) => entry.startsWith('  - { key: '));
  if (listStart < 0 || entries.length === 0) throw new RangeError('the base catalog has no list of actions at its end');
  const list = Array.from({ length: actions }, (_, i) => {
    const entry = entries[i % entries.length] ?? '';
    return entry.replace(/key: [^,]+,/, `key: ${benchActionKey(i + 1)},`).trimEnd();
  });
  return `${base.slice(0, listStart)}\nactions:\n${list.join('\n')}\n`;
}

if (process.argv[1]?.endsWith('bench-catalog.js') === true) {
  try {
    process.stdout.write(benchCatalogText(readFileSync(benchCatalogPath(), 'utf8'), Number(process.argv[2])));
  } catch (error) {
    process.exitCode = 2;
    process.stderr.write(`bench-catalog: ${error instanceof Error ? error.message : String(error)}\n`);
  }
}
