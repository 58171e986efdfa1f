/**
 * The document of the HTTP API against a running node: it is OpenAPI, it has the paths that are served and no others, what
 * it gives as examples is taken, what is answered is what it says, and the roles it names are those that may.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createApiKey } from '../../../server/access/api-keys.ts';
import { OPERATION, ROLES, type Role } from '../../../server/access/roles.ts';
import { DRILLS, startAdminHttp } from '../../../server/admin-http.ts';
import { epochMillis } from '../../../workers/clock.ts';
import { REPOSITORY, readRepositoryFile } from '../../repository/repository-files.ts';
import { RunningNode, temporaryFolder } from '../running-node.ts';
import { sampleCatalogWith, writeCatalog } from '../test-catalogs.ts';
import {
  type ApiCall,
  type ApiDocument,
  type ApiMedia,
  callsOf,
  closed,
  type JsonMap,
  OPEN_API,
  readerOf,
  resolved,
} from './openapi-document.ts';

const words = ['--drills'];
const environment = { OPPORTUNE_WEBHOOK_SECRET_CRM: `whsec_${Buffer.alloc(32, 7).toString('base64')}` };
const catalog = writeCatalog(
  sampleCatalogWith((sample) => {
    sample.profile.tags.looking = { family: 'lifeCycle', when: 'count("view", "7d") > 0' };
    sample.webhooks = { crm: { url: 'https://crm.example.com/hooks', secret: 'crm', tags: ['looking'] } };
    sample.feeds = {
      weather: {
        key: 'profile.city',
        ttl: '3h',
        fields: { celsius: { type: 'number', min: -60, max: 60 }, sky: { type: 'text', values: ['clear', 'grey'] } },
      },
    };
  }),
);

let node: RunningNode;
let document: ApiDocument;
let calls: ApiCall[];

interface Sent {
  readonly headers?: Record<string, string>;
  readonly body?: string;
}

async function send(
  { path, method }: Pick<ApiCall, 'path' | 'method'>,
  query: string,
  { headers = {}, body }: Sent = {},
  at = node,
): Promise<Response> {
  return fetch(`${at.admin}${path}${query}`, { method, headers, ...(body === undefined ? {} : { body }) });
}

function queryOf(
  { operation }: ApiCall,
  isWanted: (parameter: { name: string; required: boolean }) => boolean,
): string {
  const chosen = (operation.parameters ?? []).filter((one) => one.in === 'query' && isWanted(one));
  const pairs = chosen.map(({ name, example }) => [name, String(example)]);
  return pairs.length === 0 ? '' : `?${new URLSearchParams(pairs).toString()}`;
}

/** Segment's calls are answered 200 whatever became of them, unless one wants to know. */
function strictQueryOf(call: ApiCall): string {
  return queryOf(call, ({ name, required }) => required || name === 'strict');
}

/** Whether something was refused, by its status or within. */
function isRefused(status: number, text: string): boolean {
  return status >= 400 || /"(?:success|ok)":false/.test(text);
}

/** Every example of a body. One of attributes in headers comes with them. */
function examplesOf({
  operation,
}: ApiCall): { name: string; type: string; media: ApiMedia; value: unknown; sent: Sent }[] {
  const attributes = (operation.parameters ?? []).filter(({ name }) => name.startsWith('ce-'));
  return Object.entries(operation.requestBody?.content ?? {}).flatMap(([type, media]) =>
    Object.entries(media.examples ?? {}).map(([name, { value }]) => {
      const more = type === 'application/json' ? attributes.map((one) => [one.name, String(one.example)]) : [];
      const headers = { 'content-type': type, ...(Object.fromEntries(more) as Record<string, string>) };
      return { name, type, media, value, sent: { headers, body: JSON.stringify(value) } };
    }),
  );
}

