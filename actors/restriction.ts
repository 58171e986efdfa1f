/**
 * Restriction of processing (GDPR, article 18): while it lasts a person's data are stored and not used. A decide is
 * answered as for somebody nothing is known of, no event teaches, no tag and no fact is worked out; events, traits,
 * consents and the settling of leases are kept, because keeping is what the law leaves. It comes with the operation
 * `consent` as the entry `processing` of its `purposes`, for callers who may `restrict`, and stands in the record
 * until it is lifted. A turn looks at one bit of it.
 */
import type { Plain, Properties } from '../proto/messages.ts';
import type { ActorRuntime } from './actor-runtime.ts';
import { type KeptStates, keepState } from './kept-states.ts';
import { STANDING } from './record-layout.ts';
import { beginStanding, changeStanding } from './standing.ts';

/** Name of the entry in `purposes`; no purpose may be called so. */
export const PROCESSING = 'processing';
const SUBJECT = 0;
/** Entry of the cold section `consent`. */
const ENTRY = '@processing';

/** Whether a `consent` asks for a restriction or its end, which not everybody may who may send one. */
export function asksRestriction(purposes: unknown): boolean {
  return typeof purposes === 'object' && purposes !== null && Object.hasOwn(purposes, PROCESSING);
}

/** @returns whether the person is to be restricted, or what is wrong with the entry */
export function readRestriction(value: Plain | undefined): boolean | string {
  const { granted, ...others } = typeof value === 'object' && value !== null ? (value as Properties) : {}; // a map or a list, which has no `granted`
  if (typeof granted !== 'boolean' || Object.keys(others).length > 0)
    return `consent.purposes.${PROCESSING}: expected {granted: false} to restrict, {granted: true} to lift it`;
  return !granted;
}

/** Puts it into the record bound, or ends it. @returns false when the change failed and was undone */
export function standRestriction(runtime: ActorRuntime, restricts: boolean, now: number): boolean {
  beginStanding(runtime.effect);
  changeStanding(runtime.effect, STANDING.restriction, SUBJECT, restricts, now, 0);
  if (!runtime.commit(now)) return false;
  // What was not worked out meanwhile is now.
  if (!restricts && runtime.index.tags.hash !== 0) runtime.tags.lookAnew(now);
  return true;
}

/** What it changes of the cold section `consent`. */
export function keepRestriction(
  kept: KeptStates,
  restricts: boolean,
  proof: Properties | null,
  now: number,
): Record<string, Plain> {
  const state = { restricted: restricts, atEpochMillis: now, ...(proof === null ? {} : { proof }) };
  return { [ENTRY]: keepState(kept[ENTRY], state) };
}

/** For `profile`; null for somebody who never was. */
export function describeRestriction(kept: KeptStates): Properties | null {
  const told = kept[ENTRY];
  return told === undefined ? null : { ...told.now, history: [...told.before] };
}
