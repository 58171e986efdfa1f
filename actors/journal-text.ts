/**
 * A journal entry as something people and scripts read: the decision log's rows and a person's
 * timeline. Names are looked up in a catalog; a hash the catalog no longer knows is printed as such.
 */
import { type Catalog, VALUE_MOMENT } from '../decision/catalog.ts';
import { PURPOSE_NAMES } from '../decision/consent.ts';
import { placeOf } from '../decision/journey.ts';
import type { Plain, Properties } from '../proto/messages.ts';
import { sectionOf } from './cold-sections.ts';
import { formatDecisionId } from './decision-id.ts';
import {
  CHOSEN,
  CHOSEN_BYTES,
  DECISION,
  DECISION_FLAG,
  EFFECT,
  type Effect,
  EVENT,
  EVENT_FLAG,
  IDENTIFY,
  JOIN,
  LEASE_EFFECT,
  REFUSED_SHIFT,
  REQUEST_FLAG,
} from './effect.ts';
import { joinedName } from './identity.ts';
import { STANDING } from './record-layout.ts';
import { type StandingChange, standingChanges } from './standing.ts';

/** Decodes the MessagePack a journal entry carries. */
export interface PropertyDecoder {
  decodeProperties(bytes: Uint8Array): Properties;
}

const STANDING_NAMES: Readonly<Record<number, string>> = Object.fromEntries([
  ...Object.entries(STANDING).map(([name, kind]) => [kind, name]),
  [VALUE_MOMENT, 'value'],
]);
const latin = new TextDecoder();
const utf8 = new TextDecoder();
const NO_BYTES = new Uint8Array(0);

/**
 * The entry as a plain object: `{type, atEpochMillis, …}` with the fields of its type. Traits' values
 * of an identify are named, not shown.
 */
export function describeEntry(entry: Effect, catalog: Catalog, decoder: PropertyDecoder): Properties {
  const common = { atEpochMillis: entry.at, stateSeq: entry.stateSeq, profile: profileName(entry) };
  switch (entry.type) {
    case EFFECT.decision:
      return { type: 'decision', ...common, ...describeDecision(entry, catalog) };
    case EFFECT.event:
      return { type: 'event', ...common, ...describeEvent(entry, catalog, decoder) };
    case EFFECT.identify: {
      const end = IDENTIFY.traits + entry.getU32(IDENTIFY.traitBytes);
      const fit = entry.getU32(IDENTIFY.fit);
      return {
        type: 'identify',
        ...common,
        traits: Object.keys(decoder.decodeProperties(entry.u8.slice(IDENTIFY.traits, end))),
        ...(fit === 0 ? {} : { fit }),
      };
    }
    case EFFECT.release:
      return { type: 'release', ...common, decisionId: idOf(entry, entry.getU32(LEASE_EFFECT.decisionSeq)) };
    case EFFECT.standing:
      return {
        type: 'standing',
        ...common,
        changes: standingChanges(entry).map((change) => describeStanding(change, catalog)),
      };
    case EFFECT.section: {
      const { section, entries } = sectionOf(entry, decoder);
      return { type: 'section', ...common, section, entries: Object.keys(entries) };
    }
    case EFFECT.join:
    case EFFECT.unjoin: {
      const other = {
        partition: entry.getU32(JOIN.partition),
        hashHigh: entry.getU32(JOIN.high),
        hashLow: entry.getU32(JOIN.low),
      };
      return { type: entry.type === EFFECT.join ? 'join' : 'unjoin', ...common, key: joinedName(other) };
    }
    case EFFECT.erase:
      return { type: 'erase', ...common };
    default:
      return { type: 'expire', ...common };
  }
}

function describeStanding({ kind, subject, isSet, at, amount }: StandingChange, catalog: Catalog): Properties {
  const isTag = kind === STANDING.tag || kind === STANDING.tagWeight;
  const isJourney = kind === STANDING.stage || kind === STANDING.goal;
  const journey = isJourney ? catalog.journeyByHash.get(subject) : undefined;
  const stage = kind === STANDING.stage && journey !== undefined ? journey.stages[placeOf(journey, amount)] : undefined;
  return {
    kind: STANDING_NAMES[kind] ?? `kind ${kind}`,
    subject: (isTag ? catalog.tagByHash.get(subject)?.key : journey?.key) ?? hex(subject),
    isSet,
    ...(isSet ? { at, amount } : {}),
    ...(stage === undefined ? {} : { stage: stage.key }),
  };
}

/** The keyed hash that stands for the person; the key itself is in no journal. */
function profileName(entry: Effect): string {
  return entry.hashHigh.toString(16).padStart(8, '0') + entry.hashLow.toString(16).padStart(8, '0');
}

function finiteOrNull(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}

function idOf(entry: Effect, decisionSeq: number): string {
  return formatDecisionId(entry.partition, entry.hashLow, entry.hashHigh, decisionSeq);
}

