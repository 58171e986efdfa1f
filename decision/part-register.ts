/**
 * Numbers of the response model's parts: each action, category and channel that was ever in a catalog has a
 * small number for good, so that a feature's weights for one catalog lie side by side (`response-model.ts`).
 * Numbers only grow: an action that leaves and returns finds what was learnt of it. Dealt in one place (the
 * node's main thread) and handed to all shards, because what they exchange is addressed by it; kept with
 * every snapshot of the model, because its weights mean nothing without it.
 */
import type { Catalog } from './catalog.ts';
import { mixHash } from './features.ts';

/** Keeps an action, a category and a channel of one name apart. */
export const PART_KIND = { category: 0x1b873593, channel: 0x4cf5ad43, action: 0x38495ab5 } as const;
type PartKind = (typeof PART_KIND)[keyof typeof PART_KIND];

/** Keys of the parts in the order of their numbers, which begin at 1: part 0 is everybody's. */
export type PartKeys = Uint32Array;

/** `previous` with the catalog's new parts behind it; `previous` itself when there are none. */
export function dealParts(previous: PartKeys, catalog: Catalog): PartKeys {
  const known = new Set(previous);
  const added: number[] = [];
  const deal = (kind: PartKind, hash: number): void => {
    const key = mixHash(hash, kind);
    if (known.has(key)) return;
    known.add(key);
    added.push(key);
  };
  for (const channel of catalog.channels) deal(PART_KIND.channel, channel.hash);
  for (const action of catalog.actions) if (action.categoryHash !== 0) deal(PART_KIND.category, action.categoryHash);
  for (const action of catalog.actions) deal(PART_KIND.action, action.hash);
  return added.length === 0 ? previous : Uint32Array.of(...previous, ...added);
}

/** `previous` with those of `others` behind it that it lacks. */
export function joinParts(previous: PartKeys, others: PartKeys): PartKeys {
  const known = new Set(previous);
  return Uint32Array.of(...previous, ...others.filter((key) => !known.has(key)));
}

/** The look-up from what a catalog or the journal names. */
export class PartRegister {
  readonly keys: PartKeys;
  readonly #numbers = new Map<number, number>();

  constructor(keys: PartKeys) {
    this.keys = keys;
    for (let i = 0; i < keys.length; i++) this.#numbers.set(keys[i] as number, i + 1); // i < length
  }

  /** The part's number, or 0 when no catalog had it: there is nothing to learn for it or to read of it. */
  numberOf(kind: PartKind, hash: number): number {
    return this.#numbers.get(mixHash(hash, kind)) ?? 0;
  }
}
