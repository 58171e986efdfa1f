/** `opportune consent` and `opportune restrict`: what their words ask the server for, and words that say nothing. */
import { describe, expect, it } from 'vitest';
import type { Connect, ServerConnection } from '../../server/commands/connection.ts';
import { run as consent } from '../../server/commands/consent.ts';
import { run as restrict } from '../../server/commands/restrict.ts';
import { epochMillis } from '../../workers/clock.ts';
import { runCommand } from './run-command.ts';

const HOUR = 3_600_000;

/** A server that says yes, and keeps what it was asked. */
function listening(asked: Record<string, unknown>[]): Connect {
  const connection = {
    consent: (request: Record<string, unknown>) => {
      asked.push(request);
      return Promise.resolve({ id: 1, ok: true, serverMicros: 1, stateSeq: 7 });
    },
    close: () => undefined,
  };
  return () => Promise.resolve(connection as unknown as ServerConnection); // nothing else is asked for
}
async function asks(
  run: typeof consent,
  words: string[],
  options: Record<string, string | boolean> = {},
): Promise<Record<string, unknown>> {
  const asked: Record<string, unknown>[] = [];
  await runCommand((call) => run(call, listening(asked)), words, options);
  const [request = {}] = asked;
  return request;
}

describe('consent', () => {
  it('words become purposes and wishes, several of one purpose together', async () => {
    const words = [
      'c-1',
      'sharing=withdrawn',
      'contact.push=granted',
      'contact.push:quiet=22:00-07:30',
      'contact.push:preference=2',
    ];
    expect(await asks(consent, [...words, 'contact:quiet=none', 'contact:muted=none'])).toMatchObject({
      profile: 'c-1',
      purposes: {
        sharing: { granted: false },
        'contact.push': { granted: true, quietHours: '22:00-07:30', preference: 2 },
        contact: { quietHours: null, mutedUntilEpochMillis: null },
      },
      proof: { source: 'opportune consent' },
    });
  });

  it('spans of time are counted from now', async () => {
    const from = epochMillis();
    const { purposes } = await asks(consent, ['c-1', 'location=30d', 'contact:muted=8h', 'contact.push:muted=2d']);
    const until = epochMillis();
    const { location, contact, ...others } = purposes as Record<string, Record<string, number>>;
    const ends: [number, number | undefined][] = [
      [720 * HOUR, location?.expiresAtEpochMillis],
      [8 * HOUR, contact?.mutedUntilEpochMillis],
      [48 * HOUR, others['contact.push']?.mutedUntilEpochMillis],
    ];
    for (const [span, at = 0] of ends) expect([at >= from + span, at <= until + span]).toEqual([true, true]);
  });

  it('a string without purposes is sent as the proof that says them', async () => {
    const request = await asks(consent, ['c-1'], { tcf: 'CQ', gpp: 'DB', source: 'banner' });
    expect(request).toMatchObject({ profile: 'c-1', proof: { source: 'banner', tcf: 'CQ', gpp: 'DB' } });
    expect(request).not.toHaveProperty('purposes');
  });

  it.each([
    [[]],
    [['sharing']],
    [['sharing=maybe']],
    [['=granted']],
    [['contact:muted=soon']],
    [['contact:muted=0d']],
    [['contact.push:preference=first']],
  ])('%o says nothing', async (words) => {
    await expect(asks(consent, ['c-1', ...words])).rejects.toMatchObject({ code: 'USAGE' });
  });
});

describe('restrict', () => {
  it('restricts, and lifts it, with the reason as proof', async () => {
    expect(await asks(restrict, ['c-1'], { reason: 'contested' })).toMatchObject({
      profile: 'c-1',
      purposes: { processing: { granted: false } },
      proof: { source: 'opportune restrict', text: 'contested' },
    });
    expect(await asks(restrict, ['c-1'], { lift: true })).toMatchObject({
      purposes: { processing: { granted: true } },
    });
  });
});
