/**
 * The trait slots of a record as numbers under one catalog's schema, filled from the cold record: for the runtime, and
 * for whoever reads stored records under another schema than they were written with.
 */
import type { TraitSpec } from '../decision/catalog.ts';
import { textHash } from '../proto/murmur3.ts';
import type { ColdRecord } from './ports.ts';
import type { ProfileRecord } from './profile-record.ts';
import { SealedTrait } from './sealed-trait.ts';

export function fillTraitSlots(record: ProfileRecord, traits: readonly TraitSpec[], cold: ColdRecord): void {
  for (const spec of traits) {
    const value = cold.traits[spec.name];
    let number = Number.NaN;
    if (value !== undefined && !spec.isSensitive && !(value instanceof SealedTrait)) {
      if (spec.type === 'enum') number = spec.values.indexOf(String(value));
      else if (spec.type === 'string' || spec.type === 'timeZone') number = textHash(String(value));
      else number = Number(value);
      if (spec.type === 'enum' && number < 0) number = Number.NaN;
    }
    record.setTrait(spec.index, number);
  }
}
