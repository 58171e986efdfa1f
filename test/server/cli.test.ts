import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { DecideReply } from '../../proto/messages.ts';
import { runCli } from '../../server/cli.ts';
import { type CommandCall, type CommandIo, type CommandOptions, EXIT } from '../../server/commands/command.ts';
import { COMMANDS } from '../../server/commands/command-table.ts';
import type { Connect, ServerConnection } from '../../server/commands/connection.ts';
import { askOnce, urlOf, wholeOption } from '../../server/commands/connection.ts';
import { run as decide } from '../../server/commands/decide.ts';
import { parsePairs } from '../../server/commands/pairs.ts';
import { run as profile } from '../../server/commands/profile.ts';
import { run as track } from '../../server/commands/track.ts';
import { OperatorError } from '../../server/operator-error.ts';

const folder = mkdtempSync(join(tmpdir(), 'opportune-cli-'));
afterAll(() => rmSync(folder, { recursive: true }));

interface Heard extends CommandIo {
  readonly said: { out: string; err: string };
}

function terminal(environment: Record<string, string> = {}): Heard {
  const said = { out: '', err: '' };
  return {
    said,
    out: (text) => {
      said.out += text;
    },
    err: (text) => {
      said.err += text;
    },
    hasColour: false,
    columns: 100,
    environment,
  };
}

function call(positionals: string[], options: CommandOptions = {}, io: CommandIo = terminal()): CommandCall {
  return { positionals, options, io };
}

function answering(answers: Partial<ServerConnection>, asked: unknown[] = []): Connect {
  const missing = (): Promise<never> => Promise.reject(new Error('not asked for'));
  const base: ServerConnection = {
    decide: missing,
    track: missing,
    identify: missing,
    alias: missing,
    consent: missing,
    profile: missing,
    export: missing,
    erase: missing,
    close: () => undefined,
  };
  const record =
    <Request, Reply>(answer: (request: Request) => Promise<Reply>) =>
    (request: Request): Promise<Reply> => {
      asked.push(request);
      return answer(request);
    };
  const all = { ...base, ...answers };
  return () =>
    Promise.resolve({ ...all, decide: record(all.decide), track: record(all.track), profile: record(all.profile) });
}

const reply: DecideReply = {
  id: 1,
  ok: true,
  serverMicros: 210,
  decisionId: 'd-1',
  stateSeq: 7,
  catalogVersion: 'abc',
  modelVersion: 3,
  fallback: false,
  actions: [
    {
      action: 'free-shipping',
      creative: 'plain',
      channel: 'app',
      score: 2.5,
      responseProbability: 0.312,
      value: 800,
      propensity: 0.62,
      explored: true,
      leaseExpiresAtEpochMillis: 32_503_680_000_000,
    },
  ],
  price: {
    sku: 'espresso-1kg',
    currency: 'CNY',
    listMinor: 12900,
    priceMinor: 11900,
    maskedPriceMinor: 12500,
    personalised: true,
    propensity: 0.25,
    promotion: null,
    disclosure: 'Price uses your history.',
    quoteId: 'q-1',
    expiresAtEpochMillis: 32_503_680_000_000,
    signature: 's',
  },
  sendTime: {
    channel: 'push',
    atEpochMillis: 32_503_680_000_000,
    local: '2026-11-22T20:00:00+08:00',
    timeZone: 'Asia/Shanghai',
    windowMinutes: 60,
    probability: 0.09,
    nowProbability: 0.03,
  },
  explain: {
    counts: { candidates: 20, eligible: 12, allowed: 9, scored: 9 },
    chosen: [
      {
        action: 'free-shipping',
        contributions: [
          { feature: 'hour=20', value: 1, weight: -0.1, effect: -0.1 },
          { feature: 'loyalty=gold', value: 1, weight: 0.4, effect: 0.4 },
        ],
      },
    ],
    rejected: [
      {
        action: 'vip',
        stage: 'eligibility',
        rule: 'profile.loyalty == "gold"',
        value: 'none',
        threshold: 'gold',
        eligibleAgainAtEpochMillis: null,
      },
      {
        action: 'sale',
        stage: 'contact',
        rule: '3 per 7d on decision',
        value: 3,
        threshold: 3,
        eligibleAgainAtEpochMillis: 32_503_680_000_000,
      },
    ],
  },
};

