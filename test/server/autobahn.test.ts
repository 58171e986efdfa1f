import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CLOSE_CODE } from '../../proto/limits.ts';
import { loadNative } from '../../server/uws-native.ts';
import { AUTOBAHN_CASES, type AutobahnCase } from './autobahn-cases.ts';
import { type AdapterName, RawPeer, type Recorded, startRecorded, until } from './transport-peer.ts';

const adapters = (['uws', 'ws'] as const).filter((adapter) => adapter === 'ws' || hasNative());

function hasNative(): boolean {
  const load = loadNative();
  if (load.library === undefined) console.warn(`SKIPPED: RFC 6455 cases on uws: ${load.reason}`);
  return load.library !== undefined;
}

/** What a client sees: `ok`, or how the end differs. Anything else that differs fails the test. */
async function observe(server: Recorded, one: AutobahnCase): Promise<string> {
  const peer = await RawPeer.upgraded(server.port);
  try {
    peer.socket.setNoDelay(true);
    const step = one.chop === 0 ? one.bytes.length : one.chop;
    for (let at = 0; at < one.bytes.length && !peer.isEnded; at += step) {
      const isWritten = new Promise((resolve) => peer.socket.write(one.bytes.subarray(at, at + step), resolve));
      await isWritten;
    }
    await until(() => peer.closeCode !== undefined || peer.isEnded);
    const messages = peer.frames.filter(({ opcode }) => opcode < 8);
    const pongs = peer.frames.filter(({ opcode }) => opcode === 10).map(({ payload }) => payload);
    if (one.isFailure) {
      // What came before the fault may have been answered or not; what came behind it may not.
      expect(one.echo.slice(0, messages.length)).toEqual(messages);
      expect(pongs).toEqual([]);
    } else {
      expect(messages).toEqual(one.echo);
      expect(pongs).toEqual(one.pongs);
    }
    const code = peer.closeCode;
    return code === undefined ? 'cut' : one.close.includes(code) ? 'ok' : String(code);
  } finally {
    peer.socket.destroy();
  }
}

/** Deviations as docs/CONFORMANCE.md lists them: case → what is seen. */
function documented(adapter: AdapterName): Map<string, string> {
  const page = readFileSync('docs/CONFORMANCE.md', 'utf8');
  const found = new Map<string, string>();
  for (const [, transport, cases = '', seen = ''] of page.matchAll(/^\| `(uws|ws)` +\| ([^|]+?) +\| `?(\w+)`? +\|/gm)) {
    if (transport === adapter) for (const id of cases.split(', ').flatMap(expand)) found.set(id, seen);
  }
  return found;
}

/** `3.1-3.7` as its seven cases. */
function expand(range: string): string[] {
  const [from = '', to] = range.split('-');
  if (to === undefined) return [from];
  const stem = from.slice(0, from.lastIndexOf('.') + 1);
  const [first, last] = [from, to].map((id) => Number(id.slice(id.lastIndexOf('.') + 1))) as [number, number]; // two ids
  return Array.from({ length: last - first + 1 }, (_, index) => `${stem}${first + index}`);
}

describe.each(adapters)('RFC 6455 on %s', (adapter) => {
  let server: Recorded;
  const listed = documented(adapter);
  const met = new Set<string>();

  beforeAll(async () => {
    server = await startRecorded(adapter);
  });
  afterAll(() => server.transport.closeAll(CLOSE_CODE.goingAway, ''));

  it.each(AUTOBAHN_CASES)('case $id: $about', async (one) => {
    const seen = await observe(server, one);
    expect(seen).toBe(listed.get(one.id) ?? 'ok');
    if (seen !== 'ok') met.add(one.id);
  });

  it('deviates in the listed cases and in no other', () => {
    expect([...met].sort()).toEqual([...listed.keys()].sort());
    console.info(
      `RFC 6455 on ${adapter}: ${AUTOBAHN_CASES.length - met.size} of ${AUTOBAHN_CASES.length} cases as the standard says`,
    );
  });

  it('serves on and keeps no connection of all these', async () => {
    await until(() => server.transport.connectionCount() === 0);
    const peer = await RawPeer.upgraded(server.port);
    expect(server.transport.connectionCount()).toBe(1);
    peer.socket.destroy();
  });
});

it('AUTOBAHN_CASES: each has a number of its own', () => {
  expect(new Set(AUTOBAHN_CASES.map(({ id }) => id)).size).toBe(AUTOBAHN_CASES.length);
});
