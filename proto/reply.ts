/**
 * Every reply's shape on the wire, written once for both encodings (the replies of the hot path again,
 * faster, in `packed-reply.ts` for MessagePack). The server fills reusable objects of
 * the types in `messages.ts` and these functions write them field by field: no intermediate document, no
 * reflection, fields always in the same order (so equal replies are equal bytes). Optional fields that
 * are undefined are left out. Here too is the way back, for the client: bytes to plain values.
 */
import type { DocumentWriter, Encoding } from './document-writer.ts';
import { JsonReader } from './json.ts';
import { JsonWriter } from './json-writer.ts';
import { MessagePackReader } from './messagepack.ts';
import { MessagePackWriter } from './messagepack-writer.ts';
import type {
  AliasReply,
  DecidedAction,
  DecidedPrice,
  DecidedSendTime,
  DecideReply,
  EraseReply,
  Explanation,
  ExportReply,
  HelloReply,
  PingReply,
  Plain,
  ProfileReply,
  Rejection,
  StateReply,
  TrackReply,
} from './messages.ts';
import { packDecide, packState, packTrack } from './packed-reply.ts';
import type { Fault } from './statuses.ts';
import type { ReadLimits, ValueReader } from './value-reader.ts';

export type { DocumentWriter, Encoding } from './document-writer.ts';

export function createWriter(encoding: Encoding): DocumentWriter {
  return encoding === 'msgpack' ? new MessagePackWriter() : new JsonWriter();
}

function textOrNull(writer: DocumentWriter, value: string | null): void {
  if (value === null) writer.null();
  else writer.string(value);
}

function numberOrNull(writer: DocumentWriter, value: number | null): void {
  if (value === null) writer.null();
  else writer.number(value);
}

function beginOk(writer: DocumentWriter, reply: { readonly id: number; readonly serverMicros: number }): void {
  writer.beginMap();
  writer.key('id');
  writer.number(reply.id);
  writer.key('ok');
  writer.boolean(true);
  writer.key('serverMicros');
  writer.number(reply.serverMicros);
}

export function writeHello(writer: DocumentWriter, reply: HelloReply): void {
  beginOk(writer, reply);
  writer.key('server');
  writer.string(reply.server);
  writer.key('protocol');
  writer.number(reply.protocol);
  writer.key('limits');
  writer.plain(reply.limits);
  writer.key('partitions');
  writer.number(reply.partitions);
  writer.key('shards');
  writer.beginArray();
  for (const shard of reply.shards) {
    writer.beginMap();
    writer.key('url');
    writer.string(shard.url);
    writer.key('partitions');
    writer.plain(shard.partitions);
    writer.endMap();
  }
  writer.endArray();
  writer.key('epoch');
  writer.number(reply.epoch);
  writer.key('timeEpochMillis');
  writer.number(reply.timeEpochMillis);
  writer.endMap();
}

export function writePing(writer: DocumentWriter, reply: PingReply): void {
  beginOk(writer, reply);
  writer.key('timeEpochMillis');
  writer.number(reply.timeEpochMillis);
  writer.endMap();
}

export function writeTrack(writer: DocumentWriter, reply: TrackReply): void {
  if (writer instanceof MessagePackWriter) packTrack(writer, reply);
  else writeTrackPlainly(writer, reply);
}

function writeTrackPlainly(writer: DocumentWriter, reply: TrackReply): void {
  beginOk(writer, reply);
  writer.key('stateSeq');
  writer.number(reply.stateSeq);
  writer.key('durability');
  writer.string(reply.durability);
  writer.key('duplicate');
  writer.boolean(reply.duplicate);
  writer.endMap();
}

/** `identify`, `confirm` and `release`. */
export function writeState(writer: DocumentWriter, reply: StateReply): void {
  if (writer instanceof MessagePackWriter) packState(writer, reply);
  else writeStatePlainly(writer, reply);
}

function writeStatePlainly(writer: DocumentWriter, reply: StateReply): void {
  beginOk(writer, reply);
  writer.key('stateSeq');
  writer.number(reply.stateSeq);
  writer.endMap();
}

/** `identify` by a door that leaves bad traits out; `dropped` says which, and why. */
export function writePartial(
  writer: DocumentWriter,
  reply: StateReply & { readonly dropped: readonly string[] },
): void {
  beginOk(writer, reply);
  writer.key('stateSeq');
  writer.number(reply.stateSeq);
  writer.key('dropped');
  writer.beginArray();
  for (const reason of reply.dropped) writer.string(reason);
  writer.endArray();
  writer.endMap();
}