describe('command line', () => {
  it('cli: --help lists every command and each command has its own help', async () => {
    const io = terminal();
    expect(await runCli(['--help'], io)).toBe(EXIT.ok);
    for (const { name } of COMMANDS) expect(io.said.out).toContain(name.split(' ')[0]);
    for (const { name, isPassThrough } of COMMANDS) {
      if (isPassThrough === true) continue;
      const own = terminal();
      expect(await runCli([...name.split(' '), '--help'], own)).toBe(EXIT.ok);
      expect(own.said.out).toContain(`opportune ${name}`);
    }
  });
  it('cli: every command loads a module with a run function', async () => {
    for (const { name, load } of COMMANDS) {
      if (name === 'start') continue; // loads the server only when run
      expect(typeof (await load()).run).toBe('function');
    }
  });
  it.each([
    [['strat'], 'start'],
    [['decide'], 'profile'],
    [['start', '--prot', '1'], '--port'],
    [['start', '--port'], '--port'],
    [['track', 'p'], 'event'],
    [['catalog', 'chekc'], 'check'],
  ])('cli: %j is a usage error that names %s', async (words, hint) => {
    const io = terminal();
    expect(await runCli(words, io)).toBe(EXIT.usage);
    expect(io.said.err).toContain(hint);
    expect(io.said.out).toBe('');
  });
  it('cli: config prints value and source, and --json the same as data', async () => {
    const io = terminal({ OPPORTUNE_PORT: '7500' });
    expect(await runCli(['config', '--workers', '3'], io)).toBe(EXIT.ok);
    expect(io.said.out).toMatch(/^port +7500 +environment OPPORTUNE_PORT$/m);
    expect(io.said.out).toMatch(/^workers +3 +flag --workers$/m);
    const json = terminal();
    await runCli(['config', '--json', '--drills'], json);
    expect(JSON.parse(json.said.out)).toMatchObject({ drills: { value: true, source: 'flag --drills' } });
  });
  it('cli: a bad option of start is refused before anything is started', async () => {
    const io = terminal();
    expect(await runCli(['start', '--host', '0.0.0.0'], io)).toBe(EXIT.usage);
    expect(io.said.err).toContain('--allow-remote');
  });
  it('cli: an error of ours shows its stack, one with a code of its own does not', async () => {
    const command = (error: unknown) => [
      {
        name: 'x',
        usage: '',
        summary: 'x',
        options: [],
        load: () => Promise.resolve({ run: () => Promise.reject(error) }),
      },
    ];
    const io = terminal();
    expect(await runCli(['x'], io, command(new TypeError('oops')))).toBe(EXIT.failed);
    expect(io.said.err).toContain('a bug of ours');
    expect(io.said.err).toContain('cli.test.ts');
    const coded = terminal();
    expect(await runCli(['x'], coded, command(Object.assign(new Error('no space'), { code: 'ENOSPC' })))).toBe(
      EXIT.failed,
    );
    expect(coded.said.err).toBe('opportune: no space (ENOSPC)\n');
  });
  it('cli: without a server, a client command says how to start one and exits 3', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    const port = await new Promise<number>((resolve) => {
      server.on('listening', () => resolve((server.address() as { port: number }).port)); // listening on TCP
    });
    await new Promise((resolve) => server.close(resolve));
    const io = terminal();
    expect(await runCli(['decide', 'p', '--url', `ws://127.0.0.1:${port}/v1/ws`, '--timeout', '2000'], io)).toBe(
      EXIT.unreachable,
    );
    expect(io.said.err).toContain('npm start');
  });
});

describe('catalog commands', () => {
  it('cli: catalog schema prints a JSON Schema', async () => {
    const io = terminal();
    expect(await runCli(['catalog', 'schema'], io)).toBe(EXIT.ok);
    expect(JSON.parse(io.said.out)).toMatchObject({ type: 'object' });
  });
  it('cli: catalog check tells file, line and reason, and exits 1', async () => {
    const file = join(folder, 'bad.yaml');
    writeFileSync(file, 'version: 1\nnmae: x\n');
    const io = terminal();
    expect(await runCli(['catalog', 'check', file], io)).toBe(EXIT.failed);
    expect(io.said.err).toMatch(/bad\.yaml:\d+:\d+/);
    const json = terminal();
    expect(await runCli(['catalog', 'check', file, '--json'], json)).toBe(EXIT.failed);
    expect(JSON.parse(json.said.out)).toMatchObject({ valid: false });
    expect(await runCli(['catalog', 'check', join(folder, 'none.yaml')], terminal())).toBe(EXIT.failed);
  });
});

