/** Living tags on the running server: time ends and begins them also over kill -9 and with another number of workers. */
import { afterEach, describe, expect, it } from 'vitest';
import { epochMillis } from '../../workers/clock.ts';
import { RunningNode, until } from './running-node.ts';
import { catalogText, writeCatalog } from './test-catalogs.ts';
import { WirePeer } from './wire-peer.ts';

const TAGS = `profile:
  tags:
    silent: { family: lifeCycle, when: 'lastSeen("view") > 3' }
    fresh: { family: behaviour, when: 'count("view", "2s") > 0' }
    regular: { family: behaviour, when: 'count("view", "7d") > 0', weight: 2.5 }
`;
const catalog = writeCatalog(catalogText().replace(/^profile:\n/m, TAGS));

let node: RunningNode | undefined;
afterEach(async () => {
  if (node?.hasEnded === false) await node.kill();
});

interface Row {
  readonly type: string;
  readonly atEpochMillis: number;
  readonly changes?: readonly { readonly kind: string; readonly subject: string; readonly isSet: boolean }[];
}
/** When the journal says that the person began to hold the tag. */
async function begunAt(peer: WirePeer, profile: string, tag: string): Promise<number> {
  const { record } = await peer.must({ op: 'profile', profile });
  const begins = ({ changes = [] }: Row): boolean =>
    changes.some(({ kind, subject, isSet }) => kind === 'tag' && subject === tag && isSet);
  return (record.timeline as Row[]).find(begins)?.atEpochMillis ?? Number.NaN; // as PROTOCOL.md has it
}

describe('tags on a node', () => {
  it('killed and started with other workers while timers run: each fires, at its own instant, asked for or not', async () => {
    node = await RunningNode.start({ catalog, workers: 2 });
    const { data } = node;
    const people = ['ann', 'bob', 'cid', 'dee', 'eve'];
    const peer = await WirePeer.connect(node.url);
    const seenAt = new Map<string, number>();
    for (const profile of people) {
      const atEpochMillis = epochMillis();
      seenAt.set(profile, atEpochMillis);
      await peer.must({ op: 'track', profile, event: 'view', atEpochMillis });
      const { record } = await peer.must({ op: 'profile', profile });
      expect(Object.keys(record.tags).sort()).toEqual(['fresh', 'regular']);
      expect(record.tags.regular).toMatchObject({ weight: 2.5, family: 'behaviour' });
    }
    await node.kill();
    node = await RunningNode.start({ catalog, workers: 1, data });
    const again = await WirePeer.connect(node.url);
    // Only one of them is asked for, until the others' second has passed as well.
    await until(async () => {
      const { record } = await again.must({ op: 'profile', profile: 'eve' });
      return 'silent' in record.tags && epochMillis() > (seenAt.get('eve') ?? 0) + 4_500;
    });
    for (const profile of people) {
      const askedAt = epochMillis();
      const { record } = await again.must({ op: 'profile', profile });
      expect(Object.keys(record.tags).sort()).toEqual(['regular', 'silent']);
      expect(record.tags.silent.sinceEpochMillis).toBe((seenAt.get(profile) ?? 0) + 3_001);
      expect(await begunAt(again, profile, 'silent')).toBeLessThan(askedAt);
    }
    expect(await node.stop()).toBe(0);
  });
});