export function writeAlias(writer: DocumentWriter, reply: AliasReply): void {
  beginOk(writer, reply);
  writer.key('stateSeq');
  writer.number(reply.stateSeq);
  writer.key('merged');
  writer.boolean(reply.merged);
  writer.endMap();
}

export function writeProfile(writer: DocumentWriter, reply: ProfileReply): void {
  beginOk(writer, reply);
  writer.key('stateSeq');
  writer.number(reply.stateSeq);
  writer.key('record');
  writer.plain(reply.record);
  writer.endMap();
}

export function writeExport(writer: DocumentWriter, reply: ExportReply): void {
  beginOk(writer, reply);
  writer.key('stateSeq');
  writer.number(reply.stateSeq);
  writer.key('export');
  writer.plain(reply.export);
  writer.endMap();
}

export function writeErase(writer: DocumentWriter, reply: EraseReply): void {
  beginOk(writer, reply);
  writer.key('receipt');
  writer.plain(reply.receipt);
  writer.endMap();
}

export function writeDecide(writer: DocumentWriter, reply: DecideReply): void {
  if (writer instanceof MessagePackWriter) {
    packDecide(writer, reply);
    if (reply.explain !== undefined) writeExplanation(writer, reply.explain);
  } else writeDecidePlainly(writer, reply);
}

function writeDecidePlainly(writer: DocumentWriter, reply: DecideReply): void {
  beginOk(writer, reply);
  writer.key('decisionId');
  textOrNull(writer, reply.decisionId);
  writer.key('stateSeq');
  writer.number(reply.stateSeq);
  writer.key('catalogVersion');
  writer.string(reply.catalogVersion);
  writer.key('modelVersion');
  writer.number(reply.modelVersion);
  writer.key('actions');
  writer.beginArray();
  const actions = reply.actions;
  for (let index = 0; index < actions.length; index++) writeAction(writer, actions[index] as DecidedAction); // below length
  writer.endArray();
  if (reply.price !== undefined) writePrice(writer, reply.price);
  if (reply.sendTime !== undefined) writeSendTime(writer, reply.sendTime);
  writer.key('fallback');
  writer.boolean(reply.fallback);
  if (reply.explain !== undefined) writeExplanation(writer, reply.explain);
  writer.endMap();
}

/** The shapes field by field in either encoding: what the packed replies are measured against. */
export const writePlainly = { decide: writeDecidePlainly, track: writeTrackPlainly, state: writeStatePlainly } as const;

function writeAction(writer: DocumentWriter, action: DecidedAction): void {
  writer.beginMap();
  writer.key('action');
  writer.string(action.action);
  writer.key('creative');
  textOrNull(writer, action.creative);
  writer.key('channel');
  textOrNull(writer, action.channel);
  writer.key('score');
  writer.number(action.score);
  writer.key('responseProbability');
  writer.number(action.responseProbability);
  writer.key('value');
  writer.number(action.value);
  writer.key('propensity');
  writer.number(action.propensity);
  writer.key('explored');
  writer.boolean(action.explored);
  writer.key('leaseExpiresAtEpochMillis');
  numberOrNull(writer, action.leaseExpiresAtEpochMillis);
  writer.endMap();
}

function writePrice(writer: DocumentWriter, price: DecidedPrice): void {
  writer.key('price');
  writer.beginMap();
  writer.key('sku');
  writer.string(price.sku);
  writer.key('currency');
  writer.string(price.currency);
  writer.key('listMinor');
  writer.number(price.listMinor);
  writer.key('priceMinor');
  writer.number(price.priceMinor);
  writer.key('maskedPriceMinor');
  writer.number(price.maskedPriceMinor);
  writer.key('personalised');
  writer.boolean(price.personalised);
  writer.key('propensity');
  numberOrNull(writer, price.propensity);
  writer.key('promotion');
  textOrNull(writer, price.promotion);
  writer.key('disclosure');
  writer.string(price.disclosure);
  writer.key('quoteId');
  textOrNull(writer, price.quoteId);
  writer.key('expiresAtEpochMillis');
  writer.number(price.expiresAtEpochMillis);
  writer.key('signature');
  textOrNull(writer, price.signature);
  writer.endMap();
}

