import { describe, expect, it } from 'vitest';
import { FENCES, findBreaches } from './architecture-rules.ts';
import { readRepositoryFile, sourceTree } from './repository-files.ts';

/** Breaches of a small tree: paths and texts. */
const breachesOf = (files: Record<string, string>): readonly string[] => findBreaches(new Map(Object.entries(files)));

describe('architecture', () => {
  it('architecture: no breach in this repository', () => {
    const tree = sourceTree();
    expect(tree.size).toBeGreaterThan(200);
    expect(findBreaches(tree)).toEqual([]);
  });

  it('architecture: every dependency has a fence, and every fence a dependency', () => {
    const { dependencies, optionalDependencies } = JSON.parse(readRepositoryFile('package.json')) as Record<
      string,
      Record<string, string>
    >; // our own file
    // An operator's own install, and two tools that are for development.
    const others = ['uWebSockets.js', 'tinybench', 'vitest'];
    expect([...Object.keys({ ...dependencies, ...optionalDependencies }), ...others].sort()).toEqual(
      Object.keys(FENCES).sort(),
    );
  });
});

describe('findBreaches', () => {
  const leaf = { 'proto/a.ts': '', 'decision/a.ts': '', 'actors/a.ts': '', 'workers/a.ts': '', 'server/a.ts': '' };

  it('findBreaches: nothing when every arrow points down', () => {
    const files = {
      ...leaf,
      'server/b.ts': "import '../workers/a.ts'; import '../actors/a.ts'; import '../decision/a.ts'; import './a.ts';",
      'workers/b.ts': "import type { A } from '../actors/a.ts'; import fs from 'node:fs';",
      'actors/b.ts': "export { a } from '../decision/a.ts';",
      'decision/b.ts': "import { a } from '../proto/a.ts';",
      'client/b.ts': "import { a } from '../proto/a.ts';",
      'test/b.ts': "import '../server/a.ts'; import 'anything'; const t = Date.now();",
    };
    expect(breachesOf(files)).toEqual([]);
  });

  it.each([
    ['decision/b.ts', '../actors/a.ts', 'decision/ must not know actors/'],
    ['actors/b.ts', '../workers/a.ts', 'actors/ must not know workers/'],
    ['workers/b.ts', '../server/a.ts', 'workers/ must not know server/'],
    ['proto/b.ts', '../decision/a.ts', 'proto/ must not know decision/'],
    ['client/b.ts', '../decision/a.ts', 'client/ must not know decision/'],
    ['bench/b.ts', '../server/a.ts', 'bench/ must not know server/'],
    ['server/b.ts', '../test/a.ts', 'server/ must not know test/'],
    ['server/b.ts', '../bench/a.ts', 'server/ must not know bench/'],
    ['workers/jobs/b.ts', '../../server/a.ts', 'workers/ must not know server/'],
    ['vitest.config.ts', './server/a.ts', ' must not know server/'],
  ])('findBreaches: one when %s imports %s', (path, specifier, words) => {
    const files = { ...leaf, 'test/a.ts': '', 'bench/a.ts': '', [path]: `\nimport type { A } from '${specifier}';` };
    expect(breachesOf(files)).toEqual([expect.stringContaining(words)]);
    expect(breachesOf(files)[0]).toContain(`${path}:2 `);
  });

  it.each(['decision', 'proto', 'client'])('findBreaches: one when %s/ imports a module of Node', (folder) => {
    expect(breachesOf({ [`${folder}/b.ts`]: "import { join } from 'node:path';" })).toHaveLength(1);
    expect(breachesOf({ [`${folder}/b.ts`]: "const a = await import('node:path');" })).not.toEqual([]);
  });

  it('findBreaches: one when a library is imported outside its fence, or has none', () => {
    expect(breachesOf({ 'server/cli.ts': "import { Command } from 'commander';" })).toEqual([]);
    expect(breachesOf({ 'server/b.ts': "import { Command } from 'commander';" })).toEqual([
      expect.stringContaining('only server/cli.ts may'),
    ]);
    expect(breachesOf({ 'workers/b.ts': "import { x } from '@opentelemetry/api/build';" })).toEqual([
      expect.stringContaining('@opentelemetry/api: only server/metrics.ts and server/telemetry.ts may'),
    ]);
    expect(breachesOf({ 'server/b.ts': "import x from 'left-pad';" })).toEqual([expect.stringContaining('no fence')]);
    expect(breachesOf({ 'workers/catalog/b.ts': "import { parse } from 'yaml';" })).toEqual([]);
    expect(breachesOf({ 'workers/b.ts': "const m = await import('yaml');" })).toHaveLength(1);
    expect(breachesOf({ 'workers/b.ts': 'const m = await import(name);' })).toHaveLength(1);
  });

  it('findBreaches: one when a job is loaded where shards run, none for its types', () => {
    const job = { 'workers/jobs/export-log.ts': '', 'workers/jobs/job-thread.ts': "await import('./export-log.ts');" };
    expect(breachesOf({ ...job, 'workers/shard.ts': "import type { A } from './jobs/export-log.ts';" })).toEqual([]);
    expect(breachesOf({ ...job, 'workers/shard.ts': "import { a } from './jobs/export-log.ts';" })).toEqual([
      expect.stringContaining('a job runs in a thread of the pool'),
    ]);
  });

  it('findBreaches: one when an import leads nowhere', () => {
    expect(breachesOf({ 'server/b.ts': "import './gone.ts';" })).toEqual([
      expect.stringContaining('not a source here'),
    ]);
  });

  it.each([
    'const t = Date.now();',
    'const t = Date . now();',
    "const t = Date['now']();",
    'const t = new Date();',
    'const t = new Date( );',
    'const t = new Date;',
    'const t = Date();',
    'const { now } = Date;',
    'const read = clockOf(Date);',
    'const t = performance.now();',
    'const { now } = performance;',
    'const t = process.hrtime.bigint();',
    'const t = Temporal.Now.instant();',
    'const loop = performance.eventLoopUtilization();',
    'const x = Math.random();',
    "const x = Math['random']();",
    'const { random } = Math; const x = Math.random;',
    'crypto.getRandomValues(bytes);',
    "import { randomUUID } from 'node:crypto';",
    'process.exit(1);',
  ])('findBreaches: one when a file that is no port has %j', (code) => {
    expect(breachesOf({ 'workers/b.ts': code })).toHaveLength(1);
  });

  it.each([
    'const t = new Date(atEpochMillis).toISOString();',
    'const t = Date.UTC(2026, 0, 1);',
    '// Date.now() would differ',
    "const text = 'Math.random()';",
    'const at: Date = parse(text);',
    'const value = row.Date;',
    'const high = Math.max(a, b);',
  ])('findBreaches: none when a file has %j', (code) => {
    expect(breachesOf({ 'workers/b.ts': code })).toEqual([]);
  });

  it('findBreaches: none when a port itself asks', () => {
    expect(breachesOf({ 'workers/clock.ts': 'Date.now(); performance.now();' })).toEqual([]);
    expect(breachesOf({ 'client/random.ts': 'crypto.getRandomValues(a);' })).toEqual([]);
    expect(breachesOf({ 'bench/generator-watch.ts': 'performance.eventLoopUtilization();' })).toEqual([]);
  });

  it.each([
    'async function a() {}',
    'await a;',
    'new Promise(a);',
    'setTimeout(a, 1);',
    'process.env.A',
    'console.log(1)',
  ])('findBreaches: one when a pure folder has %j', (code) => {
    expect(breachesOf({ 'decision/b.ts': code })).toHaveLength(1);
    expect(breachesOf({ 'proto/b.ts': code })).toHaveLength(1);
    expect(breachesOf({ 'workers/b.ts': code })).toEqual([]);
  });

  it('findBreaches: the cycle when files import each other, each cycle once', () => {
    const files = {
      'actors/a.ts': "import './b.ts';",
      'actors/b.ts': "import type { C } from './c.ts';",
      'actors/c.ts': "export * from './a.ts';",
      'actors/d.ts': "import './a.ts';",
    };
    expect(breachesOf(files)).toEqual(['cycle: actors/a.ts → actors/b.ts → actors/c.ts → actors/a.ts']);
    expect(breachesOf({ 'actors/a.ts': "import './a.ts';" })).toEqual(['cycle: actors/a.ts → actors/a.ts']);
  });
});