function describeDecision(entry: Effect, catalog: Catalog): Record<string, Plain> {
  const flags = entry.u8[DECISION.flags] as number;
  const slotHash = entry.getU32(DECISION.slotHash);
  const skuHash = entry.getU32(DECISION.skuHash);
  const chosen: Plain[] = [];
  for (let k = 0; k < (entry.u8[DECISION.chosenCount] as number); k++) {
    const at = DECISION.chosen + k * CHOSEN_BYTES;
    const action = catalog.actionByHash.get(entry.getU32(at + CHOSEN.actionHash));
    chosen.push({
      action: action?.key ?? unknown(entry.getU32(at + CHOSEN.actionHash)),
      channel:
        catalog.channelByHash.get(entry.getU32(at + CHOSEN.channelHash))?.key ??
        unknown(entry.getU32(at + CHOSEN.channelHash)),
      creative: action?.creatives[entry.getU32(at + CHOSEN.creativeIndex)] ?? null,
      propensity: entry.getF64(at + CHOSEN.propensity),
      score: entry.getF64(at + CHOSEN.score),
      responseProbability: entry.getF64(at + CHOSEN.responseProbability),
    });
  }
  // The allowed set is a bitmap over the catalog's actions, so it can be named only by that version.
  const isSameCatalog = entry.getU32(DECISION.catalogVersion) === catalog.versionHash;
  const allowed: Plain[] = [];
  const first = entry.allowedStart() >>> 2;
  for (let a = 0; a < entry.getU16(DECISION.allowedWords) * 32; a++) {
    if (((entry.u32[first + (a >>> 5)] as number) >>> (a & 31)) & 1)
      allowed.push(isSameCatalog ? (catalog.actions[a]?.key ?? `#${a}`) : `#${a}`);
  }
  return {
    decisionId: idOf(entry, entry.getU32(DECISION.decisionSeq)),
    catalogVersion: entry.getU32(DECISION.catalogVersion).toString(16).padStart(8, '0'),
    modelEpoch: entry.getU32(DECISION.modelEpoch),
    ...(entry.getU32(DECISION.requestFlags) & REQUEST_FLAG.optOut ? { optOut: true } : {}),
    ...refusedPurposes(entry),
    ...askerOf(entry),
    slot: slotHash === 0 ? null : (catalog.slots.find((slot) => slot.hash === slotHash)?.key ?? unknown(slotHash)),
    candidates: entry.getU16(DECISION.candidateCount),
    allowed,
    chosen,
    explored: (flags & DECISION_FLAG.explored) !== 0,
    heldOut: (flags & DECISION_FLAG.heldOut) !== 0,
    seed: hex(entry.getU32(DECISION.seed1)) + hex(entry.getU32(DECISION.seed0)),
    features: entry.getU16(DECISION.featureCount),
    price:
      flags & DECISION_FLAG.hasPrice
        ? {
            sku: catalog.productByHash.get(skuHash)?.sku ?? unknown(skuHash),
            priceMinor: entry.getF64(DECISION.priceMinor),
            ...(flags & DECISION_FLAG.personalPrice ? { maskedPriceMinor: entry.maskedPriceMinor } : {}),
            propensity: finiteOrNull(entry.getF64(DECISION.pricePropensity)),
            expiresAtEpochMillis: entry.getF64(DECISION.quoteExpiresAt),
          }
        : null,
    sendTime:
      flags & DECISION_FLAG.hasSendTime
        ? {
            channel: catalog.channelByHash.get(entry.getU32(DECISION.sendChannelHash))?.key ?? null,
            atEpochMillis: entry.getF64(DECISION.sendTimeAt),
          }
        : null,
    leaseExpiresAtEpochMillis: entry.getF64(DECISION.leaseExpiresAt),
  };
}

/** Who asked for it, by the name of their token. */
function askerOf(entry: Effect): { askedBy?: string } {
  const name = entry.asker();
  return name === null ? {} : { askedBy: utf8.decode(name) };
}

/** Of the purposes every catalog has: those that were refused for the decision. */
function refusedPurposes(entry: Effect): { refusedPurposes?: string[] } {
  const bits = entry.getU32(DECISION.requestFlags) >>> REFUSED_SHIFT;
  return bits === 0 ? {} : { refusedPurposes: PURPOSE_NAMES.filter((_, purpose) => (bits >>> purpose) & 1) };
}

function describeEvent(entry: Effect, catalog: Catalog, decoder: PropertyDecoder): Record<string, Plain> {
  const flags = entry.getU32(EVENT.flags);
  const nameEnd = EVENT.name + entry.getU16(EVENT.nameBytes);
  const propertyBytes = entry.getU32(EVENT.propertyBytes);
  const properties = propertyBytes === 0 ? NO_BYTES : entry.u8.slice(nameEnd, nameEnd + propertyBytes);
  const decisionSeq = entry.getU32(EVENT.decisionSeq);
  return {
    event: latin.decode(entry.u8.subarray(EVENT.name, nameEnd)),
    eventAtEpochMillis: entry.getF64(EVENT.eventAt),
    ...(decisionSeq === 0 ? {} : { decisionId: idOf(entry, decisionSeq) }),
    ...(decisionSeq === 0 || entry.getU32(EVENT.actionHash) === 0
      ? {}
      : {
          action:
            catalog.actionByHash.get(entry.getU32(EVENT.actionHash))?.key ?? unknown(entry.getU32(EVENT.actionHash)),
        }),
    learnt: learntNames(flags),
    ...(flags & EVENT_FLAG.optOut ? { optOut: true } : {}),
    ...(flags & EVENT_FLAG.restricted ? { restricted: true } : {}),
    ...(propertyBytes === 0 ? {} : { properties: decoder.decodeProperties(properties) }),
  };
}

function learntNames(flags: number): string[] {
  const names: string[] = [];
  if (flags & EVENT_FLAG.trial) names.push('trial');
  if (flags & EVENT_FLAG.ripened) names.push('ripened');
  if (flags & EVENT_FLAG.response) names.push('response');
  if (flags & EVENT_FLAG.trialWithResponse) names.push('trial', 'response');
  if (flags & EVENT_FLAG.quote) names.push('quote');
  if (flags & EVENT_FLAG.purchase) names.push('purchase');
  if (flags & EVENT_FLAG.sendTime) names.push('sendTime');
  return names;
}

function unknown(hash: number): string {
  return `unknown:${hex(hash)}`;
}
function hex(word: number): string {
  return word.toString(16).padStart(8, '0');
}
