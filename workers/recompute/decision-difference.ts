/** Where a logged decision and the one computed again differ, as a person reads it: field, logged, recomputed. */
import { DECISION, EFFECT_HEADER_BYTES, type Effect } from '../../actors/effect.ts';
import { describeEntry } from '../../actors/journal-text.ts';
import type { Catalog } from '../../decision/catalog.ts';
import type { Plain } from '../../proto/messages.ts';
import { coldCodec } from '../cold-codec.ts';

export interface FieldDifference {
  readonly field: string;
  readonly logged: string;
  readonly recomputed: string;
}

/** Whether two decisions are the same in every bit behind the header, which says whose they are and where they stand. */
export function isSameDecision(logged: Effect, recomputed: Effect): boolean {
  if (logged.length !== recomputed.length) return false;
  const a = logged.u32;
  const b = recomputed.u32;
  for (let word = EFFECT_HEADER_BYTES >>> 2; word < logged.length >>> 2; word++) if (a[word] !== b[word]) return false;
  return true;
}

/** The fields that differ; where no field of the log does, the first byte of the entry that does. */
export function describeDifference(logged: Effect, recomputed: Effect, catalog: Catalog): FieldDifference[] {
  const found: FieldDifference[] = [];
  const compare = (field: string, a: Plain | undefined, b: Plain | undefined): void => {
    if (Object.is(a, b)) return;
    if (isContainer(a) && isContainer(b)) {
      for (const key of new Set([...Object.keys(a), ...Object.keys(b)])) {
        const name = Array.isArray(a) ? `${field}[${key}]` : `${field}${field === '' ? '' : '.'}${key}`;
        compare(name, (a as Fields)[key], (b as Fields)[key]);
      }
    } else found.push({ field, logged: textOf(a), recomputed: textOf(b) });
  };
  compare('', describeBody(logged, catalog), describeBody(recomputed, catalog));
  if (found.length > 0) return found;
  for (let at = EFFECT_HEADER_BYTES; at < Math.max(logged.length, recomputed.length); at++) {
    const a = at < logged.length ? logged.u8[at] : undefined;
    const b = at < recomputed.length ? recomputed.u8[at] : undefined;
    if (a !== b) return [{ field: `byte ${at} of the entry`, logged: String(a), recomputed: String(b) }];
  }
  return [];
}

type Fields = { readonly [key: string]: Plain };

/** What the log shows, and what it only counts. */
function describeBody(entry: Effect, catalog: Catalog): Fields {
  const {
    atEpochMillis: _at,
    stateSeq: _seq,
    profile: _profile,
    decisionId: _id,
    ...shown
  } = describeEntry(entry, catalog, coldCodec);
  return {
    ...shown,
    decisionSeq: entry.getU32(DECISION.decisionSeq),
    featureValues: Array.from({ length: entry.getU16(DECISION.featureCount) }, (_, i) => [
      entry.featureHash(i),
      entry.featureValue(i),
    ]),
    ledger: Array.from({ length: entry.ledgerCount }, (_, i) => [
      entry.ledgerKind(i),
      entry.ledgerSubject(i),
      entry.ledgerAmount(i),
    ]),
  };
}

function isContainer(value: Plain | undefined): value is Plain & object {
  return typeof value === 'object' && value !== null;
}

function textOf(value: Plain | undefined): string {
  return value === undefined ? 'none' : JSON.stringify(value);
}
