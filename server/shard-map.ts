/**
 * Which shard owns which partition: contiguous ranges of nearly equal size, worked out from the number
 * of workers alone, so every thread comes to the same map and another number needs no stored one.
 */
import { PARTITION_COUNT } from '../proto/limits.ts';

/** Owner of each partition, by shard index; length PARTITION_COUNT. */
export function ownersOf(shards: number): Uint8Array {
  return Uint8Array.from({ length: PARTITION_COUNT }, (_, partition) =>
    Math.floor((partition * shards) / PARTITION_COUNT),
  );
}

/** Partitions of one shard, ascending. */
export function partitionsOf(shard: number, shards: number): number[] {
  const partitions: number[] = [];
  ownersOf(shards).forEach((owner, partition) => {
    if (owner === shard) partitions.push(partition);
  });
  return partitions;
}
