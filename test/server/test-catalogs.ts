/**
 * Catalogs for tests on the running server: everybody is decided for (no holdout) and nothing is drawn
 * at random that a test would have to allow for, unless it says so. `writeCatalog` replaces the file as
 * an editor does, so that a running server sees one whole version after the other.
 */
import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import { readRepositoryFile } from '../repository/repository-files.ts';
import { temporaryFolder } from './running-node.ts';

export interface CatalogParts {
  readonly traits?: readonly string[];
  readonly actions?: readonly string[];
  readonly products?: readonly string[];
  readonly channels?: readonly string[];
  readonly leaseMillis?: number;
  readonly name?: string;
}

const ACTIONS = [
  '{ key: plain, channels: [app], slots: [home], valueMinor: 100, creatives: [a, b] }',
  '{ key: capped, channels: [app], slots: [capped], valueMinor: 900, caps: [{ count: 3, per: 7d, on: decision }] }',
  '{ key: budgeted, channels: [app], slots: [budget], valueMinor: 500, costMinor: 100, budgetMinor: 1000 }',
  `{ key: regular, channels: [app], slots: [regular], valueMinor: 300, eligibility: 'count("view", "30d") > 1' }`,
  `{ key: golden, channels: [app], slots: [golden], valueMinor: 300, eligibility: 'profile.loyalty == "gold"' }`,
];
const PRODUCTS = [
  '{ sku: espresso, listMinor: 12900, floorMinor: 9900, ceilingMinor: 13900, costMinor: 8000, stepMinor: 100, stock: 50, quoteTtlMillis: 900000 }',
];
const TRAITS = ['age: { type: integer, min: 0, max: 130 }', 'loyalty: { type: enum, values: [none, silver, gold] }'];

export function catalogText(parts: CatalogParts = {}): string {
  const list = (items: readonly string[], indent: string): string =>
    items.map((item) => `${indent}- ${item}`).join('\n');
  const map = (items: readonly string[], indent: string): string => items.map((item) => `${indent}${item}`).join('\n');
  return `version: 1
name: ${parts.name ?? 'end-to-end'}
currency: CNY
timeZone: Asia/Shanghai
decision:
  explorationProbability: 0
  holdoutProbability: 0
  rewardWindow: 7d
  leaseMillis: ${parts.leaseMillis ?? 120_000}
  fallback: plain
profile:
  additionalTraits: refuse
  traits:
${map(parts.traits ?? TRAITS, '    ')}
channels:
${map(parts.channels ?? ['app: {}', 'push: { costMinor: 2 }'], '  ')}
slots:
  home: { channels: [app] }
  capped: { channels: [app] }
  budget: { channels: [app] }
  regular: { channels: [app] }
  golden: { channels: [app] }
products:
${list(parts.products ?? PRODUCTS, '  ')}
actions:
${list(parts.actions ?? ACTIONS, '  ')}
`;
}
export const DEFAULT_ACTIONS: readonly string[] = ACTIONS;
export const DEFAULT_TRAITS: readonly string[] = TRAITS;

/** Writes a catalog file, whole or not at all; returns its path. */
export function writeCatalog(text: string, path = join(temporaryFolder('catalog'), 'catalog.yaml')): string {
  writeFileSync(`${path}.new`, text);
  renameSync(`${path}.new`, path);
  return path;
}

/** What tests change of the sample catalog, as its file has it. */
export interface SampleCatalog {
  profile: { tags: Record<string, unknown> };
  journeys?: Record<string, unknown>;
  feeds?: Record<string, unknown>;
  webhooks?: Record<string, unknown>;
}
/** Text of the sample catalog, changed. */
export function sampleCatalogWith(change: (catalog: SampleCatalog) => void): string {
  const catalog = parse(readRepositoryFile('catalogs/retail.yaml')) as SampleCatalog; // samples.test.ts compiles it
  change(catalog);
  return stringify(catalog);
}
/** The sample without tags and journeys, where a person's state has one number for each event and no other. */
export function sampleOfEventsOnly(): string {
  return sampleCatalogWith((catalog) => {
    delete catalog.journeys;
    catalog.profile.tags = {};
  });
}
