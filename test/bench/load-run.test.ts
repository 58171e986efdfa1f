/**
 * The generator against a small server on this same thread: what is checked is what is counted and from
 * when, never how fast. The stalls are far longer than this thread's own delays.
 */

import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer, type Server } from 'node:net';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { launchHere, runFleet, sharePlan } from '../../bench/generator-fleet.ts';
import { mergeHistograms, prepareHistograms } from '../../bench/latency-histogram.ts';
import type { LoadPlan, LoadResult } from '../../bench/load-plan.ts';
import { LoadRun } from '../../bench/load-run.ts';
import { ConnectError } from '../../bench/load-socket.ts';
import {
  answerPlainly,
  DECISION_ID,
  errorReply,
  FAULTS,
  type FakeBehaviour,
  type FakeServer,
  startFakeServer,
} from './fake-server.ts';

let server: FakeServer | null = null;

beforeAll(async () => {
  await prepareHistograms();
});

afterEach(async () => {
  await server?.close();
  server = null;
});

async function fake(behaviour: FakeBehaviour = {}): Promise<FakeServer> {
  server = await startFakeServer(behaviour);
  return server;
}

function plan(url: string, changes: Partial<LoadPlan> = {}): LoadPlan {
  return {
    url,
    shards: null,
    token: null,
    connections: 2,
    loop: 'open',
    ratePerSecond: 500,
    inFlight: 64,
    warmupMillis: 0,
    measureMillis: 400,
    drainMillis: 500,
    requestCount: null,
    keys: { kind: 'random', profiles: 100, exponent: 0, seed: 1, first: 0, stride: 1 },
    request: {
      scenario: 'decide',
      slot: 'home',
      sku: 'espresso-1kg',
      actions: [],
      context: null,
      traits: null,
      durability: null,
      batchSize: 1,
      decisionIdBytes: 0,
      runTag: 't',
    },
    processIndex: 0,
    processCount: 1,
    isLive: false,
    ...changes,
  };
}

async function run(loadPlan: LoadPlan): Promise<LoadResult> {
  return (await LoadRun.connect(loadPlan)).run();
}

