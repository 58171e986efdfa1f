/**
 * Mailboxes: messages that cannot have their turn at once wait here, bounded for each profile and in all. A
 * shard runs messages as they arrive while it keeps up; when one pass of its event loop has worked for its time
 * slice, the rest is queued, so that commits and timers are never starved and an overload is seen as depth and
 * answered RESOURCE_EXHAUSTED instead of as delay.
 *
 *   frame ▸ turn                                    (idle: no queueing)
 *   frame ▸ line of its connection [ a b a … ] ─┐
 *   frame ▸ line of another        [ c ]        ─┴─ one from each in turn ▸ turn      (busy)
 *
 * Each connection has a line, first come first served, and lines are served round and round (fair queueing;
 * Nagle, RFC 970): who has a thousand requests in flight waits for them, and the one beside who asks a single
 * question does not. So the order of a profile's messages is that of their arrival on one connection; between
 * two connections there is no order until one of them has its answer.
 *
 * All lines lie in one array of places, each knowing the next of its line, so that a line is two numbers.
 */
export class MailboxLine {
  /** Places of the oldest and the newest message; -1 and anything when none waits. */
  first = -1;
  last = -1;
  /** How long its message that had its turn last had waited, in microseconds; 0 when none waits. */
  waitedMicros = 0;
}

/** What can wait: whatever it is, its bytes are what it holds. */
interface Queued {
  readonly bytes: { readonly length: number };
}

export class Mailboxes<Message extends Queued> {
  readonly depthMax: number;
  readonly depthPerProfileMax: number;
  readonly bytesMax: number;
  readonly #messages: (Message | undefined)[];
  readonly #owners: Float64Array;
  /** The next place of the same line, or of the free ones. */
  readonly #next: Int32Array;
  #free: number;
  readonly #counts = new Map<number, number>();
  /** Lines with messages, from the one to be served next on: a ring. */
  readonly #lines: (MailboxLine | undefined)[];
  #lineHead = 0;
  #lineCount = 0;
  #depth = 0;
  #bytes = 0;

  /** @param bytesMax of all messages that wait together: a full queue of the longest frames would fill a machine. */
  constructor(depthMax: number, depthPerProfileMax: number, bytesMax: number) {
    this.depthMax = depthMax;
    this.depthPerProfileMax = depthPerProfileMax;
    this.bytesMax = bytesMax;
    this.#messages = new Array<Message | undefined>(depthMax).fill(undefined);
    this.#owners = new Float64Array(depthMax);
    this.#next = Int32Array.from({ length: depthMax }, (_, place) => (place + 1 < depthMax ? place + 1 : -1));
    this.#free = depthMax > 0 ? 0 : -1;
    this.#lines = new Array<MailboxLine | undefined>(depthMax).fill(undefined);
  }

  get depth(): number {
    return this.#depth;
  }

  /** Queues a message of the profile `owner` (any number that stands for it); false when a bound is reached. */
  push(line: MailboxLine, owner: number, message: Message): boolean {
    const place = this.#free;
    const { length } = message.bytes;
    if (place < 0 || this.#bytes + length > this.bytesMax) return false;
    const count = this.#counts.get(owner) ?? 0;
    if (count >= this.depthPerProfileMax) return false;
    this.#counts.set(owner, count + 1);
    this.#free = this.#next[place] as number;
    this.#next[place] = -1;
    this.#messages[place] = message;
    this.#owners[place] = owner;
    if (line.first < 0) {
      line.first = place;
      this.#enqueue(line);
    } else this.#next[line.last] = place;
    line.last = place;
    this.#depth++;
    this.#bytes += length;
    return true;
  }

  /** The oldest message of the line whose turn it is, or undefined when all mailboxes are empty. */
  shift(): Message | undefined {
    const line = this.#lines[this.#lineHead];
    if (line === undefined) return undefined;
    this.#lines[this.#lineHead] = undefined;
    this.#lineHead = (this.#lineHead + 1) % this.depthMax;
    this.#lineCount--;
    const place = line.first;
    const message = this.#messages[place] as Message; // a line's place holds one
    line.first = this.#next[place] as number;
    if (line.first >= 0) this.#enqueue(line);
    this.#messages[place] = undefined;
    this.#next[place] = this.#free;
    this.#free = place;
    this.#depth--;
    this.#bytes -= message.bytes.length;
    const owner = this.#owners[place] as number;
    const count = (this.#counts.get(owner) ?? 1) - 1;
    if (count === 0) this.#counts.delete(owner);
    else this.#counts.set(owner, count);
    return message;
  }

  /** There are never more lines than messages, so there is room. */
  #enqueue(line: MailboxLine): void {
    this.#lines[(this.#lineHead + this.#lineCount) % this.depthMax] = line;
    this.#lineCount++;
  }
}