/** Holds an answer against what the document says of its status. Returns its text. */
async function expectAsTold(call: ApiCall, response: Response): Promise<string> {
  const what = `${call.method} ${call.path} ${response.status}`;
  const text = await response.text();
  const told = call.operation.responses[String(response.status)];
  expect(told, `${what} is documented: ${text.slice(0, 300)}`).toBeDefined();
  const { content } = resolved(document, told) as { content?: Record<string, ApiMedia> }; // a response
  if (content === undefined) {
    expect([what, text]).toEqual([what, '']);
    return text;
  }
  const type = (response.headers.get('content-type') ?? '').split(';')[0] ?? '';
  expect(Object.keys(content), what).toEqual([type]);
  const schema = resolved(document, content[type]?.schema) as JsonMap; // just looked up
  const read = readerOf(closed(schema)).safeParse(type.endsWith('json') ? JSON.parse(text) : text);
  expect(read.error?.issues ?? [], `${what}: ${text.slice(0, 500)}`).toEqual([]);
  return text;
}

beforeAll(async () => {
  node = await RunningNode.start({ catalog, words, environment });
  document = OPEN_API.parse(await node.json('/v1/openapi.json'));
  calls = callsOf(document);
});
afterAll(async () => {
  await node.stop();
});

describe('the document', () => {
  it('openapi: every schema is one, and holds its own examples', () => {
    for (const call of calls) {
      for (const { schema, example } of call.operation.parameters ?? []) {
        expect(readerOf(schema).safeParse(example).error?.issues ?? []).toEqual([]);
      }
      for (const { name, media, value } of examplesOf(call)) {
        const issues = readerOf(media.schema).safeParse(value).error?.issues ?? [];
        expect([call.path, name, issues]).toEqual([call.path, name, []]);
      }
      for (const told of Object.values(call.operation.responses)) {
        const { content = {} } = resolved(document, told) as { content?: Record<string, ApiMedia> }; // a response
        for (const { schema } of Object.values(content)) readerOf(resolved(document, schema) as JsonMap);
      }
    }
  });

  it('openapi: every body has an example, every operation an id of its own, and a first answer', () => {
    const ids = calls.map(({ operation }) => operation.operationId);
    expect(new Set(ids).size).toBe(ids.length);
    for (const call of calls) {
      if (call.operation.requestBody !== undefined) expect(examplesOf(call), call.path).not.toEqual([]);
      expect(Object.keys(call.operation.responses)[0], call.path).toMatch(/^20[024]$/);
    }
  });

  it('openapi: has what the list of routes has, and what the documents for users name', async () => {
    const { text } = await node.get('/');
    const listed = [...text.matchAll(/^(GET|POST|PUT|DELETE) +(\/\S*)/gm)].map(
      ([, method, path]) => `${method} ${path}`,
    );
    expect(calls.map(({ method, path }) => `${method} ${path}`).sort()).toEqual(listed.sort());
    const named = new Set<string>();
    for (const file of ['README.md', ...readdirSync(join(REPOSITORY, 'docs')).map((name) => `docs/${name}`)]) {
      for (const [path] of readRepositoryFile(file).matchAll(/(?<=[` \d])\/v1\/[a-z][a-z/.-]*[a-z]/g)) named.add(path);
    }
    named.delete('/v1/ws'); // the WebSocket's, on another port
    expect(named.size).toBeGreaterThan(15);
    // `/v1/drill` stands for what is under it.
    const there = Object.keys(document.paths).map((path) => `${path}/`);
    expect([...named].filter((path) => !there.some((one) => one.startsWith(`${path}/`)))).toEqual([]);
  });

  it('openapi: every path has its row in the table for operators', () => {
    const rows = [...readRepositoryFile('docs/OPERATING.md').matchAll(/^\| (`(?:GET|POST|PUT) \/[^|]*) \|/gm)];
    const named = new Set<string>();
    for (const [, cell = ''] of rows) {
      let folder = '';
      for (const [, word = ''] of cell.matchAll(/`(?:GET |POST |PUT )?([^`? ]+)[^`]*`/g)) {
        const path = word.startsWith('/') ? word : `${folder}${word}`;
        named.add(path);
        folder = path.slice(0, path.lastIndexOf('/') + 1);
      }
    }
    expect(Object.keys(document.paths).filter((path) => !named.has(path))).toEqual([]);
  });

  it('openapi: every path is there, and answers the methods it names and no others', async () => {
    for (const path of Object.keys(document.paths)) {
      const response = await send({ path, method: 'DELETE' }, '');
      const methods = calls.filter((call) => call.path === path).map(({ method }) => method);
      const allowed = methods.includes('GET') ? [...methods, 'HEAD'] : methods;
      const named = (response.headers.get('allow') ?? '').split(', ');
      expect([path, response.status, named.sort()]).toEqual([path, 405, allowed.sort()]);
    }
  });

  it('openapi: drills are in it where they are on, and nowhere else', async () => {
    expect(Object.keys(document.paths)).toEqual(expect.arrayContaining(DRILLS.map((name) => `/v1/drill/${name}`)));
    const admin = await startAdminHttp(
      { host: '127.0.0.1', port: 0, hosts: [] },
      { status: () => ({ version: '1.2.3' }) } as never, // nothing else is asked
    );
    const without = OPEN_API.parse(await (await fetch(`${admin.url}/v1/openapi.json`)).json());
    await admin.close();
    expect(without.info.version).toBe('1.2.3');
    expect(Object.keys(without.paths).filter((path) => path.includes('drill'))).toEqual([]);
  });
});

describe('the node', () => {
  it('openapi: takes every example, and answers as the document says', async () => {
    for (const call of calls) {
      if (call.path.startsWith('/v1/drill/')) continue; // in the next test
      const query = strictQueryOf(call);
      const examples = examplesOf(call);
      for (const { name, sent } of examples) {
        const response = await send(call, query, sent);
        const { status } = response;
        const text = await expectAsTold(call, response);
        expect([call.path, name, isRefused(status, text), text]).toEqual([call.path, name, false, text]);
      }
      if (examples.length > 0) continue;
      let response: Response;
      // A pass that takes longer is answered 202 with how far it is.
      do {
        response = await send(call, query);
        await expectAsTold(call, response);
      } while (response.status === 202);
      expect([call.path, response.status]).toEqual([call.path, 200]);
    }
  });

  it('openapi: takes each parameter that may be left out', async () => {
    for (const call of calls) {
      for (const { name, required, in: place, example } of call.operation.parameters ?? []) {
        if (required || name.startsWith('ce-')) continue;
        const query = queryOf(call, (one) => one.required || one.name === name);
        const sent: Sent = examplesOf(call)[0]?.sent ?? {};
        const headers = { ...sent.headers, ...(place === 'header' ? { [name]: String(example) } : {}) };
        const response = await send(call, query, { ...sent, headers });
        // An example of an id is no letter of this node.
        const expected = call.path === '/v1/dead-letters' && name === 'id' ? [404] : [200, 202, 204];
        expect(expected, `${call.path} ${name}: ${response.status}`).toContain(response.status);
        await expectAsTold(call, response);
      }
    }
  });

  it('openapi: what is needed is needed, and a refusal is as told', async () => {
    let tried = 0;
    for (const call of calls) {
      for (const { type, media, value, sent } of examplesOf(call)) {
        const { required = [] } = media.schema as { required?: readonly string[] }; // of one shape
        for (const name of required) {
          const { [name]: _, ...others } = value as JsonMap; // a map, as its schema is
          expect(readerOf(media.schema).safeParse(others).success).toBe(false);
          const response = await send(call, strictQueryOf(call), { ...sent, body: JSON.stringify(others) });
          const { status } = response;
          const text = await expectAsTold(call, response);
          expect([call.path, type, name, isRefused(status, text)]).toEqual([call.path, type, name, true]);
          tried++;
        }
      }
      const needed = (call.operation.parameters ?? []).some(({ required }) => required);
      if (!needed) continue;
      const response = await send(call, '');
      expect([call.path, response.status]).toEqual([call.path, 400]);
      await expectAsTold(call, response);
    }
    expect(tried).toBeGreaterThan(15);
  });

  it('openapi: a body beyond the bound that is told is 413, as told', async () => {
    for (const call of calls) {
      const bound = Number(/^(\d+) bytes/.exec(call.operation.requestBody?.description ?? '0 bytes')?.[1]);
      if (call.method === 'GET' || bound > 100_000) continue; // fetch sends none with GET; the large ones take their time
      const response = await send(call, '', { body: 'x'.repeat(bound + 1) });
      expect([call.path, response.status]).toEqual([call.path, 413]);
      await expectAsTold(call, response);
    }
  });

  it('openapi: a drill is accepted as told', async () => {
    const call = calls.find(({ path }) => path === '/v1/drill/worker-error') as ApiCall; // looked for above
    const away = await send(call, '?worker=99');
    expect(away.status).toBe(404);
    await expectAsTold(call, away);
    const done = await send(
      call,
      queryOf(call, ({ required }) => required),
    );
    expect(done.status).toBe(202);
    await expectAsTold(call, done);
  });
});

describe('who may', () => {
  it('openapi: the roles it names may, others are refused, and nobody in particular may only where it says so', async () => {
    const apiKeyFile = join(temporaryFolder('openapi-keys'), 'keys.json');
    const keyOf = (role: Role): string =>
      createApiKey(
        apiKeyFile,
        { roles: [role], tenant: 'default', expiresAtEpochMillis: null, note: '' },
        epochMillis(),
      ).key;
    const keys = new Map(ROLES.map((role) => [role, keyOf(role)]));
    const own = await RunningNode.start({ workers: 1, words: ['--api-key-file', apiKeyFile] });
    const bearer = (role: Role): Sent => ({ headers: { authorization: `Bearer ${keys.get(role)}` } });
    const basic = (role: Role): Sent => {
      const user = Buffer.from(`${keys.get(role)}:`).toString('base64');
      return { headers: { authorization: `Basic ${user}` } };
    };
    expect((await fetch(`${own.admin}/v1/openapi.json`)).status).toBe(401);
    for (const role of ROLES) {
      const response = await send({ path: '/v1/openapi.json', method: 'GET' }, '', bearer(role), own);
      const told = callsOf(OPEN_API.parse(await response.json()));
      expect(told.length).toBe(calls.length - DRILLS.length);
      for (const call of told) {
        const { security, description } = call.operation;
        const names = (scheme: string): boolean => security.some((one) => one[scheme]?.includes(role) === true);
        const isOpen = security.some((one) => Object.keys(one).length === 0);
        const what = `${role} ${call.method} ${call.path}`;
        // A body that nothing can be made of: who may ask is told 400, and nothing is done.
        const body = call.method === 'GET' ? {} : { body: '{' };
        const answer = await send(call, '', { ...bearer(role), ...body }, own);
        expect([what, answer.status !== 403]).toEqual([what, isOpen || names('bearer')]);
        const byUser = await send(call, '', { ...basic(role), ...body }, own);
        const takesUser = security.some((one) => one.basic !== undefined);
        const refused = [401, 403].includes(byUser.status);
        expect([what, !refused]).toEqual([what, isOpen || (takesUser && names('basic'))]);
        const nobody = await send(call, '', body, own);
        expect([what, nobody.status !== 401]).toEqual([what, isOpen]);
        expect(Object.keys(OPERATION)).toContain(/`(\w+)`/.exec(description)?.[1]);
      }
    }
    expect(await own.stop()).toBe(0);
  });

  it('openapi: where no token is asked, nobody in particular may do it all', () => {
    for (const { operation } of calls) expect(operation.security[0]).toEqual({});
  });
});
