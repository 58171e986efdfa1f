/** Small journal entries of known content, and stores that hold them. */
import { DECISION, EFFECT, Effect, EVENT, LEASE_EFFECT } from '../../../actors/effect.ts';
import { LmdbStore } from '../../../workers/store/lmdb-store.ts';

export const CATALOG_TEXT = `
version: 1
name: shop
currency: EUR
timeZone: UTC
channels: { app: {} }
slots: { home: { channels: [app] } }
actions: [{ key: welcome, channels: [app], slots: [home], valueMinor: 100 }]
`;

const effect = new Effect();

function stamp(atEpochMillis: number, sequence: number): Uint8Array {
  effect.u32[2] = 0x1234;
  effect.u32[3] = 0xabcd;
  effect.u32[5] = sequence;
  effect.f64[3] = atEpochMillis;
  return effect.u8.slice(0, effect.length);
}

export function releaseEntry(atEpochMillis: number, sequence = 1): Uint8Array {
  effect.begin(EFFECT.release, 8);
  effect.setU32(LEASE_EFFECT.decisionSeq, sequence);
  return stamp(atEpochMillis, sequence);
}

/** A decision that allowed the catalog's first action and chose none. */
export function decisionEntry(atEpochMillis: number, catalogVersionHash: number, sequence = 1): Uint8Array {
  effect.begin(EFFECT.decision, DECISION.chosen - 48 + 4);
  effect.setU32(DECISION.decisionSeq, sequence);
  effect.setU32(DECISION.catalogVersion, catalogVersionHash);
  effect.setU16(DECISION.allowedWords, 1);
  effect.u32[DECISION.chosen >>> 2] = 1;
  return stamp(atEpochMillis, sequence);
}

export function eventEntry(atEpochMillis: number, actionHash: number): Uint8Array {
  effect.begin(EFFECT.event, EVENT.name - 48 + 5);
  effect.setU16(EVENT.nameBytes, 5);
  effect.u8.set(new TextEncoder().encode('click'), EVENT.name);
  effect.setU32(EVENT.decisionSeq, 1);
  effect.setU32(EVENT.actionHash, actionHash);
  return stamp(atEpochMillis, 2);
}

export class JournalWriter {
  readonly #store: LmdbStore;

  constructor(path: string, epoch: number, stream: number) {
    this.#store = LmdbStore.open({ path, epoch, stream });
  }

  /** Writes one batch and waits until it is committed. */
  async batch(...entries: Uint8Array[]): Promise<void> {
    for (const entry of entries) this.#store.appendJournal(entry, 0, entry.length);
    await this.#store.commit();
  }

  async keepCatalog(version: string, text: string): Promise<void> {
    this.#store.putMeta(`catalog:${version}`, new TextEncoder().encode(text));
    await this.#store.commit();
  }

  close(): Promise<void> {
    return this.#store.close();
  }
}