describe('decide', () => {
  it('decide: sends what was asked and shows offer, price, moment and reasons', async () => {
    const io = terminal();
    const asked: unknown[] = [];
    const options = {
      slot: 'home',
      sku: 'espresso-1kg',
      count: '2',
      why: true,
      dryRun: true,
      context: '{"page":"cart"}',
      want: 'action,price',
    };
    const code = await decide(
      call(['c-1042'], options, io),
      answering({ decide: () => Promise.resolve(reply) }, asked),
    );
    expect(code).toBe(EXIT.ok);
    expect(asked).toEqual([
      {
        profile: 'c-1042',
        slot: 'home',
        sku: 'espresso-1kg',
        count: 2,
        want: ['action', 'price'],
        context: { page: 'cart' },
        explain: true,
        dryRun: true,
        deadlineMillis: 5000,
      },
    ]);
    for (const text of [
      'c-1042 in home',
      '210 µs in the server',
      'free-shipping',
      '31.2 %',
      'exploring',
      '119.00 CNY for espresso-1kg',
      'list 129.00 CNY, −7.75 %',
      '125.00 CNY without personal features',
      'Sun 22 Nov 20:00 (+08:00) Asia/Shanghai on push',
      '20 candidates ▸ 12 eligible ▸ 9 allowed now ▸ 9 scored',
      '+0.400',
      '−0.100',
      '3 per 7d on decision',
      'when something changes',
    ]) {
      expect(io.said.out).toContain(text);
    }
    expect(io.said.out.indexOf('loyalty=gold')).toBeLessThan(io.said.out.indexOf('hour=20'));
    expect(io.said.out).not.toContain('\u001b');
  });
  it('decide: --json prints the reply as it came', async () => {
    const io = terminal();
    await decide(call(['p'], { json: true }, io), answering({ decide: () => Promise.resolve(reply) }));
    expect(JSON.parse(io.said.out)).toEqual(reply);
  });
  it('decide: an empty answer says how to see why', async () => {
    const io = terminal();
    const { explain: _explain, price: _price, sendTime: _sendTime, ...bare } = reply;
    await decide(
      call(['p'], {}, io),
      answering({ decide: () => Promise.resolve({ ...bare, actions: [], decisionId: null }) }),
    );
    expect(io.said.out).toContain('--why');
    expect(io.said.out).toContain('dry run');
  });
  it.each([
    [{ count: '0' }],
    [{ count: '33' }],
    [{ count: 'x' }],
    [{ want: 'weather' }],
    [{ context: '[1]' }],
    [{ context: '{' }],
    [{ url: 'http://x' }],
    [{ timeout: '0' }],
  ])('decide: %j is refused before anything is sent', async (options) => {
    const asked: unknown[] = [];
    await expect(decide(call(['p'], options), answering({}, asked))).rejects.toMatchObject({ code: 'USAGE' });
    expect(asked).toEqual([]);
  });
});

