/** The examples of docs/TAGS.md, run as they stand there. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Scalar } from '../../proto/messages.ts';
import { OneShard } from './one-shard.ts';
import { catalogText } from './test-catalog.ts';

const PAGE = readFileSync('docs/TAGS.md', 'utf8');
const EXAMPLES = [...PAGE.matchAll(/```yaml\n([^`]*)```\n\n```text\n([^`]*)```/g)].map(([, tags = '', lines = '']) => ({
  name: tags.slice(0, tags.indexOf(':')),
  tags: tags.trim().split('\n').join(', '),
  lines: lines.trim().split('\n'),
}));

type Held = Readonly<Record<string, { readonly weight: number }>>;

function run(tags: string, lines: readonly string[]): void {
  const shard = new OneShard({ catalog: catalogText({ actions: '{ key: a, channels: [app], valueMinor: 9 }', tags }) });
  for (const line of lines) {
    const [, at = '', verb = '', rest = ''] = /^(\S+ \S+)\s+(\S+) ?(.*)$/.exec(line) ?? [];
    const now = Date.parse(`${at.replace(' ', 'T')}Z`);
    expect(now, line).not.toBeNaN();
    if (verb !== 'holds') {
      const properties: Record<string, Scalar> = {};
      for (const pair of rest.split(' ').filter((text) => text !== '')) {
        const [name = '', value = ''] = pair.split('=');
        properties[name] = /^\d+$/.test(value) ? Number(value) : value;
      }
      expect(shard.track({ profile: 'ann', event: verb, properties }, now)).toBeNull();
      continue;
    }
    const held = shard.describe('ann', now).tags as Held; // as `profile` shows them
    const wanted = rest === '-' ? [] : rest.split(', ').map((text) => text.split('='));
    expect([line, Object.keys(held).sort()]).toEqual([line, wanted.map(([key]) => key)]);
    for (const [key = '', weight] of wanted) if (weight !== undefined) expect(held[key]?.weight).toBe(Number(weight));
  }
}

describe('docs/TAGS.md', () => {
  it('has its examples', () => {
    expect(EXAMPLES.map(({ name }) => name)).toEqual(['looking', 'acmeLoyal', 'silent', 'spender']);
  });

  it.each(EXAMPLES)('the example "$name" comes to what the page says', ({ tags, lines }) => run(tags, lines));
});
