import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import * as z from 'zod';
import { loadCatalogText } from '../../../workers/catalog/catalog-file.ts';
import { catalogJsonSchema } from '../../../workers/catalog/catalog-schema.ts';
import { compileCatalog } from '../../../workers/catalog/compile-catalog.ts';
import { DOCUMENTED_EXAMPLE } from './documented-example.ts';
import { ProfileScope } from './profile-scope.ts';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

function read(path: string): string {
  return readFileSync(`${ROOT}${path}`, 'utf8');
}

describe('the sample catalogs', () => {
  it('retail.yaml: has the documented example in it and something for every channel when compiled', () => {
    const catalog = compileCatalog(read('catalogs/retail.yaml'), 'retail.yaml');
    expect(catalog.channels.map((channel) => channel.key)).toEqual(['app', 'push', 'email', 'sms']);
    expect(catalog.actions).toHaveLength(24);
    expect(catalog.products.length).toBeGreaterThanOrEqual(6);
    expect(catalog.actions[catalog.decision.fallbackAction]?.key).toBe('brand-story');
    const example = compileCatalog(DOCUMENTED_EXAMPLE, 'example.yaml');
    const plain = (value: unknown): unknown =>
      JSON.parse(JSON.stringify(value, (key, part) => (key === 'index' ? undefined : part)));
    expect(plain(catalog.productBySku.get('espresso-1kg'))).toEqual(plain(example.productBySku.get('espresso-1kg')));
    expect(plain(catalog.channelByKey.get('push'))).toEqual(plain(example.channelByKey.get('push')));
    expect(plain(catalog.slotByKey.get('home'))).toEqual(plain(example.slotByKey.get('home')));
    const [mine, theirs] = [catalog.actionByKey.get('free-shipping'), example.actionByKey.get('free-shipping')];
    expect(plain({ ...mine, eligibility: mine?.eligibility?.source })).toEqual(
      plain({ ...theirs, eligibility: theirs?.eligibility?.source }),
    );
    for (const trait of example.traits) expect(plain(catalog.traitByName.get(trait.name))).toEqual(plain(trait));
    expect(catalog.decision).toEqual({ ...example.decision, fallbackAction: catalog.decision.fallbackAction });
  });

  it('retail.yaml: every rule is decided without a surprise when the profile is empty', () => {
    const catalog = compileCatalog(read('catalogs/retail.yaml'), 'retail.yaml');
    const scope = new ProfileScope(catalog.traits, catalog.counters, {});
    const eligible = catalog.actions
      .filter((action) => action.eligibility?.evaluate(scope) ?? true)
      .map((action) => action.key);
    expect(eligible).toEqual(['brand-story', 'brew-guide', 'new-arrivals', 'welcome-ten-percent', 'join-loyalty']);
  });

  it('bench.yaml: all 20 actions are eligible when the profile is empty, filled or odd', () => {
    const catalog = compileCatalog(read('catalogs/bench.yaml'), 'bench.yaml');
    expect(catalog.actions).toHaveLength(20);
    const filled = {
      age: 0,
      tenureDays: 3,
      householdSize: 1,
      basketMeanMinor: 0,
      visitsPerWeek: 2.5,
      returnRate: 1,
      discountShare: 0,
      satisfaction: 10,
      isMember: false,
      hasApp: true,
      isBusiness: false,
      city: 'Berlin',
      device: 'web',
      loyalty: 'gold',
      lifecycle: 'lost',
      timeZone: 'Europe/Berlin',
    };
    const events = {
      purchase: { count: 500, sum: 1e9, lastSeenSeconds: 0 },
      view: { count: 99_999 },
      add_to_cart: { count: 99_999 },
    };
    for (const state of [
      {},
      { traits: filled, events, hour: 23, weekday: 6 },
      { traits: { loyalty: 'none' }, context: new Map([['page', null]]), hour: 0 },
    ]) {
      const scope = new ProfileScope(catalog.traits, catalog.counters, state);
      expect(catalog.actions.filter((action) => action.eligibility?.evaluate(scope) !== true)).toEqual([]);
    }
    expect(catalog.actions.every((action) => action.caps.length === 0 && action.budgetMinor === null)).toBe(true);
    expect(Object.keys(filled)).toEqual(catalog.traits.map((trait) => trait.name));
  });

  it('schemas/catalog.schema.json: is current when generated again', () => {
    // To renew it: npx vitest run test/workers/catalog -t "is current" --update
    // Lists of scalars on one line where they fit, as the repository's formatter wants them.
    const text = JSON.stringify(catalogJsonSchema(), null, 2).replace(
      /\[\s+([^[\]{}]*?)\s+\]/g,
      (list: string, items: string, at: number, whole: string) => {
        const line = `[${items.replace(/\s*\n\s*/g, ' ')}]`;
        return at - whole.lastIndexOf('\n', at) + line.length > 120 ? list : line;
      },
    );
    return expect(`${text}\n`).toMatchFileSnapshot(`${ROOT}schemas/catalog.schema.json`);
  });

  it('the committed JSON Schema: accepts the samples, and refuses a misspelt key or a wrong type, when read back', () => {
    const schema = JSON.parse(read('schemas/catalog.schema.json')) as SchemaNode;
    expect(schema.$schema).toBe('https://json-schema.org/draft/2020-12/schema');
    const validator = z.fromJSONSchema(schema as Parameters<typeof z.fromJSONSchema>[0]); // JSON just parsed
    for (const name of ['retail', 'bench']) {
      const source = loadCatalogText(read(`catalogs/${name}.yaml`), `${name}.yaml`);
      expect(source.version).toMatch(/^[0-9a-f]{12}$/);
      // A JSON copy: the parsed maps have no prototype.
      const file = JSON.parse(JSON.stringify(source.file)) as Record<string, unknown>;
      expect(validator.safeParse(file).error).toBeUndefined();
      expect(validator.safeParse({ ...file, curency: 'EUR' }).success).toBe(false);
      expect(validator.safeParse({ ...file, version: 2 }).success).toBe(false);
      expect(validator.safeParse({ ...file, actions: [{ key: 'a', channels: [], valueMinor: 'x' }] }).success).toBe(
        false,
      );
    }
    const closed = (node: SchemaNode): boolean =>
      (node.type !== 'object' || node.additionalProperties !== undefined) &&
      [...Object.values(node.properties ?? {}), ...(node.items === undefined ? [] : [node.items])].every(closed) &&
      (typeof node.additionalProperties !== 'object' || closed(node.additionalProperties));
    expect(closed(schema)).toBe(true);
    expect(Object.keys(schema.properties ?? {})).toEqual([
      'version',
      'name',
      'currency',
      'timeZone',
      'decision',
      'profile',
      'events',
      'cleaning',
      'consent',
      'identity',
      'abuse',
      'journeys',
      'webhooks',
      'feeds',
      'channels',
      'slots',
      'products',
      'actions',
    ]);
  });
});

interface SchemaNode {
  readonly $schema?: string;
  readonly type?: string;
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly additionalProperties?: SchemaNode | boolean;
  readonly items?: SchemaNode;
}
