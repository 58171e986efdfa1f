/**
 * The public door of the client: everything an application may use, by name. What is not here may change
 * without notice. Types of requests and replies come from the protocol's own files.
 */
export type {
  AliasReply,
  Contribution,
  DecidedAction,
  DecidedPrice,
  DecidedSendTime,
  DecideReply,
  Durability,
  EraseReply,
  ErrorReply,
  Explanation,
  ExportReply,
  HelloReply,
  PingReply,
  Plain,
  ProfileReply,
  Properties,
  Rejection,
  ShardAddress,
  StateReply,
  TrackReply,
  Want,
} from '../proto/messages.ts';
export { partitionOfDecisionId, partitionOfKey } from '../proto/partition.ts';
export type { Encoding } from '../proto/reply.ts';
export type { Retry, Status } from '../proto/statuses.ts';
export {
  type AliasInput,
  type ClientStatus,
  type ConnectOptions,
  connect,
  type DecideInput,
  type DefaultDecision,
  type IdentifyInput,
  type OpportuneClient,
  type TrackInput,
} from './opportune-client.ts';
export { LOCAL_CODE, OpportuneError } from './opportune-error.ts';
export type { Reply, RequestBody } from './session.ts';
export type { Answer, SubscribeInput, SubscriptionHandle, SubscriptionListener } from './subscriptions.ts';
export type { WebSocketConstructor, WebSocketLike } from './web-socket.ts';
