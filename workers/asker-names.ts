/**
 * The names under which decisions are journalled: UTF-8 of who asks, made once for each and not with every decision.
 */
import { ASKER_BYTES_MAX } from '../actors/effect.ts';
import { NOBODY_IN_PARTICULAR } from './responder.ts';

/** Names kept; those of apps are few, and of browsers with tokens of their own any number. */
const KEPT_MAX = 10_000;
const ENCODER = new TextEncoder();

export class AskerNames {
  readonly #names = new Map<string, Uint8Array>();

  /** Null for nobody in particular. A name that is too long is cut between two characters. */
  nameOf(actor: string): Uint8Array | null {
    if (actor === NOBODY_IN_PARTICULAR) return null;
    let name = this.#names.get(actor);
    if (name === undefined) {
      if (this.#names.size >= KEPT_MAX) this.#names.clear();
      const bytes = new Uint8Array(ASKER_BYTES_MAX);
      name = bytes.slice(0, ENCODER.encodeInto(actor, bytes).written);
      this.#names.set(actor, name);
    }
    return name;
  }
}
