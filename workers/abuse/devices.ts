/**
 * Counts the people of each device across shards: the person's shard tells the device's who used it, which notes it in
 * the device's record (`actors/device-turn.ts`) and, when too many do, tells the person's shard, where it becomes an event
 * of the person's.
 *
 *   event with a device ─▸ used ─▸ device's shard: noted, journalled ─▸ shared ─▸ person's shard: event `shared_device`
 *
 * What is counted and what is told are on disk like any change. The messages between are not: one is lost when its worker
 * dies or cannot write, and the person's next event with the device, a minute later at the earliest, sends it again.
 * A worker sends one a minute for each person and device, and forgets that after `SENT_MAX` pairs, so what a flood of events
 * costs the device's shard is bounded.
 */
import type { ActorRuntime } from '../../actors/actor-runtime.ts';
import { noteDeviceUse } from '../../actors/device-turn.ts';
import type { EventTurn } from '../../actors/event-turn.ts';
import { isMoved, type Signpost, signpostOf } from '../../actors/identity.ts';
import type { PersonHash } from '../../actors/sealed-trait.ts';
import { isRestricted } from '../../actors/standing.ts';
import { deviceKey, SHARED_DEVICE } from '../../decision/device.ts';
import { DEVICE_PEOPLE, unusualOf } from '../../decision/usual-feed.ts';
import type { Request } from '../../proto/request.ts';
import { personName } from '../audit/audit-record.ts';

/** A person used a device: to the device's shard. */
export interface DeviceUsed {
  readonly kind: 'deviceUsed';
  readonly to: PersonHash;
  readonly person: Signpost;
}

/** Too many use it: back to the person's. */
export interface DeviceShared {
  readonly kind: 'deviceShared';
  readonly to: Signpost;
  /** As logs name it. */
  readonly device: string;
  readonly persons: number;
  /** Robust deviations above what devices have; null where what is usual is not known. */
  readonly deviations: number | null;
}
export type DeviceMessage = DeviceUsed | DeviceShared;

const AGAIN_MILLIS = 60_000;
const SENT_MAX = 20_000;

export interface DevicesOptions {
  readonly runtime: ActorRuntime;
  readonly eventTurn: Pick<EventTurn, 'tell'>;
  readonly writer: { readonly isReadOnly: boolean; limitBatch(): void };
  /** To the shard that owns the partition; lost where that is away. */
  send(partition: number, message: DeviceMessage): void;
}

export class Devices {
  readonly #options: DevicesOptions;
  /** When it was last told who uses what. */
  readonly #sent = new Map<string, number>();

  constructor(options: DevicesOptions) {
    this.#options = options;
  }

  /** Behind a `track` that was applied, with its person bound. @param at when the event was */
  used({ properties }: Pick<Request, 'properties'>, at: number, now: number): void {
    const { runtime, send } = this.#options;
    const rules = runtime.index.catalog.device;
    if (rules === null) return;
    const key = deviceKey(rules, properties?.[rules.property]);
    const { record } = runtime;
    // One told late says nothing of who uses the device now.
    if (key === '' || at <= now - rules.perMillis || isRestricted(record)) return;
    const { partition, hashLow, hashHigh } = record;
    const name = `${hashLow} ${hashHigh} ${key}`;
    const sentAt = this.#sent.get(name);
    if (sentAt !== undefined && Math.abs(now - sentAt) < AGAIN_MILLIS) return;
    if (this.#sent.size >= SENT_MAX) this.#sent.clear();
    this.#sent.set(name, now);
    const device = runtime.hashOf(key);
    send(device.partition, { kind: 'deviceUsed', to: device, person: { partition, hashLow, hashHigh } });
  }

  /** A message for a record of this shard. What cannot be written now is lost. */
  take(message: DeviceMessage, now: number): void {
    const { runtime, writer } = this.#options;
    if (writer.isReadOnly) return;
    // Of whoever asked last, who is not asking now.
    runtime.consent.hasOptOut = false;
    try {
      if (message.kind === 'deviceUsed') this.#note(message, now);
      else this.#tell(message, now);
    } catch (error) {
      runtime.reportTurnFailure(error);
    }
    writer.limitBatch();
  }

  #note({ to, person }: DeviceUsed, now: number): void {
    const { runtime, send } = this.#options;
    const rules = runtime.index.catalog.device;
    if (rules === null) return;
    const persons = noteDeviceUse(runtime, rules, to, person, now);
    if (persons === 0) return;
    const { index, feeds } = runtime;
    const unusual = unusualOf(persons, feeds, index.catalog.usualFeed, DEVICE_PEOPLE, now);
    const deviations = Number.isNaN(unusual) ? null : Math.round(unusual * 10) / 10;
    const device = personName(to.hashHigh, to.hashLow);
    send(person.partition, { kind: 'deviceShared', to: person, device, persons, deviations });
  }

  #tell(message: DeviceShared, now: number): void {
    const { runtime, eventTurn, send } = this.#options;
    const { to, device, persons, deviations } = message;
    // Erased meanwhile, or set aside.
    if (!runtime.openKnown(to.partition, to.hashLow, to.hashHigh)) return;
    if (isMoved(runtime.record)) {
      const root = signpostOf(runtime.record);
      send(root.partition, { ...message, to: root });
      return;
    }
    if (isRestricted(runtime.record)) return;
    runtime.expireDue(now);
    eventTurn.tell(SHARED_DEVICE, { persons, device, ...(deviations === null ? {} : { deviations }) }, now, now);
  }
}
