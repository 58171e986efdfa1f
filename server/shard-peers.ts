/**
 * The other workers' shards of one tenant, as a shard knows them: by partition, over the links of this thread. A request
 * that a profile sends on goes there as one from a client does, and its answer goes to whoever asked here.
 */
import { writeError } from '../proto/reply.ts';
import { FAULT } from '../proto/statuses.ts';
import type { Responder } from '../workers/responder.ts';
import type { ShardPeers } from '../workers/shard.ts';
import type { SessionHost } from './session.ts';
import type { ForwardOrigin } from './shard-link.ts';

/** @param host of the thread; asked when something is sent, so it may be made after the shard */
export function peersOf(host: () => Pick<SessionHost, 'owners' | 'links'>, tenant: number): ShardPeers {
  const linkOf = (partition: number) => host().links[host().owners[partition] as number]; // every partition has an owner
  return {
    send: (partition, message) => linkOf(partition)?.sendPerson(tenant, message),
    sendOn(request, responder, slot, arrivedMicros) {
      const link = linkOf(request.asPartition);
      if (link === undefined) return FAULT.shardRecovering;
      return link.forward(request, originOf(responder, slot, tenant), arrivedMicros) ? null : FAULT.mailboxFull;
    },
  };
}

function originOf(responder: Responder, slot: number, tenant: number): ForwardOrigin {
  const { encoding, actor, door, source, hasOptOut, writer } = responder;
  return {
    encoding,
    tenant,
    actor,
    door,
    source,
    hasOptOut,
    sendBytes: (_id, bytes) => responder.sendBytes(slot, bytes),
    failForwarded(id, fault, message) {
      writer.reset();
      writeError(writer, id, fault, message);
      responder.send(slot);
    },
  };
}
