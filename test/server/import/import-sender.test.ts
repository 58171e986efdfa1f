/** Rows on their way to a server that does not always take them: order, waiting, and what ends the import. */
import { expect, it } from 'vitest';
import { OpportuneError, type Reply, type RequestBody, type Retry, type Status } from '../../../client/index.ts';
import type { ImportRow } from '../../../server/import/import-row.ts';
import { ImportSender } from '../../../server/import/import-sender.ts';

type Outcome = Reply | OpportuneError;
const failure = (retry: Retry, status: Status = 'UNAVAILABLE', retryAfterMillis = 1): OpportuneError =>
  new OpportuneError(status, 1702, 'the write failed', retry, retryAfterMillis);
const taken = { id: 1, ok: true, duplicate: false } as unknown as Reply; // what the sender looks at

/** A server of which each request's fate is told by its round and place. */
function senderTo(
  fate: (round: number, request: RequestBody, at: number) => Outcome,
  { waitMillis = 60_000, isTokenOver = false } = {},
): { sender: ImportSender; rounds: RequestBody[][]; waits: string[] } {
  const rounds: RequestBody[][] = [];
  const waits: string[] = [];
  let millis = 0;
  const batch = (requests: readonly RequestBody[]): Promise<Outcome[]> => {
    rounds.push([...requests]);
    return Promise.resolve(requests.map((request, i) => fate(rounds.length, request, i)));
  };
  return {
    sender: new ImportSender(
      { batch },
      {
        now: () => millis,
        sleep: (pause: number) => {
          millis += pause;
          return Promise.resolve();
        },
        waitMillis,
        isTokenOver: () => isTokenOver,
        onWait: (reason: string) => waits.push(reason),
      },
    ),
    rounds,
    waits,
  };
}
const told = (profile: string, age: number): ImportRow => ({ profile, traits: { age }, event: null });
const did = (profile: string, messageId: string, traits: ImportRow['traits'] = null): ImportRow => ({
  profile,
  traits,
  event: { event: 'view', messageId, properties: {} },
});

it('identify: what comes later of a person wins, also when what came before must be sent again', async () => {
  const state = new Map<string, unknown>();
  const { sender, rounds } = senderTo((round, request, at) => {
    if (round === 1 && at === 0) return failure('later');
    if (request.op === 'identify') state.set(request.profile, request.traits);
    return taken;
  });
  const refused = await sender.deliver([
    told('ann', 1),
    told('bob', 1),
    told('ann', 2),
    told('bob', 2),
    told('ann', 3),
  ]);
  expect(refused.size).toBe(0);
  expect(state.get('ann')).toEqual({ age: 3 });
  expect(state.get('bob')).toEqual({ age: 2 });
  // Bob's, which were taken, are not sent again.
  expect(rounds.map((round) => round.length)).toEqual([5, 3]);
  expect(sender.counts).toEqual({ events: 0, duplicates: 0, identified: 5 });
});

it('track: only what was not taken is sent again, and counts as new', async () => {
  const { sender, rounds } = senderTo((round, request) => {
    if (round === 1 && request.op === 'track' && request.messageId === '1')
      return failure('reconnect', 'UNAVAILABLE', 0);
    return { ...taken, duplicate: round > 1 || (request.op === 'track' && request.messageId === '3') } as Reply;
  });
  await sender.deliver([did('ann', '1'), did('ann', '2'), did('ann', '3')]);
  expect(rounds.map((round) => round.length)).toEqual([3, 1]);
  expect(sender.counts).toEqual({ events: 3, duplicates: 1, identified: 0 });
});

it('a row whose traits are refused is refused whole: its event is not sent', async () => {
  const { sender, rounds } = senderTo((_, request) =>
    request.op === 'identify' && request.profile === 'bad' ? failure('never', 'INVALID_ARGUMENT') : taken,
  );
  const refused = await sender.deliver([did('bad', '1', { age: -1 }), did('good', '2', { age: 1 })]);
  expect([...refused]).toEqual([[0, 'INVALID_ARGUMENT 1702: the write failed']]);
  expect(rounds[1]?.map((request) => 'profile' in request && request.profile)).toEqual(['good']);
});

it.each<Status>(['PERMISSION_DENIED', 'UNAUTHENTICATED', 'UNIMPLEMENTED'])(
  '%s ends the import at once',
  async (status) => {
    const { sender, rounds } = senderTo(() => failure('never', status));
    await expect(sender.deliver([did('ann', '1'), did('ann', '2')])).rejects.toMatchObject({ code: 'REQUEST_REFUSED' });
    expect(rounds).toHaveLength(1);
  },
);

it('waiting is told with its reason, ever more rarely, and ends after its bound', async () => {
  const { sender, waits } = senderTo(() => failure('later', 'UNAVAILABLE', 500), { waitMillis: 10_000 });
  await expect(sender.deliver([did('ann', '1')])).rejects.toMatchObject({
    code: 'IMPORT_STUCK',
    message: expect.stringMatching(/no row was taken for 10 s: the write failed/),
  });
  // After 1, 2, 4 and 8 seconds.
  expect(waits).toEqual(Array.from({ length: 4 }, () => 'the write failed'));
});

it('a connection that is closed for its token is not waited for', async () => {
  const { sender, rounds } = senderTo(() => failure('reconnect'), { isTokenOver: true });
  await expect(sender.deliver([did('ann', '1')])).rejects.toMatchObject({
    code: 'REQUEST_REFUSED',
    message: expect.stringMatching(/token has ended/),
  });
  expect(rounds).toHaveLength(1);
});
