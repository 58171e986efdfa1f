import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MOMENT } from '../../../decision/catalog.ts';
import { murmur3Text } from '../../../proto/murmur3.ts';
import { CatalogError } from '../../../workers/catalog/catalog-error.ts';
import { loadCatalogText, readCatalogFile } from '../../../workers/catalog/catalog-file.ts';
import { compileCatalogSource } from '../../../workers/catalog/catalog-source.ts';
import { compileCatalog } from '../../../workers/catalog/compile-catalog.ts';
import { DOCUMENTED_EXAMPLE, EXAMPLE_WITHOUT_FALLBACK } from './documented-example.ts';

describe('readCatalogFile', () => {
  let folder = '';
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'opportune-catalog-'));
  });
  afterAll(async () => {
    await rm(folder, { recursive: true });
  });

  async function refusalOf(path: string): Promise<CatalogError> {
    const error: unknown = await readCatalogFile(path).then(
      () => null,
      (reason: unknown) => reason,
    );
    if (error instanceof CatalogError) return error;
    throw new Error(`expected a CatalogError, got ${String(error)}`);
  }

  it('readCatalogFile: gives text and version when the file is a catalog', async () => {
    const path = join(folder, 'shop.yaml');
    await writeFile(path, DOCUMENTED_EXAMPLE);
    expect(await readCatalogFile(path)).toEqual(loadCatalogText(DOCUMENTED_EXAMPLE, 'shop.yaml'));
  });

  it('readCatalogFile: names the file in each problem when the catalog is broken', async () => {
    const path = join(folder, 'broken.yaml');
    await writeFile(path, EXAMPLE_WITHOUT_FALLBACK);
    const error = await refusalOf(path);
    expect(error.code).toBe('CATALOG_INVALID');
    expect(error.message).toBe('broken.yaml:10:13 decision.fallback: "brand-story" is not a declared action');
  });

  it('readCatalogFile: says what is there instead when the path is no readable file', async () => {
    const [loop, big, bytes, nested] = ['loop', 'big', 'bytes', 'folder'].map((name) => join(folder, name)) as [
      string,
      string,
      string,
      string,
    ]; // four names
    await symlink(loop, loop);
    await writeFile(big, Buffer.alloc(8 * 1024 * 1024 + 1, '#'));
    await writeFile(bytes, Buffer.from([0x61, 0x3a, 0x20, 0xff]));
    await mkdir(nested);
    const expected: [string, string][] = [
      [join(folder, 'none.yaml'), 'does not exist'],
      [join(bytes, 'below.yaml'), 'does not exist: a part of its path is a file'],
      [nested, 'is a folder; name the catalog file inside it'],
      [loop, 'is a link that leads back to itself'],
      [big, 'has 8388609 bytes, more than the 8388608 a catalog may have'],
      [bytes, 'is not UTF-8 text'],
      ['/dev/null', 'is not a regular file'],
    ];
    for (const [path, reason] of expected) {
      const error = await refusalOf(path);
      expect(error.code).toBe('CATALOG_UNREADABLE');
      expect(error.problems).toEqual([{ file: path, line: 1, column: 1, path: '', reason }]);
    }
  });
});

