/**
 * A person as somebody outside the turns may know them at this moment: whether anything of them may be handed on at all, and
 * some traits. Asked of the shard that owns them, because the record on disk may be a checkpoint old and a restriction binds at
 * once. Reads only; who was not in memory is not kept there for it.
 */
import type { ActorRuntime } from '../actors/actor-runtime.ts';
import { isMoved, signpostOf } from '../actors/identity.ts';
import { SealedTrait } from '../actors/sealed-trait.ts';
import { NO_HANDLE } from '../actors/slab.ts';
import { isRestricted } from '../actors/standing.ts';
import { PURPOSE } from '../decision/consent.ts';

export interface PersonQuestion {
  readonly partition: number;
  readonly low: number;
  readonly high: number;
  /** Names of traits and facts. */
  readonly traits: readonly string[];
}

export type PersonAnswer =
  | { readonly kind: 'known'; readonly traits: Readonly<Record<string, string | number | boolean>> }
  /** Nobody is known under this hash: never was, or was erased. */
  | { readonly kind: 'gone' }
  /** Restricted, sharing is refused, or set aside after failing. */
  | { readonly kind: 'withheld' }
  /** Joined with another key, which has the person now. */
  | {
      readonly kind: 'moved';
      readonly to: { readonly partition: number; readonly low: number; readonly high: number };
    };

/** Traits whose purpose is refused, that are sealed or absent, are left out. */
export function lookAtPerson(
  runtime: ActorRuntime,
  { partition, low, high, traits }: PersonQuestion,
  now: number,
): PersonAnswer {
  const wasResident = runtime.profiles.find(partition, low, high) !== NO_HANDLE;
  if (!runtime.openKnown(partition, low, high)) return { kind: runtime.isQuarantined ? 'withheld' : 'gone' };
  const answer = answerOf(runtime, traits, now);
  if (!wasResident) runtime.passivateBound();
  return answer;
}

function answerOf(runtime: ActorRuntime, names: readonly string[], now: number): PersonAnswer {
  const { record, index, consent } = runtime;
  if (isMoved(record)) {
    const { partition, hashLow, hashHigh } = signpostOf(record);
    return { kind: 'moved', to: { partition, low: hashLow, high: hashHigh } };
  }
  const rules = index.catalog.consent;
  // Of no request: what one connection came with binds that one.
  consent.hasOptOut = false;
  consent.bind(record, rules, now);
  if (isRestricted(record) || !consent.allows(PURPOSE.sharing)) return { kind: 'withheld' };
  const told: Record<string, string | number | boolean> = {};
  const known = names.length === 0 ? {} : runtime.readCold().traits;
  for (const name of names) {
    const value = known[name];
    const purpose = rules.ofTrait[index.catalog.traitByName.get(name)?.index ?? -1] ?? -1;
    const isAllowed = purpose < 0 || consent.allows(purpose);
    if (value !== undefined && !(value instanceof SealedTrait) && isAllowed) told[name] = value;
  }
  return { kind: 'known', traits: told };
}
