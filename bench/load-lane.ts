/**
 * One connection of the generator and its requests in flight. A request id is a slot number (low 16
 * bits) and the slot's generation (high 16): a late reply to an id given up, or a reply sent twice, is
 * recognised instead of being taken for another request's. Typed arrays only: nothing is allocated a
 * request.
 */
import { type FrameTemplate, MESSAGE_DIGITS, PROFILE_DIGITS, patchDigits, patchId } from './frame-template.ts';
import type { LoadSocket } from './load-socket.ts';

/** Ids name slots with 16 bits. */
export const LANE_SLOTS_MAX = 65_536;
/** messageIds count per process: processes × requests stay below 10^10 (ten digits). */
const MESSAGES_PER_PROCESS = 10 ** (MESSAGE_DIGITS - 2);

export interface LaneNumbers {
  /** @param owned which partitions the lane may ask for, or null for all */
  nextProfile(owned: Uint8Array | null): number;
  nextMessage(): number;
}

export class LoadLane {
  readonly socket: LoadSocket;
  readonly slots: number;
  readonly intendedMicros: Float64Array;
  readonly operations: Uint8Array;
  readonly profiles: Uint32Array;
  readonly #ids: Uint32Array;
  readonly #owned: Uint8Array | null;
  readonly #isInFlight: Uint8Array;
  readonly #free: Uint16Array;
  #freeCount: number;
  /** The newest decision this connection was given, for a click to be credited to. */
  readonly #decisionId: Uint8Array;
  #decisionProfile = -1;

  /** @param owned 1 for each partition this connection's server owns, or null for all */
  constructor(socket: LoadSocket, slots: number, decisionIdBytes: number, owned: Uint8Array | null = null) {
    this.socket = socket;
    this.#owned = owned;
    this.slots = slots;
    this.intendedMicros = new Float64Array(slots);
    this.operations = new Uint8Array(slots);
    this.profiles = new Uint32Array(slots);
    this.#ids = new Uint32Array(slots).map((_, slot) => slot);
    this.#isInFlight = new Uint8Array(slots);
    this.#free = new Uint16Array(slots).map((_, slot) => slots - 1 - slot);
    this.#freeCount = slots;
    this.#decisionId = new Uint8Array(decisionIdBytes);
  }

  get inFlight(): number {
    return this.slots - this.#freeCount;
  }

  hasRoom(requests: number): boolean {
    return this.#freeCount >= requests && this.socket.isOpen;
  }

  get hasDecision(): boolean {
    return this.#decisionProfile >= 0;
  }

  /** Keeps a decision id of the planned length; others are ignored. */
  remember(profile: number, bytes: Uint8Array, start: number, end: number): void {
    if (end - start !== this.#decisionId.length) return;
    for (let i = start; i < end; i += 1) this.#decisionId[i - start] = bytes[i] as number; // in range: start <= i < end
    this.#decisionProfile = profile;
  }

  /** Appends one frame; the caller made sure that there is room, and flushes. */
  append(template: FrameTemplate, intendedMicros: number, numbers: LaneNumbers): void {
    const at = this.socket.append(template.bytes);
    const bytes = this.socket.outgoing;
    for (const item of template.items) {
      this.#freeCount -= 1;
      const slot = this.#free[this.#freeCount] as number; // in range: hasRoom was asked
      const id = ((this.#ids[slot] as number) + 0x10000) >>> 0; // in range: a slot; generations wrap at 2^16
      this.#ids[slot] = id;
      this.#isInFlight[slot] = 1;
      this.intendedMicros[slot] = intendedMicros;
      this.operations[slot] = item.operation;
      patchId(bytes, at + item.idOffset, id);
      const isClick = item.decisionIdOffset >= 0;
      const profile = isClick ? this.#decisionProfile : numbers.nextProfile(this.#owned);
      this.profiles[slot] = profile;
      if (item.profileOffset >= 0) patchDigits(bytes, at + item.profileOffset, PROFILE_DIGITS, profile);
      if (item.messageIdOffset >= 0) {
        patchDigits(bytes, at + item.messageIdOffset, MESSAGE_DIGITS, numbers.nextMessage());
      }
      if (isClick) {
        bytes.set(this.#decisionId, at + item.decisionIdOffset);
        // Credited once.
        this.#decisionProfile = -1;
      }
    }
  }

  /** The slot of a reply's id, freed; −1 when no such request is in flight. */
  settle(id: number): number {
    const slot = id & 0xffff;
    if (id < 0 || slot >= this.slots || this.#isInFlight[slot] !== 1 || this.#ids[slot] !== id) return -1;
    this.#isInFlight[slot] = 0;
    this.#free[this.#freeCount] = slot;
    this.#freeCount += 1;
    return slot;
  }

  /** Visits the requests still in flight. */
  forEachInFlight(visit: (slot: number) => void): void {
    for (let slot = 0; slot < this.slots; slot += 1) if (this.#isInFlight[slot] === 1) visit(slot);
  }
}

/** First messageId of a process; each has room for 10^8. */
export function firstMessage(processIndex: number): number {
  return processIndex * MESSAGES_PER_PROCESS;
}