describe('compileCatalog', () => {
  it('compileCatalog: resolves every name and length of time when given the documented example', () => {
    const catalog = compileCatalog(DOCUMENTED_EXAMPLE, 'example.yaml');
    expect(catalog).toMatchObject({
      name: 'sample-retail',
      currency: 'CNY',
      timeZone: 'Asia/Shanghai',
      decision: {
        explorationProbability: 0.02,
        holdoutProbability: 0.02,
        rewardWindowMillis: 604_800_000,
        leaseMillis: 120_000,
        fallbackAction: 1,
      },
      keepsAdditionalTraits: false,
      timeZoneTrait: 5,
    });
    expect(catalog.channels[1]).toEqual({
      index: 1,
      key: 'push',
      hash: murmur3Text('push', 0),
      costMinor: 2,
      quietHours: { startMinute: 1320, endMinute: 480 },
      sendWithinMillis: 86_400_000,
      waitingLossPerDay: 0.05,
      caps: [
        {
          count: 2,
          period: { kind: 'rolling', windowMillis: 86_400_000 },
          on: MOMENT.decision,
          text: '2 per 24h on decision',
        },
      ],
      fatigue: null,
      maturity: null,
    });
    expect(catalog.actions[0]).toMatchObject({
      key: 'free-shipping',
      channels: [0, 1],
      slots: [0],
      lever: 1,
      budgetMinor: 5_000_000,
      category: null,
      categoryHash: 0,
    });
    expect(catalog.actions[0]?.eligibility?.clauses.map((clause) => clause.source)).toEqual([
      'profile.loyalty != "none"',
      'count("purchase", "30d") > 0',
    ]);
    expect(catalog.traits.filter((trait) => trait.isProtected || trait.isSensitive).map((trait) => trait.name)).toEqual(
      ['income', 'phone'],
    );
    expect(catalog.counters).toEqual([
      {
        index: 0,
        event: 'purchase',
        eventHash: murmur3Text('purchase', 0),
        property: null,
        windowMillis: 2_592_000_000,
      },
    ]);
    expect(catalog.actionByHash.get(murmur3Text('brand-story', 0))?.index).toBe(1);
    expect(catalog.versionHash).toBe(Number.parseInt(catalog.version.slice(0, 8), 16));
  });

  it('compileCatalog: fills in the documented defaults when a catalog says only what it must', () => {
    const text =
      'version: 1\nname: tiny\ncurrency: EUR\ntimeZone: UTC\nchannels: { app: {} }\nactions: [{ key: a, channels: [app], valueMinor: -5, caps: [{ count: 1, per: week }] }]\n';
    expect(compileCatalog(text, 'tiny.yaml')).toMatchObject({
      decision: {
        strategy: 'thompson',
        diversity: null,
        explorationProbability: 0.02,
        holdoutProbability: 0,
        rewardWindowMillis: 604_800_000,
        leaseMillis: 120_000,
        fallbackAction: -1,
      },
      keepsAdditionalTraits: false,
      traits: [],
      slots: [],
      products: [],
      timeZoneTrait: -1,
      channels: [{ costMinor: 0, quietHours: null, caps: [] }],
      actions: [
        {
          costMinor: 0,
          lever: 1,
          eligibility: null,
          contextWeights: [],
          slots: [],
          creatives: [],
          budgetMinor: null,
          caps: [{ period: { kind: 'week' }, text: '1 per week on decision' }],
        },
      ],
    });
  });

  it('compileCatalog: takes strategy, fatigue, diversity and maturity', () => {
    const text =
      'version: 1\nname: tiny\ncurrency: EUR\ntimeZone: UTC\ndecision: { strategy: squarecb, diversity: { chargeMinor: 9, halfLife: 1w } }\n' +
      'channels: { app: { fatigue: { chargeMinor: 8, halfLife: 2d }, maturity: { positives: 200, reach: 0.02 } } }\n' +
      'actions: [{ key: a, channels: [app], valueMinor: 5, fatigue: { chargeMinor: 7, halfLife: 6h } }]\n';
    expect(compileCatalog(text, 'tiny.yaml')).toMatchObject({
      decision: { strategy: 'squarecb', diversity: { chargeMinor: 9, halfLifeMillis: 604_800_000 } },
      channels: [
        { fatigue: { chargeMinor: 8, halfLifeMillis: 172_800_000 }, maturity: { positives: 200, reach: 0.02 } },
      ],
      actions: [{ fatigue: { chargeMinor: 7, halfLifeMillis: 21_600_000 } }],
    });
    expect(() => compileCatalog(text.replace('squarecb', 'ucb'), 'tiny.yaml')).toThrow(
      /decision\.strategy: must be .*thompson/,
    );
    for (const [right, wrong, path] of [
      ['halfLife: 6h', 'halfLife: 600w', 'actions[0].fatigue.halfLife'],
      ['halfLife: 2d', 'halfLife: 600w', 'channels.app.fatigue.halfLife'],
      ['halfLife: 1w', 'halfLife: 600w', 'decision.diversity.halfLife'],
    ] as const)
      expect(() => compileCatalog(text.replace(right, wrong), 'tiny.yaml')).toThrow(
        `${path}: "600w" is longer than ten years`,
      );
    expect(() => compileCatalog(text.replace('reach: 0.02', 'reach: 2'), 'tiny.yaml')).toThrow(
      /channels\.app\.maturity\.reach: must be at most 1/,
    );
  });

  it('compileCatalogSource: builds the same catalog when the source was cloned to another thread', () => {
    const source = loadCatalogText(DOCUMENTED_EXAMPLE, 'example.yaml');
    const comparable = (value: unknown): string =>
      JSON.stringify(value, (_, part: unknown) => (part instanceof Map ? [...part] : part));
    expect(comparable(compileCatalogSource(structuredClone(source)))).toBe(
      comparable(compileCatalog(DOCUMENTED_EXAMPLE, 'example.yaml')),
    );
  });

  it('compileCatalog: gives each counter once and remembers the longest window when rules share an event', () => {
    const rules = [
      'count("buy", "7d") > 1',
      'count("buy", "7d") > 2 && count("buy", "30d") > 3',
      'sum("buy", "price", "8w") > 1.5',
      'lastSeen("open") > 60',
      'count("open", "90s") == 0',
    ];
    const actions = rules.map(
      (rule, index) => `  - { key: r${index}, channels: [app], valueMinor: 1, eligibility: '${rule}' }\n`,
    );
    const catalog = compileCatalog(
      DOCUMENTED_EXAMPLE.replace(/ {4}eligibility: .*\n/, '') + actions.join(''),
      'c.yaml',
    );
    const [buy, open] = [murmur3Text('buy', 0), murmur3Text('open', 0)];
    expect(catalog.counters.map(({ event, property, windowMillis }) => [event, property, windowMillis])).toEqual([
      ['buy', null, 604_800_000],
      ['buy', null, 2_592_000_000],
      ['buy', 'price', 4_838_400_000],
      ['open', null, Number.POSITIVE_INFINITY],
      ['open', null, 90_000],
    ]);
    expect([...catalog.retentions.values()]).toEqual([
      { eventHash: buy, windowMillis: 4_838_400_000, property: 'price' },
      { eventHash: open, windowMillis: Number.POSITIVE_INFINITY, property: null },
    ]);
  });

  it('compileCatalog: has another version when one byte differs, and another trait schema only when traits differ', () => {
    const one = compileCatalog(DOCUMENTED_EXAMPLE, 'c.yaml');
    const commented = compileCatalog(`${DOCUMENTED_EXAMPLE}#`, 'c.yaml');
    const retyped = compileCatalog(
      DOCUMENTED_EXAMPLE.replace('city:    { type: string }', 'city: { type: boolean }'),
      'c.yaml',
    );
    expect(commented.version).not.toBe(one.version);
    expect(commented.traitSchemaHash).toBe(one.traitSchemaHash);
    expect(retyped.traitSchemaHash).not.toBe(one.traitSchemaHash);
  });
});
