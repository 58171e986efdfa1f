/**
 * The README, run: every command of its `sh` blocks, its TypeScript through the compiler and Node, its page
 * in a browser. In a folder that looks like a fresh clone next to an installed one (everything linked, no
 * data), against servers on free ports: the addresses come in through OPPORTUNE_… variables, the text of the
 * commands is run as it stands, but for the admin port of its HTTP addresses. What a `text` block shows is compared in shape: the first word of each line,
 * in order, with digits left out.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { temporaryFolder } from '../server/running-node.ts';
import { REPOSITORY, readRepositoryFile } from './repository-files.ts';

interface Block {
  readonly language: string;
  readonly text: string;
}

/** Fenced blocks in order, each with its tag. */
function fencedBlocks(markdown: string): readonly Block[] {
  return [...markdown.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)].map(([, language = '', text = '']) => ({
    language,
    text,
  }));
}

/** First words with digits as `#`; a line of an ellipsis stands for any number of lines. */
function firstWords(text: string): string[] {
  return text
    .split('\n')
    .map((line) => (line.trim().split(/\s/)[0] ?? '').replace(/[\d.,]+/g, '#'))
    .filter((word) => word !== '' && word !== '…');
}

/** The words of `shown` that `actual` does not have in the same order. */
function missingWords(shown: string, actual: string): string[] {
  const words = firstWords(actual);
  let from = 0;
  return firstWords(shown).filter((word) => {
    const at = words.indexOf(word, from);
    if (at >= 0) from = at + 1;
    return at < 0;
  });
}

const blocks = fencedBlocks(readRepositoryFile('README.md'));
/** What starts and stays, and what is this very run. */
const STARTS = /^(?:npm start|npx opportune start)\b/;
const IS_THIS_RUN = /^npm test$/;
/** Long measurements made short: words added behind the text. */
const SHORTENED: readonly (readonly [RegExp, string])[] = [
  [/ bench /, ' --seconds 0.5 --warmup 0.1 --profiles 200 --connections 2'],
  [/ run demo$/, ' -- --seconds 4'],
];
/** The machine may be too busy for an objective: the verdict is then still a verdict. */
const EXITS: readonly (readonly [RegExp, readonly number[]])[] = [[/ bench /, [0, 1, 3]]];

const clone = temporaryFolder('readme');
const children = new Set<ChildProcess>();
const inherited = Object.fromEntries(
  Object.entries(process.env).filter(
    ([name]) => !/^(?:OTEL_|OPPORTUNE_|npm_(?!config_(?:registry|cache)))/i.test(name),
  ),
);
const environment = {
  ...inherited,
  OPPORTUNE_PORT: '0',
  OPPORTUNE_ADMIN_PORT: '0',
  OPPORTUNE_SHARD_PORT: '0',
  OPPORTUNE_WORKERS: '2',
  OPPORTUNE_DRAIN_SECONDS: '0',
  // Who is held out depends on the secret; with this one nobody of the README is.
  OPPORTUNE_SECRET: 'the secret of the README, long enough',
};

interface Server {
  readonly url: string;
  readonly admin: string;
  readonly banner: string;
  stop(): Promise<void>;
}

/** Runs a command that starts a server and waits for its banner. */
async function startServer(command: string, more: Readonly<Record<string, string>>): Promise<Server> {
  const child = spawn('bash', ['-c', `exec ${command}`], {
    cwd: clone,
    env: { ...environment, ...more },
    stdio: ['ignore', 'pipe', 'pipe'],
    // A group of its own, so that it can be ended as Ctrl-C in a terminal ends it: npm, shell and server alike.
    detached: true,
  });
  children.add(child);
  const ended = new Promise<void>((resolve) => {
    child.once('close', () => {
      children.delete(child);
      resolve();
    });
  });
  let said = '';
  let problems = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    problems += text;
  });
  await new Promise<void>((resolve, reject) => {
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      said += text;
      if (/\n {2}try .*\n/.test(said)) resolve();
    });
    void ended.then(() => reject(new Error(`${command} ended instead of serving: ${said}${problems}`)));
  });
  return {
    url: /decisions +(ws:\S+)/.exec(said)?.[1] ?? '',
    admin: /admin +(http:\S+)/.exec(said)?.[1] ?? '',
    banner: said,
    stop: async () => {
      process.kill(-(child.pid ?? Number.NaN), 'SIGINT');
      await ended;
    },
  };
}

