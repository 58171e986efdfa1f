/**
 * The client SDK in a real browser: Debian's chromium opens a page that loads the built modules as they
 * are, talks to the running server, and writes what it got into its document. No driver: `--dump-dom`
 * prints the document once the page's own work is done. Skips, and says so, where there is no chromium.
 */
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join, normalize, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import WebSocket from 'ws';
import { RunningNode, temporaryFolder } from './running-node.ts';
import { catalogText, writeCatalog } from './test-catalogs.ts';
import { WirePeer } from './wire-peer.ts';

const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';
const hasChromium = existsSync(CHROMIUM);
if (!hasChromium) console.warn(`SKIPPED browser: there is no ${CHROMIUM} (apt-get install chromium, or set CHROMIUM)`);

const dist = resolve('dist');
const TYPES: Readonly<Record<string, string>> = { '.html': 'text/html', '.js': 'text/javascript' };

let pages: Server;
let finish: () => void = () => {};
const finished = new Promise<void>((done) => {
  finish = done;
});
let origin = '';
let node: RunningNode;
beforeAll(async () => {
  node = await RunningNode.start({ catalog: writeCatalog(catalogText()) });
  pages = createServer((request, response) => {
    const path = new URL(request.url ?? '/', 'http://x').pathname;
    if (path === '/page.html') return void response.writeHead(200, { 'content-type': 'text/html' }).end(page());
    if (path === '/done') {
      finish();
      return void response.writeHead(204).end();
    }
    if (path === '/wait.png') {
      // The page counts as loaded, and its document is printed, only when this has been answered.
      return void finished.then(() => response.writeHead(404).end());
    }
    const file = join(dist, normalize(path));
    if (!file.startsWith(dist) || !existsSync(file)) return void response.writeHead(404).end();
    response
      .writeHead(200, { 'content-type': TYPES[extname(file)] ?? 'application/octet-stream' })
      .end(readFileSync(file));
  });
  await new Promise<void>((done) => pages.listen(0, '127.0.0.1', done));
  origin = `http://127.0.0.1:${(pages.address() as AddressInfo).port}`; // listening on TCP
});
afterAll(async () => {
  pages.closeAllConnections();
  pages.close();
  expect(await node.stop()).toBe(0);
});

/** Results are JSON in the document's body. */
function page(): string {
  return `<!doctype html><meta charset="utf-8"><title>SDK</title><body>pending<img src="/wait.png"></body><script type="module">
import { connect } from '/client/index.js';
const out = {};
try {
  for (const encoding of ['msgpack', 'json']) {
    const client = connect({ url: '${node.url}', encoding, deadlineMillis: 10000 });
    const hello = await client.hello();
    const profile = 'browser-' + encoding;
    const tracked = await client.track({ profile, event: 'view' });
    await client.track({ profile, event: 'view' });
    const decision = await client.decide({ profile, slot: 'regular', sku: 'espresso' });
    await client.confirm(decision.decisionId);
    const refused = await client.decide({ profile, slot: 'nowhere' }).catch((error) => error.code);
    out[encoding] = { shards: hello.shards.length, stateSeq: tracked.stateSeq, action: decision.actions[0].action,
      price: decision.price.priceMinor, refused };
    client.close();
  }
} catch (error) { out.error = String(error && error.stack || error); }
document.body.textContent = 'RESULT' + JSON.stringify(out) + 'END';
await fetch('/done');
</script>`;
}

/** The document after the page's modules have run. */
function dumpDom(url: string): Promise<{ dom: string; stderr: string }> {
  const flags =
    '--headless --no-sandbox --disable-gpu --disable-quic --disable-background-networking --disable-component-update --disable-sync --no-first-run';
  const words = [...flags.split(' '), `--user-data-dir=${temporaryFolder('chromium')}`, '--dump-dom', url];
  return new Promise((done) => {
    const browser = spawn(CHROMIUM, words, { stdio: ['ignore', 'pipe', 'pipe'] });
    let dom = '';
    let stderr = '';
    browser.stdout.setEncoding('utf8').on('data', (text: string) => {
      dom += text;
    });
    browser.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    browser.once('close', () => done({ dom, stderr }));
  });
}

describe('browser', () => {
  it.skipIf(!hasChromium)(
    'client SDK: loads as plain modules, decides and tracks in both encodings',
    { timeout: 60_000 },
    async () => {
      const { dom, stderr } = await dumpDom(`${origin}/page.html`);
      const text = /RESULT(.*)END/s.exec(dom)?.[1];
      expect(text, `${dom}\n${stderr}`).toBeDefined();
      const good = { shards: 2, stateSeq: 1, action: 'regular', price: expect.any(Number), refused: 1301 };
      expect(JSON.parse(text ?? '')).toEqual({ msgpack: good, json: good });
      const peer = await WirePeer.connect(node.url);
      for (const encoding of ['msgpack', 'json']) {
        const { record } = await peer.must({ op: 'profile', profile: `browser-${encoding}` });
        expect(record.counters).toMatchObject([{ event: 'view', count: 2 }]);
        expect(record.calendar.leases).toMatchObject([{ action: 'regular', state: 'confirmed' }]);
      }
      peer.close();
    },
  );

  it.each([
    ['a page of another site', 'https://evil.example', 403],
    ['a site that begins like this machine', 'http://localhost.evil.example', 403],
    ['an opaque origin', 'null', 403],
    ['a page of this machine', 'http://localhost:5173', 101],
    ['a page of this machine by address', 'http://127.0.0.1:8080', 101],
  ])('origin: %s (%s) is answered with %i', async (_, pageOrigin, status) => {
    for (const url of [node.url, ...(await directUrls())]) {
      const socket = new WebSocket(url, 'opportune.v1.json', { origin: pageOrigin });
      const answered = await new Promise<number>((done) => {
        socket.once('upgrade', (response) => done(response.statusCode ?? 0));
        socket.once('unexpected-response', (request, response) => {
          request.destroy();
          done(response.statusCode ?? 0);
        });
        socket.on('error', () => {});
      });
      expect(answered).toBe(status);
      socket.close();
    }
  });
});

async function directUrls(): Promise<string[]> {
  const peer = await WirePeer.connect(node.url);
  const { shards } = await peer.must({ op: 'hello' });
  peer.close();
  return shards.map(({ url }: { url: string }) => url);
}