describe('LoadRun, open loop', () => {
  it('open: offers exactly rate × time and every request is answered once', async () => {
    const { url, requests } = await fake();
    const result = await run(plan(url));
    expect(result.intended).toBe(200);
    expect(result).toMatchObject({
      sent: 200,
      succeeded: 200,
      failed: 0,
      unsent: 0,
      unanswered: 0,
      unexpectedReplies: 0,
    });
    expect(requests).toHaveLength(200);
    expect(result.latency.count).toBe(200);
    expect(result.serverTime.count).toBe(200);
    expect(result.answers).toMatchObject({ decoded: 1, malformed: 0, withAction: 1, distinctActions: ['action-0001'] });
    expect(result.checksum).not.toBe(0);
    expect(result.generator.sendSlip.count).toBeGreaterThan(0);
    expect(result.sentBytes).toBeGreaterThan(200 * 100);
    expect(new Set(requests.map((request) => request.profile)).size).toBeGreaterThan(50);
  });

  it('open: warm-up is sent but not counted', async () => {
    const { url, requests } = await fake();
    const result = await run(plan(url, { warmupMillis: 200 }));
    expect(result.intended).toBe(200);
    expect(requests).toHaveLength(300);
  });

  it('open: a stall of 200 ms shows in every request that was due meanwhile (no coordinated omission)', async () => {
    // The server falls silent once for 200 ms; a closed loop with one in flight would notice one slow reply.
    let begun = 0;
    let stallUntil = 0;
    const held: (() => void)[] = [];
    const { url } = await fake({
      answer: (request, socket) => {
        begun += 1;
        if (begun === 50) {
          stallUntil = 1;
          setTimeout(() => {
            stallUntil = 0;
            for (const release of held) release();
          }, 200);
        }
        if (stallUntil === 0) return answerPlainly(request);
        held.push(() => socket.send(answerPlainly(request)));
        return false;
      },
    });
    const result = await run(plan(url, { connections: 1, inFlight: 1 }));
    const latency = mergeHistograms([result.latency]);
    expect(latency.count).toBe(200);
    // 100 of the 200 requests fell due during the stall, waiting 200 ms down to 0: p99 of all is near
    // 196 ms and p75 near 100 ms. Measured from the send, all but one would be fast.
    expect(latency.percentile(99)).toBeGreaterThan(150_000);
    expect(latency.percentile(75)).toBeGreaterThan(50_000);
    expect(result.heldBack).toBeGreaterThan(50);
    // The wait was the server's: none of it is booked as the generator's lateness.
    expect(mergeHistograms([result.generator.sendSlip]).percentile(75)).toBeLessThan(50_000);
  });

  it('open: a server that never answers leaves every request unanswered or unsent, with its wait', async () => {
    const { url } = await fake({ answer: () => false });
    const result = await run(plan(url, { connections: 1, inFlight: 10, drainMillis: 100 }));
    expect(result.intended).toBe(200);
    expect(result).toMatchObject({ succeeded: 0, unanswered: 10, unsent: 190 });
    expect(result.latency.count).toBe(200);
    expect(result.latency.maxMicros).toBeGreaterThanOrEqual(500_000 - 5_000);
  });

  it('open: refusals are counted by code and kept out of the latency', async () => {
    let seen = 0;
    const { url } = await fake({
      answer: (request) =>
        ++seen % 2 === 0 ? answerPlainly(request) : errorReply(request.id, FAULTS.mailboxFull, 'mailbox full'),
    });
    const result = await run(plan(url, { connections: 1 }));
    expect(result).toMatchObject({ succeeded: 100, failed: 100 });
    expect(result.errors).toEqual([
      { status: 'RESOURCE_EXHAUSTED', code: 1502, count: result.failed, message: 'mailbox full' },
    ]);
    expect(result.latency.count).toBe(result.succeeded);
    expect(result.failureLatency.count).toBe(result.failed);
  });

  it('open: a reply sent twice, or to nobody, is counted as stray and taken for no other', async () => {
    const { url } = await fake({
      answer: (request, socket) => {
        const reply = answerPlainly(request);
        socket.send(reply);
        socket.send(answerPlainly({ ...request, id: 4_000_000_000 }));
        return reply;
      },
    });
    const result = await run(plan(url, { drainMillis: 300 }));
    expect(result.succeeded).toBe(200);
    expect(result.unexpectedReplies).toBeGreaterThan(200);
  });

  it('open: lost connections end the run early, with their close code', async () => {
    let seen = 0;
    const { url } = await fake({
      answer: (request, socket) => {
        seen += 1;
        if (seen === 40) socket.close(1013, 'overloaded');
        return answerPlainly(request);
      },
    });
    const result = await run(plan(url, { connections: 1 }));
    expect(result.disconnects).toEqual([{ code: 1013, reason: 'overloaded', count: 1 }]);
    expect(result.intended).toBeLessThan(200);
    expect(result.measuredMillis).toBeLessThan(400);
  });

  it('open: batches count their requests one by one', async () => {
    const fakeServer = await fake();
    const base = plan(fakeServer.url);
    const result = await run({ ...base, request: { ...base.request, scenario: 'batch', batchSize: 10 } });
    expect(result).toMatchObject({ intended: 200, succeeded: 200 });
    expect(fakeServer.batches).toBe(20);
  });

  it('open: mixed credits clicks to the decisions just given, each once', async () => {
    const { url, requests } = await fake();
    const base = plan(url);
    const result = await run({
      ...base,
      request: { ...base.request, scenario: 'mixed', decisionIdBytes: DECISION_ID.length },
    });
    const tracks = requests.filter((request) => request.op === 'track');
    expect(tracks).toHaveLength(40);
    expect(result.latencyByOperation.track?.count).toBe(40);
    expect(result.latencyByOperation.decide?.count).toBe(160);
    const clicks = tracks.filter((request) => request.event === 'click');
    expect(clicks.length).toBeGreaterThan(0);
    for (const click of clicks) expect(click.decisionId).toBe(DECISION_ID);
    expect(new Set(tracks.map((request) => request.messageId)).size).toBe(40);
  });
});

