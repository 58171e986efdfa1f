/**
 * The part of a store that is the same for whoever applies journals or reads records and writes nothing: no batch is
 * ever closed, nothing is durable, and whatever would have to be is refused. What is read, and from where, is the heir's.
 */
import type { JournalBatch, JournalPosition, Store } from '../../actors/store.ts';

export abstract class UnwrittenStore implements Store {
  /** Profiles are marked as changed in this batch; it is never closed. */
  readonly openBatch = 1;
  readonly openBatchBytes = 0;

  abstract getRecord(key: Uint8Array): Uint8Array | undefined;
  abstract getCold(key: Uint8Array): Uint8Array | undefined;
  abstract putCold(key: Uint8Array, bytes: Uint8Array): void;
  abstract removeProfile(key: Uint8Array): void;
  abstract readJournal(position: JournalPosition): Uint8Array | undefined;

  putRecord(_key: Uint8Array, _bytes: Uint8Array, _start: number, _length: number): void {
    throw new RangeError('a store that is only read: a record was to be written');
  }
  appendJournal(): number {
    throw new RangeError('a store that is only read: a journal entry was to be written');
  }
  scanJournal(_from: readonly JournalPosition[], _visit: (batch: JournalBatch) => void): void {}
  putMeta(): void {}
  getMeta(): undefined {
    return undefined;
  }
  commit(): Promise<void> {
    return Promise.resolve();
  }
  recover(): Promise<boolean> {
    return Promise.resolve(true);
  }
  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** A store key as the key of a Map. */
export function nameOfKey(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.length).toString('latin1');
}
