/** An endpoint in made time, on a real outbox: order, pauses, the circuit, giving up, sending again, and who is not told of. */
import { afterEach, describe, expect, it } from 'vitest';
import { type EndpointPorts, WebhookEndpoint } from '../../../server/webhooks/webhook-endpoint.ts';
import { type Delivery, WebhookOutbox } from '../../../server/webhooks/webhook-outbox.ts';
import type { WebhookPlan } from '../../../server/webhooks/webhook-plan.ts';
import type { Outcome } from '../../../server/webhooks/webhook-request.ts';
import type { PersonAnswer } from '../../../workers/person-look.ts';
import { temporaryFolder } from '../running-node.ts';

const TAKEN: Outcome = { kind: 'delivered' };
const KNOWN: PersonAnswer = { kind: 'known', traits: { loyalty: 'gold' } };
function failed(status: number, retryAfterMillis: number | null = null): Outcome {
  return { kind: 'failed', status, reason: `it answered ${status}`, retryAfterMillis, isFinal: status === 410 };
}

const PLAN: WebhookPlan = {
  key: 'crm',
  url: 'https://crm.example.com/',
  secretName: 'crm',
  tags: new Map(),
  journeys: new Map(),
  transitions: new Set(['entered', 'left']),
  traits: ['loyalty'],
  tenant: 'default',
  timeoutMillis: 1000,
  retryMillis: 1000,
  triesMax: 4,
};

/** An endpoint whose time, answers and people the test has in hand. */
class Bench {
  now = 1_000_000;
  readonly timers: { at: number; call: () => void }[] = [];
  readonly sent: { readonly at: number; readonly id: string; readonly body: string }[] = [];
  readonly logged: string[] = [];
  answer: (id: string) => Outcome | Promise<Outcome> = () => TAKEN;
  look: (partition: number) => PersonAnswer | null = () => KNOWN;
  secrets: readonly Uint8Array[] | string = [new Uint8Array(24)];
  readonly outbox: WebhookOutbox;
  readonly endpoint: WebhookEndpoint;

  private constructor(outbox: WebhookOutbox) {
    this.outbox = outbox;
    const ports: EndpointPorts = {
      now: () => this.now,
      after: (millis, call) => {
        const timer = { at: this.now + millis, call };
        this.timers.push(timer);
        return () => this.timers.splice(this.timers.indexOf(timer), 1);
      },
      look: (_, { partition }) => Promise.resolve(this.look(partition)),
      secrets: () => this.secrets,
      post: async (_, id, body) => {
        this.sent.push({ at: this.now, id, body });
        return this.answer(id);
      },
      log: (level, message) => this.logged.push(`${level} ${message}`),
    };
    this.endpoint = new WebhookEndpoint(PLAN, outbox, ports);
  }

  static async open(path = temporaryFolder('outbox')): Promise<Bench> {
    const bench = new Bench(await WebhookOutbox.open(path, 1, () => [{ epoch: 1, stream: 0, batch: 7 }]));
    open.push(bench);
    return bench;
  }

  async take(...people: number[]): Promise<Delivery[]> {
    const taken = people.map((partition, n) => ({
      delivery: {
        id: `d${this.outbox.pending.size + n}`,
        ...{ webhook: 'crm', told: { type: 'tag.entered', about: { tag: 'silent', family: 'lifeCycle' } } },
        ...{ partition, low: 2, high: 1, atEpochMillis: 5, stateSeq: 1, tries: 0, nextAtEpochMillis: 0 },
      },
      died: null,
    }));
    const pending = await this.outbox.take([{ epoch: 1, stream: 0, batch: 8 }], taken, this.now);
    for (const delivery of pending) this.endpoint.add(delivery);
    return pending;
  }

  /** Lets what is under way come to rest: a write to the outbox is a turn of the real disk. */
  async rest(): Promise<void> {
    for (let quiet = 0, seen = ''; quiet < 3; ) {
      await this.outbox.settled();
      await new Promise((wake) => setImmediate(wake));
      const state = `${this.sent.length} ${this.endpoint.pending} ${this.timers.length} ${this.endpoint.circuit}`;
      quiet = state === seen ? quiet + 1 : 0;
      seen = state;
    }
  }

  /** Goes to the next timer, and lets what it began come to rest. */
  async next(): Promise<void> {
    const timer = this.timers.sort((a, b) => a.at - b.at).shift();
    if (timer === undefined) throw new Error('nothing waits');
    this.now = Math.max(this.now, timer.at);
    timer.call();
    await this.rest();
  }
}

