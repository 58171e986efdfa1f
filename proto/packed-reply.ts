/**
 * The replies of the hot path in MessagePack: the same bytes as `reply.ts` writes field by field, at
 * several times the speed. A shape's keys never change, so each stretch between two values (end of a
 * key, start of the next map) is a constant run of bytes copied whole, and no entry is counted. Words
 * from the catalog and the zone table are copied encoded; numbers and ids are written as ever.
 *
 * Price: each shape stands twice, here and in `reply.ts`, which JSON and `explain` go through; a
 * differential test holds the bytes of one to the other.
 */

import { type MessagePackWriter, PackedRun } from './messagepack-writer.ts';
import type { DecidedAction, DecidedPrice, DecidedSendTime, DecideReply, StateReply, TrackReply } from './messages.ts';

const TRUE = 0xc3;
const MAP = 0x80;

const ID = new PackedRun('id');
const OK_MICROS = new PackedRun('ok', TRUE, 'serverMicros');
const STATE_SEQ = new PackedRun('stateSeq');
const DURABILITY = new PackedRun('durability');
const DUPLICATE = new PackedRun('duplicate');
const DECISION_ID = new PackedRun('decisionId');
const CATALOG_VERSION = new PackedRun('catalogVersion');
const MODEL_VERSION = new PackedRun('modelVersion');
const ACTIONS = new PackedRun('actions');
const FALLBACK = new PackedRun('fallback');

const ACTION = new PackedRun(MAP | 9, 'action');
const CREATIVE = new PackedRun('creative');
const CHANNEL = new PackedRun('channel');
const SCORE = new PackedRun('score');
const RESPONSE_PROBABILITY = new PackedRun('responseProbability');
const VALUE = new PackedRun('value');
const PROPENSITY = new PackedRun('propensity');
const EXPLORED = new PackedRun('explored');
const LEASE_EXPIRES = new PackedRun('leaseExpiresAtEpochMillis');

const PRICE_SKU = new PackedRun('price', MAP | 12, 'sku');
const CURRENCY = new PackedRun('currency');
const LIST_MINOR = new PackedRun('listMinor');
const PRICE_MINOR = new PackedRun('priceMinor');
const MASKED_PRICE_MINOR = new PackedRun('maskedPriceMinor');
const PERSONALISED = new PackedRun('personalised');
const PROMOTION = new PackedRun('promotion');
const DISCLOSURE = new PackedRun('disclosure');
const QUOTE_ID = new PackedRun('quoteId');
const EXPIRES = new PackedRun('expiresAtEpochMillis');
const SIGNATURE = new PackedRun('signature');

const SEND_TIME_CHANNEL = new PackedRun('sendTime', MAP | 7, 'channel');
const AT = new PackedRun('atEpochMillis');
const LOCAL = new PackedRun('local');
const TIME_ZONE = new PackedRun('timeZone');
const WINDOW_MINUTES = new PackedRun('windowMinutes');
const PROBABILITY = new PackedRun('probability');
const NOW_PROBABILITY = new PackedRun('nowProbability');

function packOk(writer: MessagePackWriter, entries: number, id: number, serverMicros: number): void {
  writer.packMap(entries);
  writer.packNumber(ID, id);
  writer.packNumber(OK_MICROS, serverMicros);
}

export function packTrack(writer: MessagePackWriter, reply: TrackReply): void {
  packOk(writer, 6, reply.id, reply.serverMicros);
  writer.packNumber(STATE_SEQ, reply.stateSeq);
  writer.packRecurring(DURABILITY, reply.durability);
  writer.packBoolean(DUPLICATE, reply.duplicate);
}

export function packState(writer: MessagePackWriter, reply: StateReply): void {
  packOk(writer, 4, reply.id, reply.serverMicros);
  writer.packNumber(STATE_SEQ, reply.stateSeq);
}

/** All but `explain`, for which the header counts and which the caller writes next. */
export function packDecide(writer: MessagePackWriter, reply: DecideReply): void {
  const { actions, price, sendTime } = reply;
  const optional =
    (price === undefined ? 0 : 1) + (sendTime === undefined ? 0 : 1) + (reply.explain === undefined ? 0 : 1);
  packOk(writer, 9 + optional, reply.id, reply.serverMicros);
  writer.packText(DECISION_ID, reply.decisionId);
  writer.packNumber(STATE_SEQ, reply.stateSeq);
  writer.packRecurring(CATALOG_VERSION, reply.catalogVersion);
  writer.packNumber(MODEL_VERSION, reply.modelVersion);
  writer.packArray(ACTIONS, actions.length);
  for (let index = 0; index < actions.length; index++) packAction(writer, actions[index] as DecidedAction); // below length
  if (price !== undefined) packPrice(writer, price);
  if (sendTime !== undefined) packSendTime(writer, sendTime);
  writer.packBoolean(FALLBACK, reply.fallback);
}

function packAction(writer: MessagePackWriter, action: DecidedAction): void {
  writer.packRecurring(ACTION, action.action);
  writer.packRecurring(CREATIVE, action.creative);
  writer.packRecurring(CHANNEL, action.channel);
  writer.packNumber(SCORE, action.score);
  writer.packNumber(RESPONSE_PROBABILITY, action.responseProbability);
  writer.packNumber(VALUE, action.value);
  writer.packNumber(PROPENSITY, action.propensity);
  writer.packBoolean(EXPLORED, action.explored);
  writer.packNumber(LEASE_EXPIRES, action.leaseExpiresAtEpochMillis);
}

function packPrice(writer: MessagePackWriter, price: DecidedPrice): void {
  writer.packRecurring(PRICE_SKU, price.sku);
  writer.packText(CURRENCY, price.currency);
  writer.packNumber(LIST_MINOR, price.listMinor);
  writer.packNumber(PRICE_MINOR, price.priceMinor);
  writer.packNumber(MASKED_PRICE_MINOR, price.maskedPriceMinor);
  writer.packBoolean(PERSONALISED, price.personalised);
  writer.packNumber(PROPENSITY, price.propensity);
  writer.packRecurring(PROMOTION, price.promotion);
  writer.packRecurring(DISCLOSURE, price.disclosure);
  writer.packText(QUOTE_ID, price.quoteId);
  writer.packNumber(EXPIRES, price.expiresAtEpochMillis);
  writer.packText(SIGNATURE, price.signature);
}

function packSendTime(writer: MessagePackWriter, sendTime: DecidedSendTime): void {
  writer.packRecurring(SEND_TIME_CHANNEL, sendTime.channel);
  writer.packNumber(AT, sendTime.atEpochMillis);
  // Send times fall on few local times a day.
  writer.packRecurring(LOCAL, sendTime.local);
  writer.packRecurring(TIME_ZONE, sendTime.timeZone);
  writer.packNumber(WINDOW_MINUTES, sendTime.windowMinutes);
  writer.packNumber(PROBABILITY, sendTime.probability);
  writer.packNumber(NOW_PROBABILITY, sendTime.nowProbability);
}
