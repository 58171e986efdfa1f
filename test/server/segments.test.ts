/** Sizes and previews of what a real server has been told, while it runs and afterwards: as a count by hand gives them. */
import { afterEach, describe, expect, it } from 'vitest';
import { shareInterval } from '../../decision/batch/share-interval.ts';
import { run as showSegments } from '../../server/commands/segments.ts';
import type { SegmentCounts } from '../../workers/segments/count-segments.ts';
import { runCommand } from './run-command.ts';
import { RunningNode } from './running-node.ts';
import { catalogText, writeCatalog } from './test-catalogs.ts';
import { WirePeer } from './wire-peer.ts';

const TAGS = `profile:
  tags:
    looking: { family: behaviour, when: 'count("view", "7d") >= 2', parent: alive }
    alive: { family: lifeCycle, when: 'count("view", "7d") > 0' }
    golden: { family: attributes, when: 'profile.loyalty == "gold"' }
`;
const JOURNEYS = `journeys:
  life:
    exit: 'count("view", "7d") >= 3'
    stages: { known: {}, aware: { when: 'count("view", "7d") >= 1' }, keen: { when: 'count("view", "7d") >= 2', goal: true } }
`;
const catalog = writeCatalog(JOURNEYS + catalogText().replace(/^profile:\n/m, TAGS));
const PEOPLE = 300;
const RULE = 'count("view", "7d") >= 2 && profile.loyalty == "gold" && profile.age >= 50';

let node: RunningNode | undefined;
afterEach(async () => {
  if (node?.hasEnded === false) await node.kill();
});

interface Known {
  readonly views: number;
  readonly loyalty: string | null;
  readonly age: number | null;
}

describe('segments', () => {
  it('sizes and a preview are what a count by hand gives; who restricted it and keys joined are not counted', async () => {
    node = await RunningNode.start({ catalog });
    const peer = await WirePeer.connect(node.url);
    const known: Known[] = Array.from({ length: PEOPLE }, (_, n) => ({
      views: n % 4,
      loyalty: n % 3 === 0 ? 'gold' : n % 3 === 1 ? 'silver' : null,
      age: n % 5 === 0 ? null : 20 + (n % 60),
    }));
    const requests = known.flatMap(({ views, loyalty, age }, n) => {
      const profile = `person-${n}`;
      const view = { op: 'track', profile, event: 'view' };
      const traits = { ...(loyalty === null ? {} : { loyalty }), ...(age === null ? {} : { age }) };
      return [...Array.from({ length: views }, () => view), { op: 'identify', profile, traits }];
    });
    // An identify without traits leaves nobody behind: they are there by a decision.
    for (let n = 0; n < PEOPLE; n++) requests.push({ op: 'decide', profile: `person-${n}` } as never);
    for (let from = 0; from < requests.length; from += 500)
      expect((await peer.askBatch(requests.slice(from, from + 500))).filter(({ ok }) => !ok)).toEqual([]);
    await peer.must({ op: 'consent', profile: 'person-3', purposes: { processing: { granted: false } } });
    await peer.must({ op: 'track', profile: 'visitor', event: 'search' });
    await peer.must({ op: 'alias', from: 'visitor', to: 'person-0' });
    const counted = known.filter((_, n) => n !== 3);
    const isLooking = ({ views }: Known): boolean => views >= 2;
    const isGolden = ({ loyalty }: Known): boolean => loyalty === 'gold';
    const isOld = ({ age }: Known): boolean => age !== null && age >= 50;
    const count = (...all: ((one: Known) => boolean)[]): number =>
      counted.filter((one) => all.every((holds) => holds(one))).length;
    const expected = {
      people: PEOPLE - 1,
      restricted: 1,
      sample: null,
      unkept: [],
      tags: [
        { tag: 'looking', people: count(isLooking) },
        { tag: 'alive', people: count(({ views }) => views > 0) },
        { tag: 'golden', people: count(isGolden) },
      ],
      journeys: [
        {
          journey: 'life',
          stages: [
            { stage: 'known', people: count(({ views }) => views === 0) },
            { stage: 'aware', people: count(({ views }) => views === 1) },
            { stage: 'keen', people: count(({ views }) => views === 2) },
          ],
          left: count(({ views }) => views === 3),
          reached: count(isLooking),
        },
      ],
      rule: {
        matches: count(isLooking, isGolden, isOld),
        clauses: [
          { alone: count(isLooking), without: count(isGolden, isOld) },
          { alone: count(isGolden), without: count(isLooking, isOld) },
          { alone: count(isOld), without: count(isLooking, isGolden) },
        ],
      },
    };
    // At once: most of it is in the journal only.
    const preview = (content: object): Promise<Response> =>
      fetch(`${node?.admin}/v1/segments/preview`, { method: 'POST', body: JSON.stringify(content) });
    const served = await preview({ rule: RULE });
    expect([served.status, await served.json()]).toMatchObject([200, expected]);
    expect(await node.json('/v1/segments')).toMatchObject({ ...expected, rule: null });
    const refused = await preview({ rule: 'profile.nothing == 1' });
    expect([refused.status, await refused.text()]).toEqual([400, expect.stringContaining('nothing')]);
    const { data } = node;
    const beside = await runCommand(showSegments, [], { data, catalog, rule: RULE, json: true });
    expect(JSON.parse(beside.out)).toMatchObject(expected);

    // Somebody new, an event more and somebody erased are seen by the next count.
    await peer.must({ op: 'track', profile: 'latecomer', event: 'view' });
    await peer.must({ op: 'track', profile: 'person-1', event: 'view' });
    await peer.must({ op: 'erase', profile: 'person-2' });
    const [looking = 0, alive = 0, golden = 0] = expected.tags.map(({ people }) => people);
    const later = [looking + 1 - 1, alive + 1 - 1, golden].map((people) => ({ people }));
    expect(await node.json('/v1/segments')).toMatchObject({ people: PEOPLE - 1, restricted: 1, tags: later });
    peer.close();
    expect(await node.stop()).toBe(0);
    const { code, out } = await runCommand(showSegments, [], { data, catalog, rule: RULE, json: true });
    expect(code).toBe(0);
    const stopped = JSON.parse(out) as SegmentCounts;
    expect(stopped).toMatchObject({ people: PEOPLE - 1, restricted: 1, tags: later });

    // A part of all, whose interval holds what is true of all.
    const part = await runCommand(showSegments, [], { data, catalog, rule: RULE, json: true, sample: '150' });
    const { people, rule, sample } = JSON.parse(part.out) as SegmentCounts;
    expect(people).toBeGreaterThan(100);
    expect(people).toBeLessThan(200);
    expect(sample?.share).toEqual(shareInterval(rule?.matches ?? -1, people));
    await expect(runCommand(showSegments, [], { data, catalog, sample: '0' })).rejects.toThrow(/--sample/);
    const shown = await runCommand(showSegments, [], { data, catalog, rule: RULE });
    expect(shown.out).toContain(`the rule matches ${stopped.rule?.matches} of ${PEOPLE - 1}`);
    expect(shown.out).toContain('cuts most');
    expect(shown.out).toMatch(/keen +\d+ +\d+\.\d % +█+/);

    const other = await runCommand(showSegments, [], { data, catalog, rule: 'count("search", "1d") > 0', json: true });
    expect(JSON.parse(other.out)).toMatchObject({ unkept: ['search'], rule: { clauses: [{}] } });
    await expect(runCommand(showSegments, [], { data, catalog, rule: 'profile.nothing == 1' })).rejects.toThrow(
      /nothing/,
    );
  });
});
