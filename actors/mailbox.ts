/**
 * Mailboxes: messages that cannot have their turn at once wait here, first come first served, bounded
 * for each profile and in all. A shard runs messages as they arrive while it keeps up; when one pass of
 * its event loop has worked for its time slice, the rest is queued, so that commits and timers are
 * never starved and an overload is seen as depth and answered RESOURCE_EXHAUSTED instead of as delay.
 *
 *   frame ▸ turn                      (idle: no queueing)
 *   frame ▸ [ a b a c … ] ▸ turn      (busy: one ring for the shard, a count for each profile)
 *
 * One ring keeps the order of every profile's messages without a queue object a profile.
 */
export class Mailboxes<Message> {
  readonly depthMax: number;
  readonly depthPerProfileMax: number;
  readonly #ring: (Message | undefined)[];
  readonly #owners: Float64Array;
  readonly #counts = new Map<number, number>();
  #head = 0;
  #depth = 0;

  constructor(depthMax: number, depthPerProfileMax: number) {
    this.depthMax = depthMax;
    this.depthPerProfileMax = depthPerProfileMax;
    this.#ring = new Array<Message | undefined>(depthMax).fill(undefined);
    this.#owners = new Float64Array(depthMax);
  }

  get depth(): number {
    return this.#depth;
  }

  /** Queues a message of the profile `owner` (any number that stands for it); false when a bound is reached. */
  push(owner: number, message: Message): boolean {
    if (this.#depth >= this.depthMax) return false;
    const count = this.#counts.get(owner) ?? 0;
    if (count >= this.depthPerProfileMax) return false;
    this.#counts.set(owner, count + 1);
    const tail = (this.#head + this.#depth) % this.depthMax;
    this.#ring[tail] = message;
    this.#owners[tail] = owner;
    this.#depth++;
    return true;
  }

  /** The oldest message, or undefined when all mailboxes are empty. */
  shift(): Message | undefined {
    if (this.#depth === 0) return undefined;
    const message = this.#ring[this.#head];
    const owner = this.#owners[this.#head] as number;
    this.#ring[this.#head] = undefined;
    this.#head = (this.#head + 1) % this.depthMax;
    this.#depth--;
    const count = (this.#counts.get(owner) ?? 1) - 1;
    if (count === 0) this.#counts.delete(owner);
    else this.#counts.set(owner, count);
    return message;
  }
}