describe('LoadRun, closed loop', () => {
  it('closed: never more in flight than asked for', async () => {
    let waiting = 0;
    let most = 0;
    const { url } = await fake({
      answer: (request, socket) => {
        waiting += 1;
        most = Math.max(most, waiting);
        setImmediate(() => {
          waiting -= 1;
          socket.send(answerPlainly(request));
        });
        return false;
      },
    });
    const result = await run(
      plan(url, { loop: 'closed', connections: 3, inFlight: 4, warmupMillis: 50, measureMillis: 150 }),
    );
    expect(most).toBeLessThanOrEqual(12);
    expect(most).toBeGreaterThanOrEqual(4);
    expect(result.succeeded).toBeGreaterThan(12);
    expect(result).toMatchObject({ failed: 0, unsent: 0, unanswered: 0 });
  });

  it('closed: population sends each key once and stops', async () => {
    const { url, requests } = await fake();
    const base = plan(url);
    const result = await run({
      ...base,
      loop: 'closed',
      inFlight: 2,
      requestCount: 96,
      drainMillis: 5000,
      keys: { kind: 'sequential', profiles: 96, exponent: 0, seed: 0, first: 0, stride: 1 },
      request: { ...base.request, scenario: 'populate', batchSize: 32 },
    });
    expect(result.succeeded).toBe(96);
    expect(new Set(requests.map((request) => request.profile)).size).toBe(96);
  });
});

describe('LoadRun, connecting', () => {
  it('connect: nobody listening is a ConnectError that names the address', async () => {
    const free: Server = createServer().listen(0, '127.0.0.1');
    await once(free, 'listening');
    const { port } = free.address() as AddressInfo; // a TCP listener has an address of this type
    await new Promise((resolve) => free.close(resolve));
    await expect(LoadRun.connect(plan(`ws://127.0.0.1:${port}`))).rejects.toThrow(ConnectError);
    await expect(LoadRun.connect(plan(`ws://127.0.0.1:${port}`))).rejects.toThrow(`127.0.0.1:${port}`);
  });

  it('connect: another subprotocol is refused', async () => {
    const { url } = await fake({ subprotocol: 'opportune.v1.json' });
    await expect(LoadRun.connect(plan(url))).rejects.toThrow(/opportune\.v1\.json|subprotocol|handshake/);
  });

  it.each([
    ['HTTP/1.1 400 Bad Request\r\n\r\n', 'refused the upgrade: HTTP/1.1 400'],
    ['HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: wrong\r\n\r\n', 'wrong Sec-WebSocket-Accept'],
    [`HTTP/1.1 101 ${'x'.repeat(20_000)}`, 'endless HTTP head'],
  ])('connect: a server that answers %j is refused', async (head, part) => {
    const plain = createServer((socket) => {
      socket.on('error', () => {});
      socket.once('data', () => socket.write(head));
    }).listen(0, '127.0.0.1');
    await once(plain, 'listening');
    const { port } = plain.address() as AddressInfo; // a TCP listener has an address of this type
    await expect(LoadRun.connect(plan(`ws://127.0.0.1:${port}`, { connections: 1 }))).rejects.toThrow(part);
    await new Promise((resolve) => plain.close(resolve));
  });
});

describe('runFleet', () => {
  it('fleet: two generators share rate, connections and keys, and their results are one', async () => {
    const { url, requests } = await fake();
    const result = await runFleet(plan(url, { connections: 3 }), 2, launchHere, () => {});
    expect(result.intended).toBe(200);
    expect(result.succeeded).toBe(200);
    expect(requests).toHaveLength(200);
  });

  it('fleet: shares add up to the plan', () => {
    const whole = plan('ws://127.0.0.1:1', { connections: 5, ratePerSecond: 900, requestCount: 100 });
    const shares = [0, 1, 2].map((index) => sharePlan(whole, index, 3));
    const sum = (read: (part: LoadPlan) => number): number => shares.reduce((total, part) => total + read(part), 0);
    expect(sum((part) => part.connections)).toBe(5);
    expect(sum((part) => part.ratePerSecond)).toBe(900);
    expect(sum((part) => part.requestCount ?? 0)).toBe(100);
    expect(shares.map((part) => part.keys.first)).toEqual([0, 1, 2]);
  });

  it('fleet: one generator that cannot connect fails the run', async () => {
    const { url } = await fake();
    let launched = 0;
    const launch: typeof launchHere = (part) => {
      launched += 1;
      return launched === 2 ? Promise.reject(new ConnectError('ECONNECT', 'no more sockets')) : launchHere(part);
    };
    await expect(runFleet(plan(url), 2, launch, () => {})).rejects.toThrow('no more sockets');
  });
});
