/**
 * What a decoder told its sink, folded into one number while it is valid: every field of every request, key
 * order, kinds and prototypes of maps, and the words of every refusal. Two decoders that differ in anything a
 * caller could see give different numbers (or meet in one of 2^32); comparing texts would take ten times as long.
 */
import type { Plain } from '../../../proto/messages.ts';
import type { FrameSink, Request } from '../../../proto/request.ts';
import type { Fault } from '../../../proto/statuses.ts';
import { demand, fold, foldLetters } from '../fuzz-target.ts';

const float = new Float64Array(1);
const words = new Int32Array(float.buffer);

export class RequestDigest implements FrameSink {
  /** Of all that was told since `clear`. */
  hash = 0;
  /** Of its kind only, without the values. */
  signature = 0;
  valid = 0;
  refused = 0;
  /** Whether zero and minus zero are one, where an encoder between two decoders does not tell them apart. */
  readonly #isSignless: boolean;

  constructor(isSignless = false) {
    this.#isSignless = isSignless;
  }

  clear(): void {
    this.hash = 0;
    this.signature = 0;
    this.valid = 0;
    this.refused = 0;
  }

  onRequest(request: Request): void {
    this.valid++;
    this.signature = fold(this.signature, request.op);
    this.#number(request.id);
    this.#number(request.op);
    this.#number(request.deadlineMillis);
    this.#text(request.traceparent);
    for (let at = 0; at < request.keyLength; at++) {
      this.hash = fold(this.hash, request.keyBytes[request.keyStart + at] as number); // within the key
    }
    this.#number(request.keyLength);
    this.#text(request.slot);
    this.#text(request.sku);
    this.#text(request.channel);
    this.#text(request.event);
    this.#text(request.messageId);
    this.#text(request.decisionId);
    this.#text(request.quoteId);
    this.#number(request.count);
    this.#number(request.wantMask);
    if (request.actions === null) this.#number(-1);
    else for (const action of request.actions) this.#text(action);
    this.#map(request.context);
    this.#map(request.traits);
    this.#map(request.properties);
    this.#number(request.isExplain ? 1 : 0);
    this.#number(request.isDryRun ? 1 : 0);
    this.#number(request.minStateSeq);
    this.#number(request.durability);
    this.#number(request.atEpochMillis);
    this.#text(request.clientName);
    this.#text(request.clientVersion);
  }

  onInvalid(id: number | null, fault: Fault, message: string): void {
    this.refused++;
    this.signature = foldLetters(fold(this.signature, fault.code), message);
    this.#number(id ?? -1);
    this.#number(fault.code);
    this.#text(message);
  }

  #number(value: number): void {
    // Not a number is one value here, whichever of its bit patterns came.
    float[0] = Number.isNaN(value) ? 4e300 : this.#isSignless && value === 0 ? 0 : value;
    this.hash = fold(fold(this.hash, words[0] as number), words[1] as number); // two words of one float
  }

  #text(text: string): void {
    let { hash } = this;
    for (let at = 0; at < text.length; at++) hash = fold(hash, text.charCodeAt(at));
    this.hash = fold(hash, text.length);
  }

  #map(map: { readonly [key: string]: Plain } | null): void {
    if (map === null) {
      this.#number(-2);
      return;
    }
    demand(Object.getPrototypeOf(map) === null, 'a map has a prototype');
    let count = 0;
    for (const key in map) {
      count++;
      this.#text(key);
      this.#value(map[key] as Plain); // its own key
    }
    this.#number(count);
  }

  #value(value: Plain): void {
    if (typeof value === 'string') this.#text(value);
    else if (typeof value === 'number') this.#number(value);
    else if (typeof value === 'boolean') this.#number(value ? 5e300 : 6e300);
    else if (value === null) this.#number(7e300);
    else if (Array.isArray(value)) {
      for (const item of value as readonly Plain[]) this.#value(item);
      this.#number(value.length);
    } else this.#map(value as { readonly [key: string]: Plain }); // the only kind left
  }
}