function writeSendTime(writer: DocumentWriter, sendTime: DecidedSendTime): void {
  writer.key('sendTime');
  writer.beginMap();
  writer.key('channel');
  writer.string(sendTime.channel);
  writer.key('atEpochMillis');
  writer.number(sendTime.atEpochMillis);
  writer.key('local');
  writer.string(sendTime.local);
  writer.key('timeZone');
  writer.string(sendTime.timeZone);
  writer.key('windowMinutes');
  writer.number(sendTime.windowMinutes);
  writer.key('probability');
  writer.number(sendTime.probability);
  writer.key('nowProbability');
  writer.number(sendTime.nowProbability);
  writer.endMap();
}

function writeExplanation(writer: DocumentWriter, explain: Explanation): void {
  writer.key('explain');
  writer.beginMap();
  writer.key('counts');
  writer.plain(explain.counts);
  writer.key('chosen');
  writer.beginArray();
  for (const chosen of explain.chosen) {
    writer.beginMap();
    writer.key('action');
    writer.string(chosen.action);
    writer.key('contributions');
    writer.beginArray();
    for (const { feature, value, weight, effect } of chosen.contributions) {
      writer.beginMap();
      writer.key('feature');
      writer.string(feature);
      writer.key('value');
      writer.number(value);
      writer.key('weight');
      writer.number(weight);
      writer.key('effect');
      writer.number(effect);
      writer.endMap();
    }
    writer.endArray();
    writer.endMap();
  }
  writer.endArray();
  writer.key('rejected');
  writer.beginArray();
  for (const rejection of explain.rejected) writeRejection(writer, rejection);
  writer.endArray();
  if (explain.price !== undefined) {
    writer.key('price');
    writer.plain(explain.price);
  }
  if (explain.sendTime !== undefined) {
    writer.key('sendTime');
    writer.plain(explain.sendTime);
  }
  writer.endMap();
}

function writeRejection(writer: DocumentWriter, rejection: Rejection): void {
  writer.beginMap();
  writer.key('action');
  writer.string(rejection.action);
  writer.key('stage');
  writer.string(rejection.stage);
  writer.key('rule');
  writer.string(rejection.rule);
  writer.key('value');
  writer.plain(rejection.value);
  writer.key('threshold');
  writer.plain(rejection.threshold);
  writer.key('eligibleAgainAtEpochMillis');
  numberOrNull(writer, rejection.eligibleAgainAtEpochMillis);
  writer.endMap();
}

/**
 * @param id null where the request's own could not be found.
 * @param retryAfterMillis milliseconds; left out, the fault's own hint, and no field when that is 0.
 */
export function writeError(
  writer: DocumentWriter,
  id: number | null,
  fault: Fault,
  message: string,
  retryAfterMillis: number = fault.retryAfterMillis,
): void {
  writer.beginMap();
  writer.key('id');
  numberOrNull(writer, id);
  writer.key('ok');
  writer.boolean(false);
  writer.key('status');
  writer.string(fault.status);
  writer.key('code');
  writer.number(fault.code);
  writer.key('message');
  writer.string(message);
  writer.key('retry');
  writer.string(fault.retry);
  if (retryAfterMillis > 0) {
    writer.key('retryAfterMillis');
    writer.number(retryAfterMillis);
  }
  writer.endMap();
}

/** Replies come from the server the client chose: bounded against accidents, wide enough for `explain`. */
const REPLY_LIMITS: ReadLimits = {
  nestingMax: 32,
  containerItemsMax: 1 << 20,
  stringBytesMax: 1 << 24,
  magnitudeMax: Number.MAX_VALUE,
};

const replyReaders: Partial<Record<Encoding, ValueReader>> = {};

/**
 * Decodes one frame from a server: a reply, a push, or an array of them, as plain values whose maps have
 * no prototype.
 * @throws SyntaxError when the frame is not whole and plain (the client closes the connection).
 */
export function decodeReply(encoding: Encoding, bytes: Uint8Array): Plain {
  let reader = replyReaders[encoding];
  if (reader === undefined) {
    reader = encoding === 'msgpack' ? new MessagePackReader(REPLY_LIMITS) : new JsonReader(REPLY_LIMITS);
    replyReaders[encoding] = reader;
  }
  reader.open(bytes);
  const value = reader.readPlain();
  if (value === undefined || !reader.isAtEnd()) {
    throw new SyntaxError(`a frame of ${bytes.length} bytes is not one plain ${encoding} value`);
  }
  return value;
}
