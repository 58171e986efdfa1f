/** What shards tell each other of the records they own: not requests, answered or not by messages of their own. */
import type { DeviceMessage } from './abuse/devices.ts';
import type { PersonMessage } from './identity/person-message.ts';

export type ShardMessage = PersonMessage | DeviceMessage;

/** Takes what is told of a record of this shard. */
export interface MessageTaker {
  take(message: ShardMessage, now: number): void;
}
