/**
 * What a decide gets when it cannot have its decision in time: the catalog's declared `fallback`, marked so. Only who
 * gave a deadline has said that late is too late, so only they get it; others are refused, and may ask again.
 *
 * Nobody's record is looked at: nothing is counted, leased, logged or learnt, there is no price and no send-time.
 * The catalog check sees to it that nothing about the action or its channel would need the record (eligibility,
 * caps, quiet hours, budget); who belongs to the holdout is told by the key alone and gets an empty list.
 */
import { keyHash } from '../actors/key-hash.ts';
import type { Catalog } from '../decision/catalog.ts';
import { HOLDOUT_SALT, isHeldOut } from '../decision/holdout.ts';
import { type DecidedAction, type DecideReply, OP } from '../proto/messages.ts';
import type { Request } from '../proto/request.ts';
import { FAULT, type Fault } from '../proto/statuses.ts';

/** Refusals that a fallback stands in for: each says "not now", none that the caller or we made a mistake. */
const REPLACED: ReadonlySet<Fault> = new Set([
  FAULT.deadlineExceeded,
  FAULT.overloaded,
  FAULT.mailboxFull,
  FAULT.memoryFull,
  FAULT.readOnly,
  FAULT.shardRecovering,
]);

const hash = new Uint32Array(3);

/** Whether this refusal of this request is answered with the catalog's fallback instead. */
export function hasFallback(catalog: Catalog, request: Request, fault: Fault): boolean {
  if (request.op !== OP.decide || request.deadlineMillis === 0 || request.isDryRun) return false;
  return catalog.decision.fallbackAction >= 0 && REPLACED.has(fault);
}

/**
 * The answer. Its list is empty where the action has no channel the request could mean, and for the holdout.
 *
 * @param hashSeeds of the profiles' keyed hash
 */
export function fallbackReply(
  catalog: Catalog,
  request: Request,
  hashSeeds: Uint32Array,
  modelVersion: number,
  serverMicros: number,
): DecideReply {
  const action = isWithheld(catalog, request, hashSeeds) ? null : fallbackAction(catalog, request);
  return {
    id: request.id,
    ok: true,
    serverMicros,
    decisionId: null,
    stateSeq: 0,
    catalogVersion: catalog.version,
    modelVersion,
    actions: action === null ? [] : [action],
    fallback: true,
  };
}

function isWithheld(catalog: Catalog, request: Request, hashSeeds: Uint32Array): boolean {
  keyHash(request.keyBytes, request.keyStart, request.keyLength, hashSeeds, hash);
  const [low = 0, high = 0] = hash;
  return isHeldOut(high, low, HOLDOUT_SALT, catalog.decision.holdoutProbability);
}

function fallbackAction(catalog: Catalog, request: Request): DecidedAction | null {
  const action = catalog.actions[catalog.decision.fallbackAction];
  if (action === undefined || (request.actions !== null && !request.actions.includes(action.key))) return null;
  const slot = request.slot === '' ? undefined : catalog.slotByKey.get(request.slot);
  const fits = slot !== undefined && (action.slots.length === 0 || action.slots.includes(slot.index));
  if (request.slot !== '' && !fits) return null;
  for (const index of action.channels) {
    const channel = catalog.channels[index];
    if (channel === undefined || channel.quietHours !== null || channel.caps.length > 0) continue;
    if (slot !== undefined && !slot.channels.includes(index)) continue;
    if (request.channel !== '' && request.channel !== channel.key) continue;
    return {
      action: action.key,
      creative: action.creatives[0] ?? null,
      channel: channel.key,
      score: 0,
      responseProbability: 0,
      value: action.valueMinor,
      propensity: 1,
      explored: false,
      leaseExpiresAtEpochMillis: null,
    };
  }
  return null;
}
