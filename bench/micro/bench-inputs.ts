/**
 * Inputs the cases share: the bench catalog compiled, and one profile with every trait and counter
 * filled, so that a decision has its 30 features. Fixed values: two runs measure the same work.
 */
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Catalog } from '../../decision/catalog.ts';
import { buildFeatures, FeatureVector } from '../../decision/features.ts';
import type { RuleScope } from '../../decision/rule.ts';
import type { Scalar } from '../../proto/messages.ts';
import { compileCatalog } from '../../workers/catalog/compile-catalog.ts';
import { defaultContext } from '../load-requests.ts';

/** A Sunday afternoon in Berlin; any instant would do, as long as it is always the same. */
export const NOW_EPOCH_MILLIS = 1_795_000_000_000;

/** Path of `catalogs/bench.yaml`, from the sources or from `dist`. */
export function benchCatalogPath(): string {
  for (const up of ['../../catalogs/bench.yaml', '../../../catalogs/bench.yaml']) {
    const path = fileURLToPath(new URL(up, import.meta.url));
    if (existsSync(path)) return path;
  }
  throw new Error('catalogs/bench.yaml is missing: run from a whole checkout');
}

let compiled: Catalog | null = null;

export function benchCatalog(): Catalog {
  compiled ??= compileCatalog(readFileSync(benchCatalogPath(), 'utf8'), 'bench.yaml');
  return compiled;
}

/** Every trait has a value in the middle of its range, every counter has counted. */
export class FilledProfile implements RuleScope {
  readonly #catalog: Catalog;
  readonly #context: { readonly [key: string]: Scalar } = defaultContext(3);

  constructor(catalog: Catalog) {
    this.#catalog = catalog;
  }

  hasTrait(_trait: number): boolean {
    return true;
  }

  traitNumber(trait: number): number {
    const spec = this.#catalog.traits[trait];
    return spec === undefined || spec.type === 'boolean' || spec.type === 'enum' ? 1 : Math.floor((spec.max ?? 50) / 2);
  }

  traitHash(_trait: number): number {
    return 123_456_789;
  }

  traitText(trait: number): string {
    return this.#catalog.traits[trait]?.type === 'timeZone' ? 'Europe/Berlin' : 'Lisbon';
  }

  counterCount(counter: number): number {
    return 1 + (counter % 5);
  }

  counterSum(counter: number): number {
    return 1000 * (1 + counter);
  }

  counterLastSeenSeconds(counter: number): number {
    return 3600 * (1 + counter);
  }

  counterOldestLeavesAtEpochMillis(_counter: number): number {
    return NOW_EPOCH_MILLIS + 3_600_000;
  }

  valueReading(reading: number): number {
    return reading % 4;
  }

  holdsTag(tag: number): boolean {
    return tag % 2 === 0;
  }

  feedNumber(): number {
    return Number.NaN;
  }
  feedText(): undefined {
    return undefined;
  }
  tagWeight(tag: number): number {
    return tag % 2;
  }

  allows(): boolean {
    return true;
  }

  stageOf(): number {
    return 0;
  }

  context(key: string): Scalar | undefined {
    return this.#context[key];
  }

  nowEpochMillis(): number {
    return NOW_EPOCH_MILLIS;
  }

  nowHour(): number {
    return 15;
  }

  nowWeekday(): number {
    return 6;
  }
}

export function benchFeatures(): FeatureVector {
  const catalog = benchCatalog();
  const features = new FeatureVector();
  buildFeatures(
    catalog,
    new FilledProfile(catalog),
    catalog.slots[0]?.hash ?? 0,
    catalog.products[0]?.hash ?? 0,
    defaultContext(3),
    features,
    null,
  );
  return features;
}
