import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { benchCatalogText } from '../../bench/bench-catalog.ts';
import { benchCatalogPath } from '../../bench/micro/bench-inputs.ts';
import { compileCatalog } from '../../workers/catalog/compile-catalog.ts';

const BASE = readFileSync(benchCatalogPath(), 'utf8');

describe('benchCatalogText', () => {
  it.each([1, 20, 100, 2500])('bench catalog: %d actions compile, keys distinct, rules in the same mix', (actions) => {
    const catalog = compileCatalog(benchCatalogText(BASE, actions), 'generated.yaml');
    const base = compileCatalog(BASE, 'bench.yaml');
    const withoutFallback = catalog.actions.length;
    expect(withoutFallback).toBe(actions);
    expect(new Set(catalog.actions.map((action) => action.key)).size).toBe(actions);
    expect(catalog.actions.at(-1)?.eligibility?.source).toBe(
      base.actions[(actions - 1) % base.actions.length]?.eligibility?.source,
    );
  });

  it.each([0, 2501, 1.5, Number.NaN])('bench catalog: %d actions are refused', (actions) => {
    expect(() => benchCatalogText(BASE, actions)).toThrow(RangeError);
  });

  it('bench catalog: a base without a list of actions is refused', () => {
    expect(() => benchCatalogText('version: 1\n', 5)).toThrow('no list of actions');
  });
});
