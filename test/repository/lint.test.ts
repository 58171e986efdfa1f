import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { REPOSITORY, readRepositoryFile } from './repository-files.ts';

interface Outcome {
  readonly code: number | null;
  readonly text: string;
}

/** Runs a tool of node_modules/.bin with the words of `npm run lint`. */
function runTool(words: readonly string[]): Promise<Outcome> {
  const [tool = '', ...rest] = words;
  const path = `${join(REPOSITORY, 'node_modules', '.bin')}:${process.env.PATH ?? ''}`;
  const child = spawn(tool, rest, {
    cwd: REPOSITORY,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, PATH: path },
  });
  let text = '';
  child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (text += chunk.toString()));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, text }));
  });
}

const { scripts } = JSON.parse(readRepositoryFile('package.json')) as { scripts: Record<string, string> }; // our own file
const steps = (scripts.lint ?? '').split(' && ').map((step) => step.split(' '));

describe('lint', () => {
  it('lint: is formatter, linter, compiler and search for unused code', () => {
    expect(steps.map(([tool]) => tool)).toEqual(['biome', 'oxlint', 'tsc', 'knip']);
  });

  it.each(steps.map((step) => [step.join(' '), step] as const))(
    'lint: nothing to say when %s',
    async (_, step) => {
      const { code, text } = await runTool(step);
      expect(code, text).toBe(0);
    },
    120_000,
  );
});
