import { describe, expect, it } from 'vitest';
import { benchHelp, parseBenchArguments } from '../../bench/bench-arguments.ts';
import { BenchUsageError, benchOptions, parseBenchOptions } from '../../bench/bench-options.ts';

function settings(line: string): ReturnType<typeof parseBenchOptions> {
  const raw = parseBenchArguments(line === '' ? [] : line.split(' '));
  if (typeof raw === 'string') throw new BenchUsageError(raw);
  return parseBenchOptions(raw);
}

describe('bench options', () => {
  it('options: defaults when nothing is said', () => {
    expect(settings('')).toMatchObject({
      url: 'ws://127.0.0.1:7400',
      scenario: 'decide',
      rate: { kind: 'share', share: 0.5 },
      seconds: 10,
      connections: 16,
      profiles: 10_000,
      zipf: 0.99,
      populate: true,
      batchSize: 1,
      slos: [],
      compare: null,
    });
    expect(settings('--scenario cold')).toMatchObject({ profiles: 1_000_000, zipf: 0 });
    expect(settings('--scenario batch')).toMatchObject({ batchSize: 16 });
  });

  it('options: flags in every form arrive', () => {
    expect(
      settings(
        '--rate 2500 --seconds 0.5 --in-flight 1 --slo p99=1ms --slo errors=1% --no-populate --sku none --echo --json -',
      ),
    ).toMatchObject({
      rate: { kind: 'fixed', perSecond: 2500 },
      seconds: 0.5,
      inFlight: 1,
      slos: [{ metric: 'p99' }, { metric: 'errors' }],
      populate: false,
      skus: [],
      echo: true,
      json: '-',
    });
    expect(settings('--compare a.json b.json').compare).toEqual(['a.json', 'b.json']);
    expect(settings('--rate 80%').rate).toEqual({ kind: 'share', share: 0.8 });
    expect(parseBenchOptions({ context: '{"device":"ios"}' }).context).toEqual({ device: 'ios' });
  });

  it.each([
    ['--rate 0', '--rate is 0; it must be a number from 1'],
    ['--rate fast', '--rate is fast'],
    ['--rate 0%', 'above 0%'],
    ['--rate 1e9', '--rate is 1e9'],
    ['--seconds 0', 'from 0.1 to 86400'],
    ['--seconds NaN', '--seconds is NaN'],
    ['--connections 0', 'whole number from 1 to 10000'],
    ['--connections 10001', 'from 1 to 10000'],
    ['--connections 1.5', 'whole number'],
    ['--in-flight 1025', 'from 1 to 1024'],
    ['--window 65537', 'from 1 to 65536'],
    ['--profiles 10000001', 'from 1 to 10000000'],
    ['--zipf 5.1', 'from 0 to 5'],
    ['--zipf=-1', 'from 0 to 5'],
    ['--runs 0', 'from 1 to 100'],
    ['--processes 17', 'needs at least as many --connections; there are 16'],
    ['--scenario nothing', 'must be one of decide'],
    ['--url http://127.0.0.1', 'speaks ws:// only'],
    ['--url wss://127.0.0.1', 'speaks ws:// only'],
    ['--url somewhere', 'is not a URL'],
    ['--slo p98=1ms', 'the metric must be one of'],
    ['--find-max --rate 100', 'leave --rate out'],
    ['--find-max --hgrm x', 'wants an open loop'],
    ['--scenario mixed --echo', '--echo compares one frame size'],
    ['--batch-size 4', 'belongs to --scenario batch'],
    ['--scenario batch --batch-size 1', 'from 2 to 64'],
    ['--scenario price --sku none', 'needs a --sku'],
    ['--scenario track --actions 5', 'belongs to a decide'],
    ['--actions 1025', 'from 1 to 1024'],
    ['--echo-transport uws', 'belongs to --echo'],
    ['--traits [1]', 'must be a JSON object'],
    ['--context {', 'is not JSON'],
    ['--context {"a":[1]}', 'a must be a text, a number or a boolean'],
    ['--durability certain', 'must be one of applied'],
    ['--compare a.json', 'wants two files'],
    ['--compare a.json b.json c.json', '3 given'],
    ['--rate 5 --seconds 0.5', 'fewer than 10 requests'],
    ['--speed 5', "'--speed'"],
    ['decide', 'is not a flag'],
    ['--rate', 'argument missing'],
  ])('options: %s is refused, saying why', (line, part) => {
    expect(() => settings(line)).toThrow(BenchUsageError);
    expect(() => settings(line)).toThrow(part);
  });

  it('options: a name that is not a flag is refused when passed as an object', () => {
    expect(() => parseBenchOptions({ speed: '5' })).toThrow('--speed is not a flag of bench');
  });

  it('help: names every flag and the exit codes', () => {
    expect(parseBenchArguments(['--help'])).toBe('help');
    for (const option of benchOptions) expect(benchHelp()).toContain(option.flags);
    expect(benchHelp()).toContain('3 the generator was unfit');
  });
});
