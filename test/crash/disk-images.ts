/**
 * What a disk may hold after a power loss, worked out from a record of all writes to it (see record-writes.c).
 *
 *   written … sync begins … sync ends      what was written before the sync began is on disk
 *   written ──────────────▸ durable        (O_DSYNC) so is this one write
 *   everything else                        on disk, lost, or torn at any 512 bytes, each by itself
 *
 * Sound for file systems that write data in place, sectors whole or not at all. Of two writes to one sector the
 * later may not be undone by the earlier: they are laid over each other in the order they were made.
 */
const ENTRY_BYTES = 24;
const KIND = { written: 1, durable: 2, syncBegins: 3, syncEnds: 4, acknowledged: 5 } as const;
export const SECTOR_BYTES = 512;
const PAGE_BYTES = 4096;

/** What of the writes that no sync has made sure of is on the disk. */
export const LOSSES = ['none of them', 'all of them', 'some pages', 'some sectors', 'the later half'] as const;
export type Loss = (typeof LOSSES)[number];

interface Write {
  readonly offset: number;
  readonly bytes: Buffer;
  readonly thread: number;
}

export interface DiskImage {
  readonly bytes: Buffer;
  readonly loss: Loss;
  /** What the process had said by then, line by line. */
  readonly acknowledged: readonly string[];
  /** Writes that no sync had made sure of. */
  readonly unsure: number;
}

/** Goes through a record once, from its begin, and makes images at the moments asked for. */
export class DiskRecord {
  readonly #log: Buffer;
  readonly entryCount: number;
  #at = 0;
  #entry = 0;
  #durable = Buffer.alloc(0);
  #unsure: Write[] = [];
  /** By thread: the writes a sync under way makes sure of. */
  readonly #syncing = new Map<number, Set<Write>>();
  readonly #acknowledged: string[] = [];

  constructor(log: Buffer) {
    this.#log = log;
    let count = 0;
    for (let at = 0; at + ENTRY_BYTES <= log.length; at += ENTRY_BYTES + this.#lengthAt(at)) count++;
    this.entryCount = count;
  }

  /** Moves on until `entry` entries have happened; never back. */
  advance(entry: number): void {
    while (this.#entry < entry && this.#at + ENTRY_BYTES <= this.#log.length) this.#take();
  }

  image(loss: Loss, fraction: () => number): DiskImage {
    const end = this.#unsure.reduce(
      (most, { offset, bytes }) => Math.max(most, offset + bytes.length),
      this.#durable.length,
    );
    const bytes = Buffer.alloc(end);
    this.#durable.copy(bytes);
    let length = this.#durable.length;
    for (const [index, write] of this.#unsure.entries()) {
      const step = loss === 'some pages' ? PAGE_BYTES : SECTOR_BYTES;
      for (let from = 0; from < write.bytes.length; ) {
        // To the next boundary on the disk, not within the write.
        const to = Math.min(write.bytes.length, from + step - ((write.offset + from) % step));
        const isThere =
          loss === 'all of them' ||
          (loss === 'the later half' && index * 2 >= this.#unsure.length) ||
          ((loss === 'some pages' || loss === 'some sectors') && fraction() < 0.5);
        if (isThere) {
          write.bytes.copy(bytes, write.offset + from, from, to);
          length = Math.max(length, write.offset + to);
        }
        from = to;
      }
    }
    return {
      bytes: bytes.subarray(0, length),
      loss,
      acknowledged: [...this.#acknowledged],
      unsure: this.#unsure.length,
    };
  }

  #lengthAt(at: number): number {
    return Number(this.#log.readBigUInt64LE(at + 16));
  }

  #take(): void {
    const at = this.#at;
    const kind = this.#log.readUInt32LE(at);
    const thread = this.#log.readUInt32LE(at + 4);
    const offset = Number(this.#log.readBigUInt64LE(at + 8));
    const length = this.#lengthAt(at);
    const bytes = this.#log.subarray(at + ENTRY_BYTES, at + ENTRY_BYTES + length);
    this.#at = at + ENTRY_BYTES + length;
    this.#entry++;
    if (kind === KIND.written) this.#unsure.push({ offset, bytes, thread });
    else if (kind === KIND.durable) {
      const write = this.#unsure.findLast((one) => one.thread === thread);
      if (write !== undefined) this.#settle(new Set([write]));
    } else if (kind === KIND.syncBegins) this.#syncing.set(thread, new Set(this.#unsure));
    else if (kind === KIND.syncEnds) {
      this.#settle(this.#syncing.get(thread) ?? new Set());
      this.#syncing.delete(thread);
    } else if (kind === KIND.acknowledged) this.#acknowledged.push(...bytes.toString().trim().split('\n'));
  }

  /** These are on disk, and so is whatever they were laid over. */
  #settle(sure: ReadonlySet<Write>): void {
    const kept: Write[] = [];
    for (const [index, write] of this.#unsure.entries()) {
      const isUnder = this.#unsure.slice(index + 1).some((later) => sure.has(later) && doOverlap(write, later));
      if (sure.has(write) || isUnder) this.#lay(write);
      else kept.push(write);
    }
    this.#unsure = kept;
  }

  #lay({ offset, bytes }: Write): void {
    const end = offset + bytes.length;
    if (end > this.#durable.length) {
      const grown = Buffer.alloc(end);
      this.#durable.copy(grown);
      this.#durable = grown;
    }
    bytes.copy(this.#durable, offset);
  }
}

function doOverlap(a: Write, b: Write): boolean {
  return a.offset < b.offset + b.bytes.length && b.offset < a.offset + a.bytes.length;
}
