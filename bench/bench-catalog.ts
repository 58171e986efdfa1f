/**
 * `catalogs/bench.yaml` with another number of actions, for the figures about cost a candidate: its
 * actions are repeated in order under new keys, so that the mix of rules stays the same.
 *
 *     node dist/bench/bench-catalog.js 2500 > bench-2500.yaml && opportune start --catalog bench-2500.yaml
 *
 * With a second number the actions are dealt to that many segments, and each is for people of its own only
 * (`context.segment == "s7"`): 2500 and 125 give every request 20 eligible actions of 2,500.
 */
import { readFileSync } from 'node:fs';
import { benchActionKey } from './load-requests.ts';
import { benchCatalogPath } from './micro/bench-inputs.ts';

/** Throws RangeError unless `actions` is 1 to 2,500, `segments` 0 (none) to `actions`, and `base` ends in a list of `- { key: …` entries. */
export function benchCatalogText(base: string, actions: number, segments = 0): string {
  if (!Number.isInteger(segments) || segments < 0 || segments > actions) {
    throw new RangeError(`the number of segments is ${segments}; it must be a whole number from 0 to ${actions}`);
  }
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
    const named = entry.replace(/key: [^,]+,/, `key: ${benchActionKey(i + 1)},`).trimEnd();
    if (segments === 0) return named;
    return named.replace(/eligibility: '(.*)'/, `eligibility: '($1) && context.segment == "s${i % segments}"'`);
  });
  return `${base.slice(0, listStart)}\nactions:\n${list.join('\n')}\n`;
}

if (process.argv[1]?.endsWith('bench-catalog.js') === true) {
  try {
    const [actions, segments = 0] = process.argv.slice(2).map(Number);
    process.stdout.write(benchCatalogText(readFileSync(benchCatalogPath(), 'utf8'), actions ?? Number.NaN, segments));
  } catch (error) {
    process.exitCode = 2;
    process.stderr.write(`bench-catalog: ${error instanceof Error ? error.message : String(error)}\n`);
  }
}
