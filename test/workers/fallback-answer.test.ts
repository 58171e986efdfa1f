/** The answer of a catalog's fallback: who gets it, on which channel, and who gets an empty list. */
import { describe, expect, it } from 'vitest';
import { keyHash } from '../../actors/key-hash.ts';
import { HOLDOUT_SALT, isHeldOut } from '../../decision/holdout.ts';
import { OP } from '../../proto/messages.ts';
import { Request } from '../../proto/request.ts';
import { FAULT } from '../../proto/statuses.ts';
import { compileCatalog } from '../../workers/catalog/compile-catalog.ts';
import { fallbackReply, hasFallback } from '../../workers/fallback-answer.ts';
import { deriveSecret } from '../../workers/node-secret.ts';
import { SECRET_BYTES } from '../actors/one-shard.ts';
import { catalogText } from '../actors/test-catalog.ts';

const { hashSeeds } = deriveSecret(SECRET_BYTES);
const CHANNELS = `{ night: { quietHours: "22:00-08:00" }, capped: { caps: [{ count: 1, per: 24h }] }, app: {}, mail: {} }`;
const SLOTS =
  '{ home: { channels: [app, night] }, inbox: { channels: [mail, capped] }, attic: { channels: [capped] } }';

function catalogOf(action: string, decision = 'fallback: safe,', holdoutProbability = 0) {
  return compileCatalog(
    catalogText({
      decision,
      holdoutProbability,
      channels: CHANNELS,
      slots: SLOTS,
      actions: `{ key: a, channels: [app], valueMinor: 9 }, ${action}`,
    }),
    'test.yaml',
  );
}
const SAFE = '{ key: safe, channels: [night, capped, app, mail], valueMinor: 5 }';

function requestOf(fields: Partial<Request> = {}, profile = 'ann'): Request {
  const request = new Request();
  request.op = OP.decide;
  request.deadlineMillis = 50;
  request.keyBytes = new TextEncoder().encode(profile);
  request.keyLength = request.keyBytes.length;
  return Object.assign(request, fields);
}
function channelOf(fields: Partial<Request>, action = SAFE): string | null | undefined {
  return fallbackReply(catalogOf(action), requestOf(fields), hashSeeds, 1, 2).actions[0]?.channel;
}

describe('fallback', () => {
  it.each([
    ['deadline passed', FAULT.deadlineExceeded, true],
    ['overload', FAULT.overloaded, true],
    ['mailbox full', FAULT.mailboxFull, true],
    ['memory full', FAULT.memoryFull, true],
    ['disk full', FAULT.readOnly, true],
    ['worker being replaced', FAULT.shardRecovering, true],
    ['unknown slot', FAULT.unknownSlot, false],
    ['our own mistake', FAULT.internal, false],
    ['stopping', FAULT.shuttingDown, false],
  ])('%s: stands in only for what says "not now"', (_name, fault, expected) => {
    expect(hasFallback(catalogOf(SAFE), requestOf(), fault)).toBe(expected);
  });

  it.each([
    ['no deadline', { deadlineMillis: 0 }],
    ['a dry run', { isDryRun: true }],
    ['another operation', { op: OP.track }],
  ])('%s: is refused', (_name, fields) => {
    expect(hasFallback(catalogOf(SAFE), requestOf(fields), FAULT.overloaded)).toBe(false);
  });

  it('no fallback declared: refused', () => {
    expect(hasFallback(catalogOf(SAFE, ''), requestOf(), FAULT.overloaded)).toBe(false);
  });

  it('channel: the first of the action that fits the request and has neither caps nor quiet hours', () => {
    expect(channelOf({})).toBe('app');
    expect(channelOf({ slot: 'home' })).toBe('app');
    expect(channelOf({ slot: 'inbox' })).toBe('mail');
    expect(channelOf({ channel: 'mail' })).toBe('mail');
  });

  it('empty list: where no channel fits, where the action may not be shown, or was not asked for', () => {
    expect(channelOf({ slot: 'attic' })).toBeUndefined();
    expect(channelOf({ slot: 'nowhere' })).toBeUndefined();
    expect(channelOf({ channel: 'night' })).toBeUndefined();
    expect(channelOf({ channel: 'app', slot: 'inbox' })).toBeUndefined();
    expect(channelOf({ actions: ['a'] })).toBeUndefined();
    expect(channelOf({ actions: ['a', 'safe'] })).toBe('app');
    expect(
      channelOf({ slot: 'inbox' }, '{ key: safe, channels: [app, mail], slots: [home], valueMinor: 5 }'),
    ).toBeUndefined();
  });

  it('holdout: who is withheld from decisions gets an empty list, by the key alone', () => {
    const catalog = catalogOf(SAFE, 'fallback: safe,', 0.3);
    const hash = new Uint32Array(3);
    let withheld = 0;
    for (let n = 0; n < 300; n++) {
      const request = requestOf({}, `p${n}`);
      keyHash(request.keyBytes, 0, request.keyLength, hashSeeds, hash);
      const isWithheld = isHeldOut(hash[1] as number, hash[0] as number, HOLDOUT_SALT, 0.3);
      if (isWithheld) withheld++;
      expect(fallbackReply(catalog, request, hashSeeds, 1, 2).actions).toHaveLength(isWithheld ? 0 : 1);
    }
    expect(withheld).toBeGreaterThan(0);
  });
});