/** Half of what a short command takes is npx finding it; servers are started by the real one. */
const NPX = 'npx() { shift; node dist/server/cli.js "$@"; }';

/** Runs a block of commands in one shell; stops at the first that fails. */
function runShell(text: string, url: string): Promise<{ code: number | null; output: string; problems: string }> {
  const child = spawn('bash', ['-euo', 'pipefail', '-c', text], {
    cwd: clone,
    env: { ...environment, OPPORTUNE_URL: url },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  children.add(child);
  let output = '';
  let problems = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    output += chunk;
  });
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    problems += chunk;
  });
  return new Promise((resolve) => {
    child.once('close', (code) => {
      children.delete(child);
      resolve({ code, output, problems });
    });
  });
}

/** A log with the columns of the Hillstrom trial, small. */
function smallTrial(): Buffer {
  const segments = ['Mens E-Mail', 'Womens E-Mail', 'No E-Mail'];
  const rows = Array.from({ length: 300 }, (_, n) =>
    [
      n + 1,
      1 + (n % 12),
      '',
      (n * 7) % 400,
      n % 2,
      1,
      'Urban',
      0,
      'Web',
      segments[n % 3],
      n % 5 === 0 ? 1 : 0,
      0,
      0,
    ].join(','),
  );
  const header =
    'row,recency,history_segment,history,mens,womens,zip_code,newbie,channel,segment,visit,conversion,spend';
  return gzipSync([header, ...rows, ''].join('\n'));
}

let shop: Server;

beforeAll(async () => {
  const own = readdirSync(REPOSITORY).filter((name) => !['.git', 'data'].includes(name));
  for (const name of own) symlinkSync(join(REPOSITORY, name), join(clone, name));
  writeFileSync(join(clone, 'hillstrom.csv.gz'), smallTrial());
  shop = await startServer('npm start', { OPPORTUNE_DATA: join(clone, 'data') });
});
afterAll(async () => {
  await shop?.stop();
  for (const { pid = Number.NaN } of children) process.kill(-pid, 'SIGKILL');
});

