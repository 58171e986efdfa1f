/**
 * `Sec-GPC: 1` on the running server: it binds what came with it, by HTTP and by WebSocket, on whichever worker the
 * person is, and nothing else; the journal says so, and the decisions computed again from it are the same.
 */
import { expect, it } from 'vitest';
import { EXIT } from '../../server/commands/command.ts';
import { run as replayDecision } from '../../server/commands/replay-decision.ts';
import { runCommand } from './run-command.ts';
import { RunningNode } from './running-node.ts';
import { catalogText, writeCatalog } from './test-catalogs.ts';
import { WirePeer, type WireReply } from './wire-peer.ts';

const SIGNALS = `consent:
  signals: { personalisation: [gpc], measurement: [gpc] }
`;
const CATALOG = `${SIGNALS}${catalogText({
  actions: [
    '{ key: plain, channels: [app], slots: [home], valueMinor: 100 }',
    `{ key: golden, channels: [app], slots: [golden], valueMinor: 300, eligibility: 'profile.loyalty == "gold"' }`,
  ],
})}`;
const PEOPLE = Array.from({ length: 8 }, (_, i) => `person-${i}`);
const GPC = { 'sec-gpc': '1' };

it.each(['uws', 'ws'] as const)(
  'Sec-GPC: 1 binds the requests it came with, over HTTP and %s',
  async (transport) => {
    const node = await RunningNode.start({ catalog: writeCatalog(CATALOG), transport });
    const post = async (path: string, body: object, headers: Record<string, string>): Promise<WireReply> => {
      const all = { 'content-type': 'application/json', ...headers };
      const response = await fetch(`${node.admin}${path}`, {
        method: 'POST',
        headers: all,
        body: JSON.stringify(body),
      });
      expect(response.status).toBe(200);
      return (await response.json()) as WireReply;
    };
    const plain = await WirePeer.connect(node.url);
    const page = await WirePeer.connect(node.url, 'json', { headers: GPC });
    // What is no opt-out binds nothing.
    const other = await WirePeer.connect(node.url, 'msgpack', { headers: { 'sec-gpc': '0' } });
    const golden = (profile: string): object => ({ profile, slot: 'golden' });
    for (const profile of PEOPLE) {
      await plain.must({ op: 'identify', profile, traits: { loyalty: 'gold' } });
      const bound = [
        await page.must({ op: 'decide', ...golden(profile) }),
        await post('/v1/decide', golden(profile), GPC),
      ];
      const free = [
        await plain.must({ op: 'decide', ...golden(profile) }),
        await other.must({ op: 'decide', ...golden(profile) }),
        await post('/v1/decide', golden(profile), {}),
      ];
      expect(bound.map(({ actions }) => actions.length)).toEqual([0, 0]);
      expect(free.map(({ actions }) => actions.length)).toEqual([1, 1, 1]);
      // An answer without what is personal is an answer.
      const home = await page.must({ op: 'decide', profile, slot: 'home' });
      expect(home.actions).toHaveLength(1);
      await page.must({ op: 'track', profile, event: 'click', decisionId: home.decisionId });
      await post('/v1/track', { profile, event: 'view' }, GPC);
      await plain.must({ op: 'track', profile, event: 'click', decisionId: free[0]?.decisionId });
      const { record } = await plain.must({ op: 'profile', profile });
      // Nothing of it is the person's stored word.
      expect(record.purposes.personalisation).toEqual({ allowed: true, byDefault: true });
      const rows = record.timeline as WireReply[];
      const events = rows
        .filter(({ type }) => type === 'event')
        .map(({ event, optOut = false, learnt }) => [event, optOut, learnt.length > 0]);
      expect(events.sort()).toEqual([
        ['click', false, true],
        ['click', true, false],
        ['view', true, false],
      ]);
      expect(rows.filter(({ type, optOut }) => type === 'decision' && optOut === true)).toHaveLength(3);
    }
    // Who refused stays refused where no signal comes, and a signal grants nothing.
    const [profile = ''] = PEOPLE;
    await plain.must({ op: 'consent', profile, purposes: { personalisation: { granted: false } } });
    for (const peer of [plain, page])
      expect((await peer.must({ op: 'decide', ...golden(profile) })).actions).toEqual([]);
    // How somebody wishes to be spoken to binds the next answer as well, and is seen again by the replay.
    const muted = PEOPLE[1] ?? '';
    const until = (await plain.must({ op: 'ping' })).timeEpochMillis + 86_400_000;
    await post('/v1/consent', { profile: muted, purposes: { contact: { mutedUntilEpochMillis: until } } }, {});
    const silent = await plain.must({ op: 'decide', profile: muted, slot: 'home', want: ['action'], explain: true });
    expect(silent.actions).toEqual([]);
    expect(silent.explain.rejected[0]).toMatchObject({
      rule: 'muted by the person on app',
      eligibleAgainAtEpochMillis: until,
    });
    for (const peer of [plain, page, other]) peer.close();
    expect(await node.stop()).toBe(0);
    const replayed = await runCommand(replayDecision, [], { all: true, data: node.data, json: true });
    expect(JSON.parse(replayed.out)).toMatchObject({
      recomputed: PEOPLE.length * 6 + 3,
      different: 0,
      differences: [],
    });
    expect(replayed.code).toBe(EXIT.ok);
  },
  60_000,
);
