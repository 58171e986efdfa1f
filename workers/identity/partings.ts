/**
 * How a key that was joined leaves its person, when others came along with it, or it came along with another: each of them
 * knows, on its own disk, before the profile that holds the person lets go. So none lists a key that is gone, and none
 * points to a person it is not of, whichever leaves first and whatever is lost on the way.
 *
 *   a joined b, b joined c; b leaves:   b ─▸ c ─▸ a: points to b ─▸ c: lets b and a go ─▸ b: stands alone, with a
 *                           a leaves:   a ─▸ c ─▸ b: lets a go ───▸ c: lets a go ──────▸ a: stands alone; b is without it
 *
 * The key that leaves asks again every second until it is answered; each step done twice finds nothing to do. An answer
 * counts only while the key points where it pointed when it asked, and a key that is leaving hands on no question of one
 * that goes along with it: else both might go by what the other is about to change.
 */
import type { ActorRuntime } from '../../actors/actor-runtime.ts';
import {
  isLeaving,
  isMoved,
  joinedKeys,
  joinedName,
  joiningOf,
  type Signpost,
  signpostOf,
} from '../../actors/identity.ts';
import type { IdentityTurn, Parting } from '../../actors/identity-turn.ts';
import type { Fault } from '../../proto/statuses.ts';
import type { PartingRound, PartingVisit, PersonMessage, Unjoining } from './person-message.ts';

export interface PartingsOptions {
  readonly runtime: ActorRuntime;
  readonly turn: IdentityTurn;
  send(partition: number, message: PersonMessage): void;
  /** When what the turn wrote is on disk; never where it does not come there. */
  onDisk(onCommitted: () => void): void;
}

export class Partings {
  readonly #options: PartingsOptions;

  constructor(options: PartingsOptions) {
    this.#options = options;
  }

  /** Of a profile of this shard, whose turn it is. What cannot be done now is asked again. */
  take(unjoining: Unjoining, now: number): void {
    const { runtime, turn, send, onDisk } = this.#options;
    const { record } = runtime;
    const { to, profile, round } = unjoining;
    const visit = round?.visits[0];
    if (round !== null && visit !== undefined) {
      if (!this.#know(unjoining, round, visit, now)) return;
      const left = { ...round, visits: round.visits.slice(1) };
      onDisk(() => this.#sendRound(unjoining, left));
      return;
    }
    if (!runtime.openKnown(to.partition, to.hashLow, to.hashHigh)) return;
    if (isMoved(record)) {
      if (joiningOf(record) !== 0 || this.#leavesWith(profile.from)) return;
      const next = signpostOf(record);
      send(next.partition, { ...unjoining, to: next, round: null });
      return;
    }
    const parting = turn.partingOf(profile);
    // Joined again since the round began, or what came along is on its way out.
    if (parting !== null && (parting.isAhead || (round !== null && parting.seq !== round.seq))) return;
    let fault: Fault | null = null;
    if (round === null && parting !== null) {
      fault = turn.refusalToPart(profile, runtime.index.catalog.identity, now);
      const visits = visitsOf(parting);
      if (fault === null && visits.length > 0) {
        const begun = { root: signOf(record), seq: parting.seq, visits };
        onDisk(() => this.#sendRound(unjoining, begun));
        return;
      }
    }
    this.#answer(unjoining, fault ?? turn.unjoin(profile, now));
  }

  /** When what the bound profile wrote of it is on disk. */
  #answer({ profile, asked }: Unjoining, fault: Fault | null): void {
    const { runtime, send, onDisk } = this.#options;
    const { record, message } = runtime;
    const outcome = { stateSeq: record.stateSeq, code: fault?.code ?? 0, message: fault === null ? '' : message };
    const to = profile.from;
    onDisk(() => send(to.partition, { kind: 'unjoined', to, asked, ...outcome }));
  }

  /** To the next who has to know, or back. */
  #sendRound(unjoining: Unjoining, round: PartingRound): void {
    const to = round.visits[0]?.key ?? round.root;
    this.#options.send(to.partition, { ...unjoining, to, round });
  }

  /** Has a profile of this shard know of a key that leaves; false where the round ends here. */
  #know(unjoining: Unjoining, round: PartingRound, { key, goesAlong }: PartingVisit, now: number): boolean {
    const { runtime, turn } = this.#options;
    const { record } = runtime;
    const { profile } = unjoining;
    // Nobody is there to know, after an erasure.
    if (!runtime.openKnown(key.partition, key.hashLow, key.hashHigh)) return true;
    if (!isMoved(record)) {
      if (goesAlong) return true;
      // It stands alone by now, with this key.
      this.take({ ...unjoining, to: key, round: null }, now);
      return false;
    }
    if (joiningOf(record) !== 0) return false;
    if (goesAlong) {
      // From where the round began, or a profile on the way there, only: else it is somebody else's by now.
      const ways = [round.root, ...round.visits.filter((one) => !one.goesAlong).map((one) => one.key)];
      const at = joinedName(signpostOf(record));
      return !ways.some((way) => joinedName(way) === at) || turn.settle(profile.from, now);
    }
    const fault = turn.letGo(profile, now);
    if (fault !== null) this.#answer(unjoining, fault);
    return fault === null;
  }

  /** Whether the bound signpost is leaving and has this key with it. */
  #leavesWith(key: Signpost): boolean {
    const cold = this.#options.runtime.readCold();
    return isLeaving(cold) && joinedKeys(cold).has(joinedName(key));
  }
}

/** Keys that go along first: to let go of the one that leaves is the step that is not taken back. */
function visitsOf({ along, above }: Parting): PartingVisit[] {
  const visit = (goesAlong: boolean) => (key: Signpost) => ({ key: signOf(key), goesAlong });
  return [...along.map(visit(true)), ...above.map(visit(false))];
}

function signOf({ partition, hashLow, hashHigh }: Signpost): Signpost {
  return { partition, hashLow, hashHigh };
}