describe('README', () => {
  it('README: every block is tagged, and every tag is one that is run or shown', () => {
    expect(blocks.length).toBeGreaterThan(10);
    for (const { language } of blocks) expect(['sh', 'ts', 'html', 'text']).toContain(language);
  });

  const shells = blocks
    .map((block, index) => ({ ...block, shown: blocks[index + 1] }))
    .filter((block) => block.language === 'sh');

  it.each(shells.map((block) => [block.text.trim().split('\n').join('; '), block] as const))(
    'README: does what it says when run: %s',
    async (_, { text, shown }) => {
      const lines = text.trim().split('\n');
      const plain: string[] = [];
      let output = '';
      for (const line of lines) {
        if (IS_THIS_RUN.test(line)) continue;
        if (!STARTS.test(line))
          plain.push(SHORTENED.reduce((made, [when, words]) => (when.test(line) ? made + words : made), line));
        else if (line === 'npm start') output += shop.banner;
        else {
          const server = await startServer(line, { OPPORTUNE_DATA: join(clone, `data-${lines.indexOf(line)}`) });
          output += server.banner;
          await server.stop();
        }
      }
      if (plain.length > 0) {
        const isTrial = text.includes('hillstrom');
        const trial = isTrial
          ? await startServer('npx opportune start', {
              OPPORTUNE_DATA: join(clone, 'data-trial'),
              OPPORTUNE_CATALOG: join(clone, 'catalogs', 'hillstrom.yaml'),
            })
          : undefined;
        const commands = [NPX, ...plain].join('\n').replaceAll('http://127.0.0.1:7401', shop.admin);
        const done = await runShell(commands, trial?.url ?? shop.url);
        await trial?.stop();
        const exits = EXITS.find(([when]) => when.test(text))?.[1] ?? [0];
        expect(exits, `${done.output}\n${done.problems}`).toContain(done.code);
        output += done.output;
      }
      if (shown?.language === 'text') expect(missingWords(shown.text, output), output).toEqual([]);
    },
    90_000,
  );

  it('README: quotes the replay that docs/REPLAY.md prints', () => {
    const page = readRepositoryFile('docs/REPLAY.md');
    const shown = blocks.find(({ language, text }) => language === 'text' && text.startsWith('hillstrom'))?.text ?? '';
    const lines = shown.split('\n').filter((line) => line.trim() !== '' && line.trim() !== '…');
    expect(lines.length).toBeGreaterThan(5);
    for (const line of lines) expect(page).toContain(`\n    ${line}\n`);
  });

  it('README: its TypeScript compiles against the published types and runs in Node', async () => {
    const examples = blocks.filter(({ language }) => language === 'ts');
    expect(examples.length).toBeGreaterThan(0);
    for (const [index, { text }] of examples.entries()) {
      const name = `example-${index}`;
      writeFileSync(join(clone, `${name}.mts`), text.replaceAll('ws://127.0.0.1:7400', shop.url));
      const flags =
        '--ignoreConfig --strict --skipLibCheck --module nodenext --target es2023 --lib es2023,dom --types node';
      const compile = `npx tsc ${flags} --rootDir . --outDir made ${name}.mts`;
      const compiled = await runShell(compile, shop.url);
      expect(compiled.code, `${compiled.output}\n${compiled.problems}`).toBe(0);
      let { code, output, problems } = await runShell(`node made/${name}.mjs`, shop.url);
      // Its deadline of a quarter of a second counts from connecting: tests beside it may take the processors longer.
      for (let again = 0; again < 5 && output.endsWith(' true\n'); again++)
        ({ code, output, problems } = await runShell(`node made/${name}.mjs`, shop.url));
      expect(code, `${output}\n${problems}`).toBe(0);
      // An action, a price, a local time, and no fallback: the server has answered. Who subscribes is told actions.
      const expected = text.includes('subscribe(') ? /^(?:[a-z][a-z-]+\n)+$/ : /^\S+ \d+ \d{4}-\d\d-\d\dT\S+ false\n$/;
      expect(output).toMatch(expected);
    }
  }, 60_000);

  const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';
  if (!existsSync(CHROMIUM))
    console.warn(`SKIPPED README's page: there is no ${CHROMIUM} (apt-get install chromium, or set CHROMIUM)`);

  it.skipIf(!existsSync(CHROMIUM))(
    'README: its page shows an offer in a browser',
    async () => {
      const [page] = blocks.filter(({ language }) => language === 'html');
      expect(page).toBeDefined();
      // Holds the page's load event, and with it the printing of its document, until the offer is there.
      const probe =
        "<img src=/wait.png><script>new MutationObserver(() => fetch('/done')).observe(document.querySelector('#offer'), { childList: true })</script>";
      const html = `<!doctype html><meta charset="utf-8">${page?.text.replaceAll('ws://127.0.0.1:7400', shop.url)}${probe}`;
      let finish = (): void => undefined;
      const finished = new Promise<void>((resolve) => {
        finish = resolve;
      });
      const site = createServer((request, response) => {
        const path = request.url ?? '/';
        if (path === '/') return void response.writeHead(200, { 'content-type': 'text/html' }).end(html);
        if (path === '/wait.png') return void finished.then(() => response.writeHead(404).end());
        if (path === '/done') finish();
        const file = join(REPOSITORY, 'dist', path);
        if (extname(path) !== '.js' || path.includes('..') || !existsSync(file))
          return void response.writeHead(404).end();
        response.writeHead(200, { 'content-type': 'text/javascript' }).end(readFileSync(file));
      });
      await new Promise<void>((resolve) => site.listen(0, '127.0.0.1', resolve));
      const { port } = site.address() as AddressInfo; // listening on TCP
      const flags =
        '--headless --no-sandbox --disable-gpu --disable-quic --disable-background-networking --disable-component-update --disable-sync --no-first-run';
      const { output } = await runShell(
        `'${CHROMIUM}' ${flags} --user-data-dir='${temporaryFolder('chromium')}' --dump-dom http://127.0.0.1:${port}/`,
        shop.url,
      );
      site.closeAllConnections();
      site.close();
      const offer = /<p id="offer">([^<]*)<\/p>/.exec(output)?.[1];
      expect(offer, output).toMatch(/^[a-z][a-z-]+$/);
    },
    60_000,
  );
});

describe('missingWords', () => {
  it('missingWords: none when the words stand in order, digits and gaps aside', () => {
    expect(missingWords('a 1\n…\n  c 3\n12,520 rows', 'a 2\nb\nc 4\n\n7 rows')).toEqual([]);
  });

  it('missingWords: those that are absent or in another order', () => {
    expect(missingWords('a\nb', 'b\na')).toEqual(['b']);
    expect(missingWords('a\nz', 'a')).toEqual(['z']);
  });
});