const open: Bench[] = [];
afterEach(async () => {
  for (const { endpoint, outbox } of open.splice(0)) {
    endpoint.close();
    await outbox.close();
  }
});

describe('webhook endpoint', () => {
  it('webhook endpoint: tells who, what and the traits as they are, and leaves nothing behind', async () => {
    const bench = await Bench.open();
    await bench.take(3);
    await bench.rest();
    expect(bench.sent.map(({ body }) => JSON.parse(body))).toEqual([
      {
        type: 'tag.entered',
        timestamp: '1970-01-01T00:00:00.005Z',
        data: {
          person: '0000000100000002',
          ...{ tag: 'silent', family: 'lifeCycle', atEpochMillis: 5, stateSeq: 1, traits: { loyalty: 'gold' } },
        },
      },
    ]);
    expect(bench.outbox.pending.size).toBe(0);
    expect(bench.endpoint.counts).toMatchObject({ delivered: 1, failed: 0 });
  });

  it('webhook endpoint: one delivery a person at a time, in order, and others are not held up by it', async () => {
    const bench = await Bench.open();
    bench.answer = (id) => (id === 'd0' && bench.sent.length < 3 ? failed(500) : TAKEN);
    await bench.take(1, 1, 2);
    await bench.rest();
    expect(bench.sent.map(({ id }) => id)).toEqual(['d0', 'd2']);
    await bench.next();
    expect(bench.sent.map(({ id }) => id)).toEqual(['d0', 'd2', 'd0', 'd1']);
  });

  it('webhook endpoint: pauses double, within half and all of them; then it is given up and kept', async () => {
    const bench = await Bench.open();
    bench.answer = () => failed(500);
    await bench.take(1);
    await bench.rest();
    while (bench.timers.length > 0) await bench.next();
    const pauses = bench.sent.slice(1).map(({ at }, n) => at - (bench.sent[n]?.at ?? 0));
    expect(pauses).toHaveLength(3);
    for (const [n, pause] of pauses.entries()) {
      expect(pause).toBeGreaterThanOrEqual(500 * 2 ** n);
      expect(pause).toBeLessThanOrEqual(1000 * 2 ** n);
    }
    expect(bench.endpoint.deadOnes()).toMatchObject([{ reason: 'it answered 500', delivery: { id: 'd0', tries: 4 } }]);
    expect(bench.endpoint.counts).toMatchObject({ failed: 4, dead: 1 });

    bench.answer = () => TAKEN;
    expect(await bench.endpoint.resend('other')).toBe(0);
    expect(await bench.endpoint.resend(null)).toBe(1);
    await bench.rest();
    expect(bench.endpoint.counts.delivered).toBe(1);
    expect([bench.outbox.pending.size, bench.outbox.dead.size]).toEqual([0, 0]);
  });

  it('webhook endpoint: who answers 410 wants it no more', async () => {
    const bench = await Bench.open();
    bench.answer = () => failed(410);
    await bench.take(1);
    await bench.rest();
    expect(bench.sent).toHaveLength(1);
    expect(bench.endpoint.deadOnes()).toHaveLength(1);
  });

  it('webhook endpoint: a pause that is asked for holds for everybody', async () => {
    const bench = await Bench.open();
    bench.answer = () => (bench.sent.length === 1 ? failed(429, 30_000) : TAKEN);
    await bench.take(1);
    await bench.rest();
    await bench.take(2, 3);
    await bench.rest();
    expect(bench.sent).toHaveLength(1);
    while (bench.timers.length > 0) await bench.next();
    const [first, ...others] = bench.sent.map(({ at }) => at);
    expect(others).toHaveLength(3);
    for (const at of others) expect(at - (first ?? 0)).toBeGreaterThanOrEqual(30_000);
  });

  it('webhook endpoint: after five failures in a row it is tried by one delivery now and then, until one is taken', async () => {
    const bench = await Bench.open();
    let isDown = true;
    bench.answer = () => (isDown ? failed(503) : TAKEN);
    await bench.take(...Array.from({ length: 40 }, (_, person) => person));
    await bench.rest();
    // Eight were under way when it opened.
    expect(bench.sent).toHaveLength(8);
    expect(bench.endpoint.circuit).toBe('open');
    const startedAt = bench.now;
    while (bench.now < startedAt + 300_000) await bench.next();
    // A probe after 1, 2, 4 … 60 s, each of them a bit sooner: not the hundreds that 40 deliveries' own pauses would be.
    expect(bench.sent.length).toBeGreaterThan(10);
    expect(bench.sent.length).toBeLessThan(30);
    isDown = false;
    while (bench.timers.length > 0) await bench.next();
    expect(bench.endpoint).toMatchObject({ circuit: 'closed', pending: 0, problem: null });
    expect(bench.endpoint.counts.delivered + bench.endpoint.counts.dead).toBe(40);
    expect(bench.logged.filter((line) => line.includes('now and then'))).toHaveLength(1);
    expect(bench.logged.filter((line) => line.includes('answers again'))).toHaveLength(1);
  });

  it('webhook endpoint: nothing is sent of who restricted it, refused sharing or is gone; where a key was joined, of the other', async () => {
    const bench = await Bench.open();
    const answers: Record<number, PersonAnswer> = {
      1: { kind: 'withheld' },
      2: { kind: 'gone' },
      3: { kind: 'moved', to: { partition: 4, low: 40, high: 4 } },
    };
    bench.look = (partition) => answers[partition] ?? KNOWN;
    await bench.take(1, 2, 3);
    await bench.rest();
    expect(bench.sent.map(({ body }) => JSON.parse(body).data.person)).toEqual(['0000000400000028']);
    expect(bench.endpoint.counts).toMatchObject({ delivered: 1, skipped: 2 });
    expect(bench.outbox.pending.size).toBe(0);
  });

  it('webhook endpoint: while the owner cannot be asked, or there is no secret, it waits and uses up no try', async () => {
    const bench = await Bench.open();
    bench.look = () => null;
    await bench.take(1);
    await bench.rest();
    await bench.next();
    bench.look = () => KNOWN;
    bench.secrets = 'neither is set';
    await bench.next();
    await bench.next();
    expect(bench.sent).toEqual([]);
    expect(bench.endpoint.problem).toBe('neither is set');
    bench.secrets = [new Uint8Array(24)];
    while (bench.timers.length > 0) await bench.next();
    expect(bench.endpoint.counts).toMatchObject({ delivered: 1, failed: 0 });
    expect(bench.logged.filter((line) => line.startsWith('error'))).toHaveLength(1);
  });

  it('webhook endpoint: of those given up, who was erased is forgotten', async () => {
    const bench = await Bench.open();
    bench.answer = () => failed(410);
    await bench.take(1, 2);
    await bench.rest();
    bench.look = (partition) => (partition === 1 ? { kind: 'gone' } : KNOWN);
    await bench.endpoint.forgetErased();
    expect(bench.endpoint.deadOnes().map(({ delivery }) => delivery.partition)).toEqual([2]);
  });

  it('webhook endpoint: another address is tried at once', async () => {
    const bench = await Bench.open();
    bench.answer = () => failed(500, 3_000_000);
    await bench.take(1);
    await bench.rest();
    await bench.take(2);
    await bench.rest();
    bench.answer = () => TAKEN;
    bench.endpoint.usePlan({ ...PLAN, url: 'https://other.example.com/' });
    await bench.rest();
    expect(bench.sent.map(({ id }) => id)).toHaveLength(2);
    expect(bench.endpoint.counts.delivered).toBe(1);
  });
});

describe('webhook outbox', () => {
  it('webhook outbox: what was taken, tried, given up and how far was read is there after it was closed', async () => {
    const path = temporaryFolder('outbox');
    const bench = await Bench.open(path);
    bench.answer = (id) => (id === 'd0' ? failed(410) : failed(500));
    await bench.take(1, 2, 3);
    await bench.rest();
    bench.endpoint.close();
    await bench.outbox.close();
    open.pop();
    const again = await Bench.open(path);
    expect(again.outbox.positions).toEqual([{ epoch: 1, stream: 0, batch: 8 }]);
    expect([...again.outbox.pending.values()].map(({ id, tries }) => [id, tries])).toEqual([
      ['d1', 1],
      ['d2', 1],
    ]);
    expect([...again.outbox.dead.values()].map(({ delivery }) => delivery.id)).toEqual(['d0']);
    // Numbers go on.
    const [next] = await again.take(9);
    expect(next?.seq).toBe(4);
  });
});