describe('track and profile', () => {
  const tracked = {
    id: 1,
    ok: true,
    serverMicros: 300,
    stateSeq: 8,
    durability: 'committed',
    duplicate: false,
  } as const;
  it('track: sends pairs as properties and says how durable it is', async () => {
    const io = terminal();
    const asked: unknown[] = [];
    const options = { decision: 'd-1', at: '2026-11-22T20:00:00+08:00', messageId: 'm' };
    await track(
      call(['p', 'purchase', 'revenueMinor=12900', 'currency=CNY'], options, io),
      answering({ track: () => Promise.resolve(tracked) }, asked),
    );
    expect(asked).toEqual([
      {
        profile: 'p',
        event: 'purchase',
        properties: { revenueMinor: 12900, currency: 'CNY' },
        decisionId: 'd-1',
        messageId: 'm',
        atEpochMillis: Date.UTC(2026, 10, 22, 12),
        deadlineMillis: 5000,
      },
    ]);
    expect(io.said.out).toContain('purchase for p: committed');
  });
  it('track: says when it was a duplicate', async () => {
    const io = terminal();
    await track(
      call(['p', 'view'], {}, io),
      answering({ track: () => Promise.resolve({ ...tracked, duplicate: true }) }),
    );
    expect(io.said.out).toContain('not applied again');
  });
  it.each([[{ at: 'yesterday' }], [{ durability: 'forever' }]])('track: refuses %j', async (options) => {
    await expect(track(call(['p', 'view'], options), answering({}))).rejects.toMatchObject({ code: 'USAGE' });
  });
  it('profile: shows sections, and for an unknown person the command that fills it', async () => {
    const io = terminal();
    const record = {
      traits: { loyalty: 'gold', age: 34 },
      counters: { view: 2 },
      timeline: [{ event: 'view', atEpochMillis: 0 }],
      tags: [],
    };
    await profile(
      call(['p'], {}, io),
      answering({ profile: () => Promise.resolve({ id: 1, ok: true, serverMicros: 1, stateSeq: 3, record }) }),
    );
    expect(io.said.out).toMatch(/traits\n +loyalty +gold\n +age +34/);
    expect(io.said.out).not.toContain('tags');
    const unknown = terminal();
    const empty = { id: 1, ok: true, serverMicros: 1, stateSeq: 0, record: {} } as const;
    await profile(call(['p'], {}, unknown), answering({ profile: () => Promise.resolve(empty) }));
    expect(unknown.said.out).toContain('opportune track p view');
  });
});

describe('asking', () => {
  it('asking: closes the connection whatever happens', async () => {
    let closed = 0;
    const connect: Connect = async () => ({ ...(await answering({})('', 0, '')), close: () => void closed++ });
    await expect(askOnce(call([]), () => Promise.reject(new Error('x')), connect)).rejects.toBeInstanceOf(
      OperatorError,
    );
    await askOnce(call([]), () => Promise.resolve(1), connect);
    expect(closed).toBe(2);
  });
  it.each([
    [{ status: 'NOT_FOUND', code: 1301, retry: 'never' }, 'REQUEST_REFUSED'],
    [{ status: 'UNAVAILABLE', code: 0, retry: 'reconnect' }, 'SERVER_UNREACHABLE'],
    [{}, 'SERVER_UNREACHABLE'],
  ])('asking: a rejection with %j becomes %s', async (facts, code) => {
    const error = Object.assign(new Error('slot "x"'), facts);
    await expect(askOnce(call([]), () => Promise.reject(error), answering({}))).rejects.toMatchObject({
      code,
      message: expect.stringContaining('slot "x"'),
    });
  });
  it('asking: takes the address from the option, the environment, the default', () => {
    expect(urlOf({ url: 'wss://a/v1/ws' }, terminal({ OPPORTUNE_URL: 'ws://b' }))).toBe('wss://a/v1/ws');
    expect(urlOf({}, terminal({ OPPORTUNE_URL: 'ws://b' }))).toBe('ws://b');
    expect(urlOf({}, terminal())).toBe('ws://127.0.0.1:7400/v1/ws');
    expect(wholeOption({}, 'count', 1, 2)).toBeUndefined();
  });
});

describe('pairs', () => {
  it.each([
    ['a=1', 1],
    ['a=-1.5', -1.5],
    ['a=0', 0],
    ['a=007', '007'],
    ['a=1e5', '1e5'],
    ['a=9007199254740993', '9007199254740993'],
    ['a=true', true],
    ['a=false', false],
    ['a=null', null],
    ['a=', ''],
    ['a=x=y', 'x=y'],
    ['a=[1,2]', [1, 2]],
    ['a={"b":1}', { b: 1 }],
    ['a="7"', '7'],
    ['a:=7', '7'],
  ])('pairs: %s is %j', (word, value) => expect(parsePairs([word])).toEqual({ a: value }));
  it('pairs: keeps __proto__ as a key of its own', () => {
    const pairs = parsePairs(['__proto__=1']);
    expect(Object.keys(pairs)).toEqual(['__proto__']);
    expect(Object.getPrototypeOf({})).toBe(Object.prototype);
  });
  it.each([['a'], ['=1'], [''], [':=1'], ['a={'], ['a=[1']])('pairs: refuses %j', (word) => {
    expect(() => parsePairs([word])).toThrow(OperatorError);
  });
  it('pairs: refuses a key given twice', () => expect(() => parsePairs(['a=1', 'a=2'])).toThrow('twice'));
});
