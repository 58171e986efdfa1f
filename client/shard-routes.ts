/**
 * Who owns what, as `hello` last said it: partition to shard URL. A request without a key or decision id,
 * or for a partition nobody claims, has no route and goes to the seed connection, whose server forwards it.
 */
import { PARTITION_COUNT } from '../proto/limits.ts';
import type { ShardAddress } from '../proto/messages.ts';
import { partitionOfDecisionId, partitionOfKey } from '../proto/partition.ts';
import type { RequestBody } from './session.ts';

export class ShardRoutes {
  readonly #urls: (string | undefined)[] = Array.from({ length: PARTITION_COUNT });

  /** Replaces every route; `shards` with one entry or none leaves nothing to route. */
  replace(shards: readonly ShardAddress[]): void {
    this.#urls.fill(undefined);
    if (shards.length < 2) return;
    for (const { url, partitions } of shards) {
      // A URL this client cannot open is no route; the seed serves its partitions.
      if (!URL.canParse(url)) continue;
      for (const partition of partitions) {
        if (Number.isInteger(partition) && partition >= 0 && partition < PARTITION_COUNT) this.#urls[partition] = url;
      }
    }
  }

  /** URLs that own something. */
  urls(): ReadonlySet<string> {
    return new Set(this.#urls.filter((url) => url !== undefined));
  }

  /** URL of the owner of what `body` is about, or undefined. */
  find(body: RequestBody): string | undefined {
    if ('profile' in body) return this.#urls[partitionOfKey(body.profile)];
    return body.op === 'confirm' || body.op === 'release'
      ? this.#urls[partitionOfDecisionId(body.decisionId)]
      : undefined;
  }
}
