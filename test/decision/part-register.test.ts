import { describe, expect, it } from 'vitest';
import { dealParts, joinParts, PART_KIND, PartRegister } from '../../decision/part-register.ts';
import { murmur3Text } from '../../proto/murmur3.ts';
import { compileCatalog } from '../../workers/catalog/compile-catalog.ts';
import { catalogText } from '../actors/test-catalog.ts';

const NONE = new Uint32Array(0);
const hash = (key: string): number => murmur3Text(key, 0);
const catalogOf = (actions: string) => compileCatalog(catalogText({ actions }), 'test.yaml');
const A = '{ key: a, category: k, channels: [app], valueMinor: 1 }';
const B = '{ key: b, channels: [app], valueMinor: 1 }';
const C = '{ key: c, category: a, channels: [app], valueMinor: 1 }';

describe('part register', () => {
  it('dealParts: a catalog’s actions have consecutive numbers, channels and categories theirs before', () => {
    const catalog = catalogOf(`${A}, ${B}, ${C}`);
    const register = new PartRegister(dealParts(NONE, catalog));
    const actions = ['a', 'b', 'c'].map((key) => register.numberOf(PART_KIND.action, hash(key)));
    expect(actions).toEqual([actions[0], (actions[0] ?? 0) + 1, (actions[0] ?? 0) + 2]);
    const others = [
      ...catalog.channels.map((channel) => register.numberOf(PART_KIND.channel, channel.hash)),
      register.numberOf(PART_KIND.category, hash('k')),
      register.numberOf(PART_KIND.category, hash('a')),
    ];
    expect([...others].sort((x, y) => x - y)).toEqual(others.map((_, i) => i + 1));
    expect(Math.max(...others)).toBeLessThan(actions[0] ?? 0);
  });

  it('dealParts: numbers stay when actions come, go and return', () => {
    const first = dealParts(NONE, catalogOf(`${A}, ${B}`));
    const second = dealParts(first, catalogOf(`${C}, ${B}`));
    expect(second.slice(0, first.length)).toEqual(first);
    expect(second.length).toBe(first.length + 2); // action c and category a
    const third = dealParts(second, catalogOf(`${A}, ${C}`));
    expect(third).toBe(second);
  });

  it('joinParts: a snapshot’s numbers stay, what the catalog adds comes behind them', () => {
    expect([...joinParts(Uint32Array.of(7, 5), Uint32Array.of(5, 9, 7, 1))]).toEqual([7, 5, 9, 1]);
    expect([...joinParts(NONE, Uint32Array.of(3))]).toEqual([3]);
  });

  it('numberOf: 0 for what no catalog had', () => {
    const register = new PartRegister(dealParts(NONE, catalogOf(A)));
    expect(register.numberOf(PART_KIND.action, hash('b'))).toBe(0);
    expect(register.numberOf(PART_KIND.channel, hash('a'))).toBe(0);
  });
});
