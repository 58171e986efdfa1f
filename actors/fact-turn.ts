/**
 * Takes what a fit says of one person into the record: a turn like any other, whose effect is an identify that names
 * the fit. So facts are journalled, recovered and computed again by the same code as traits, and a decision made
 * again sees what it saw. Called by `workers/fact-feed.ts` between the requests.
 *
 * Traded away: a fact of a person is one journal entry and a write of the cold record, some 20 microseconds; in
 * return a record has them under any later catalog. What has hardly moved (`hasMoved`) writes nothing.
 */

import type { TraitSpec } from '../decision/catalog.ts';
import { type FactName, hasMoved } from '../decision/facts.ts';
import type { Plain } from '../proto/messages.ts';
import type { ActorRuntime } from './actor-runtime.ts';
import { EFFECT, IDENTIFY } from './effect.ts';
import { NO_HANDLE } from './slab.ts';
import { isRestricted } from './standing.ts';

/** Facts of many people: row i of each column is about the person of row i of the keys. */
export interface FactRows {
  /** Four numbers a row: partition, then low, high and check of the key's hash. */
  readonly keys: Uint32Array;
  /** As numbers lie in trait slots: of a segment its place in the list; NaN for what is not known. */
  readonly columns: ReadonlyMap<FactName, Float64Array>;
  /** Number of the fit, from 1. */
  readonly fit: number;
}

export const FACT_KEY_WORDS = 4;

/** Whether the record was changed, had it all already, or could not be: a person not known here, set aside, or restricted. */
export type FactOutcome = 'changed' | 'same' | 'refused';

/**
 * One person's row. The record is read for it if it is not in memory, and then leaves memory again.
 * @param row below the number of rows, of a partition this shard owns
 */
export function takeFacts(runtime: ActorRuntime, facts: FactRows, row: number, now: number): FactOutcome {
  const at = row * FACT_KEY_WORDS;
  const [partition = 0, low = 0, high = 0, check = 0] = facts.keys.subarray(at, at + FACT_KEY_WORDS);
  const wasResident = runtime.profiles.find(partition, low, high) !== NO_HANDLE;
  if (!runtime.openKnown(partition, low, high)) return 'refused';
  const outcome = runtime.record.hashCheck === check ? change(runtime, facts, row, now) : 'refused';
  // Many people must not push those out of memory who are asked for.
  if (!wasResident) runtime.passivateBound();
  return outcome;
}

function change(runtime: ActorRuntime, facts: FactRows, row: number, now: number): FactOutcome {
  runtime.wakes.visitDue(now);
  runtime.tags.refresh(now);
  const { record, effect, options, index } = runtime;
  if (isRestricted(record)) return 'refused';
  const changes: Record<string, Plain> = {};
  let moved = 0;
  for (const spec of index.catalog.traits) {
    const column = spec.isFact ? facts.columns.get(spec.name as FactName) : undefined; // a fact's name, by the catalog
    if (column === undefined) continue;
    const after = column[row] as number; // a column has every row
    if (!hasMoved(spec.name as FactName, record.trait(spec.index), after)) continue; // as above
    changes[spec.name] = factValue(spec, after);
    moved += 1;
  }
  if (moved === 0) return 'same';
  const bytes = options.coldCodec.encodeProperties(changes);
  effect.begin(EFFECT.identify, IDENTIFY.traits - 48 + bytes.length);
  effect.setU32(IDENTIFY.traitBytes, bytes.length);
  effect.setU32(IDENTIFY.fit, facts.fit);
  effect.u8.set(bytes, IDENTIFY.traits);
  if (!runtime.commit(now)) return 'refused';
  runtime.tags.afterTraits(now);
  return 'changed';
}

function factValue(spec: TraitSpec, number: number): Plain {
  if (Number.isNaN(number)) return null;
  return spec.type === 'enum' ? (spec.values[number] ?? null) : number;
}
