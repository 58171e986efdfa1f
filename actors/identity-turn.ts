/**
 * The turns by which two profiles become one person, and apart again. Each is one person's alone and one effect, so that
 * between two shards there are only messages that may be told twice (`workers/identity/`):
 *
 *   joining profile: depart ─▸ on disk ─▸ … arrive at the other's … ─▸ settle         or cancel: nothing happened
 *   other profile:                          arrive ─▸ on disk, counted once by (hash, number)
 *   apart again:     those that came along: settle ─▸ those it came with: letGo ─▸ other: unjoin ─▸ … restore
 *
 * From `depart` on the joining profile is a signpost whose record stands still, so what is sent, however often, is the
 * same. Nothing is on the hot path but the flag that says so.
 */
import { type IdentityRules, keysBeyond } from '../decision/identity-rules.ts';
import { FAULT, type Fault, faultOf } from '../proto/statuses.ts';
import type { ActorRuntime } from './actor-runtime.ts';
import type { SectionEntries } from './cold-sections.ts';
import { EFFECT, JOIN } from './effect.ts';
import {
  isLeaving,
  type JoinedKey,
  joinedHash,
  joinedKeys,
  joinedName,
  joiningCheck,
  joiningOf,
  leavingEntry,
  OWN_KEY,
  ownKeyType,
  packedSign,
  refusalEntries,
  refusedJoining,
  type Signpost,
  signpostOf,
} from './identity.ts';
import { type ColdChanges, changesOfJoining, changesOfUnjoining, keysWith } from './join-cold.ts';
import { newestEntryOfStored, positionText } from './person-chain.ts';
import type { TraitValues } from './ports.ts';
import { HOLDING_LEASES_MAX, STANDING, storedHoldingLeases } from './record-layout.ts';
import { type PersonHash, SealedTrait } from './sealed-trait.ts';
import { beginStanding, changeStanding } from './standing.ts';

/** A joining's record and cold record together, in bytes: one journal entry has to hold them. */
const CONTENT_BYTES_MAX = 200 * 1024;

/** A profile on its way into another. Sensitive traits are plain in `opened`, for the way within the process. */
export interface JoiningProfile {
  readonly from: PersonHash;
  readonly seq: number;
  readonly record: Uint8Array;
  /** As the cold record is stored. */
  readonly cold: Uint8Array;
  readonly opened: Readonly<Record<string, string | number | boolean>>;
}

/** What parting with a joined profile takes, see `IdentityTurn.partingOf`. */
export interface Parting {
  /** Number of its joining. */
  readonly seq: number;
  readonly along: readonly PersonHash[];
  readonly above: readonly PersonHash[];
  /** One that came along is leaving itself, and gone from the profile that leaves: it has to be gone here before. */
  readonly isAhead: boolean;
}

/** Where the departure of a joining profile stands, as `JoinedKey` has it. */
function headOf({ record }: JoiningProfile): Pick<JoinedKey, 'head'> {
  const head = newestEntryOfStored(record);
  return head === null ? {} : { head: positionText(head) };
}

export class IdentityTurn {
  readonly #runtime: ActorRuntime;

  constructor(runtime: ActorRuntime) {
    this.#runtime = runtime;
  }

  /** Makes the bound profile a signpost to another. @param type the key's, kept for the other's limits */
  depart(to: PersonHash, type: string | null, now: number): Fault | null {
    const runtime = this.#runtime;
    const { effect, record } = runtime;
    runtime.expireDue(now);
    if (type !== null && !runtime.commitSection('ids', { [OWN_KEY]: { type } }, now)) return this.#failed('alias');
    beginStanding(effect);
    changeStanding(effect, STANDING.joining, to.hashCheck, true, now, record.stateSeq + 1);
    changeStanding(effect, STANDING.moved, to.hashLow, true, now, packedSign(to.partition, to.hashHigh));
    return runtime.commit(now) ? null : this.#failed('alias');
  }

  /** What the bound signpost sends, the same each time. */
  pack(): JoiningProfile {
    const { record, options, store } = this.#runtime;
    const cold = this.#runtime.readCold();
    const opened: Record<string, string | number | boolean> = {};
    for (const [name, value] of Object.entries(cold.traits)) {
      if (!(value instanceof SealedTrait)) continue;
      const plain = options.sealer?.open(value, name, record);
      if (plain !== undefined && 'value' in plain) opened[name] = plain.value;
    }
    return {
      from: this.#bound(),
      seq: joiningOf(record),
      record: record.u8.slice(record.base, record.base + record.usedBytes),
      // A copy: what the store gives may be a view.
      cold: Uint8Array.from(store.getCold(this.#runtime.boundStoreKey()) ?? options.coldCodec.encode({ traits: {} })),
      opened,
    };
  }

  /** The other holds everything: the bound signpost points to where that is. True where that is on the way to disk. */
  settle(root: Signpost, now: number): boolean {
    const { record, effect } = this.#runtime;
    const { hashLow, partition, hashHigh } = signpostOf(record);
    const isPointed = hashLow === root.hashLow && hashHigh === root.hashHigh && partition === root.partition;
    const isJoining = joiningOf(record) !== 0;
    if (isPointed && !isJoining) return true;
    beginStanding(effect);
    if (isJoining) changeStanding(effect, STANDING.joining, joiningCheck(record), false, now, 0);
    if (!isPointed) {
      changeStanding(effect, STANDING.moved, hashLow, false, now, 0);
      changeStanding(effect, STANDING.moved, root.hashLow, true, now, packedSign(root.partition, root.hashHigh));
    }
    return this.#runtime.commit(now);
  }

  /** The other will not have it: the bound signpost is a profile of its own again, with all that was its own. */
  cancel(now: number): boolean {
    const { record, effect } = this.#runtime;
    beginStanding(effect);
    changeStanding(effect, STANDING.moved, signpostOf(record).hashLow, false, now, 0);
    changeStanding(effect, STANDING.joining, joiningCheck(record), false, now, 0);
    return this.#standAlone(now);
  }

  /** Notes of the bound signpost that it is to stand alone again, or that this was refused: what was asked outlives a crash. */
  noteLeaving(leaves: boolean, now: number): boolean {
    if (isLeaving(this.#runtime.readCold()) === leaves) return true;
    return this.#runtime.commitSection('ids', leavingEntry(leaves), now);
  }

  /** The other has let it go: the bound signpost is a profile of its own again; its leases stay the other's. */
  restore(now: number): boolean {
    const { record, effect } = this.#runtime;
    if (!this.noteLeaving(false, now)) return false;
    beginStanding(effect);
    if (joiningOf(record) !== 0) changeStanding(effect, STANDING.joining, joiningCheck(record), false, now, 0);
    changeStanding(effect, STANDING.moved, signpostOf(record).hashLow, false, now, 0);
    return this.#standAlone(now);
  }

  /** A signpost was not visited when time would have changed its tags: they are looked at anew, in the same batch. */
  #standAlone(now: number): boolean {
    const { tags, index } = this.#runtime;
    if (!this.#runtime.commit(now)) return false;
    if (index.tags.hash !== 0) tags.lookAnew(now);
    return true;
  }

  /** Whether the bound profile has taken this joining, or refused it. */
  knows({ from, seq }: JoiningProfile): boolean {
    const cold = this.#runtime.readCold();
    const name = joinedName(from);
    return joinedKeys(cold).get(name)?.seq === seq || refusedJoining(cold, name)?.seq === seq;
  }

  /** Takes another profile into the bound one; once, however often it comes. Null when it is in. */
  arrive(profile: JoiningProfile, rules: IdentityRules, now: number): Fault | null {
    const runtime = this.#runtime;
    const { record, options } = runtime;
    const own = runtime.readCold();
    const keys = joinedKeys(own);
    const name = joinedName(profile.from);
    this.brought = [];
    if (keys.get(name)?.seq === profile.seq) return null;
    const refused = refusedJoining(own, name);
    if (refused?.seq === profile.seq)
      return runtime.fail(faultOf(refused.code), 'alias: this joining was refused before; ask for another');
    runtime.expireDue(now);
    const theirs = options.coldCodec.decode(profile.cold);
    const type = ownKeyType(theirs);
    const theirKeys = joinedKeys(theirs);
    const types = [...keys.values(), ...theirKeys.values()].map((key) => key.type);
    const beyond = keysBeyond(rules, [...types, type ?? undefined]);
    if (beyond !== null) return runtime.fail(FAULT.tooManyKeys, `alias: ${beyond}`);
    if (runtime.holdingLeases() + storedHoldingLeases(profile.record) > HOLDING_LEASES_MAX)
      return runtime.fail(
        FAULT.joining,
        'alias: the two hold too many open offers together; ask again when some have ended',
      );
    const traits = this.#sealedHere(theirs.traits, profile.opened, own.keyIds?.at(-1));
    if (traits === null)
      return runtime.fail(FAULT.keysUnavailable, 'alias: no key can be had for a sensitive trait; try again later');
    const raisedBy = record.decisionSeq;
    const key: JoinedKey = {
      seq: profile.seq,
      raisedBy,
      atEpochMillis: now,
      check: profile.from.hashCheck,
      ...(type === null ? {} : { type }),
      ...headOf(profile),
    };
    const changes = changesOfJoining(own, theirs, traits.values, traits.keyId, profile.from, key);
    if (!this.#fill(EFFECT.join, profile, raisedBy, changes))
      return runtime.fail(
        FAULT.tooLarge,
        `alias: what is known under the two keys is more than ${CONTENT_BYTES_MAX} bytes`,
      );
    if (!runtime.commit(now)) return this.#failed('alias');
    this.brought = [...theirKeys].map(([other, { check }]) => joinedHash(other, check));
    runtime.tags.refresh(now);
    return null;
  }

  /** Notes that a joining was refused, so that a copy of it that comes late is not taken. */
  refuse({ from, seq }: JoiningProfile, fault: Fault, now: number): boolean {
    const name = joinedName(from);
    const cold = this.#runtime.readCold();
    if (refusedJoining(cold, name)?.seq === seq) return true;
    const entries = refusalEntries(cold, name, { seq, code: fault.code, atEpochMillis: now });
    return this.#runtime.commitSection('ids', entries, now);
  }

  /**
   * Who has to know before the bound profile lets the joined one go, so that nobody lists a key that is gone: keys that go
   * with it are to point to it, and keys it had come with are to let go of it. Null where it is not joined, any more.
   */
  partingOf(profile: JoiningProfile): Parting | null {
    const own = this.#runtime.readCold();
    const keys = joinedKeys(own);
    const name = joinedName(profile.from);
    const key = keys.get(name);
    if (key === undefined) return null;
    const hashOf = (other: string): PersonHash => joinedHash(other, keys.get(other)?.check ?? 0);
    const along = keysWith(own, name).filter((other) => other !== name);
    const theirs = joinedKeys(this.#runtime.options.coldCodec.decode(profile.cold));
    const above = new Set<string>();
    for (let { by } = key; by !== undefined && keys.has(by) && !above.has(by); by = keys.get(by)?.by) above.add(by);
    const isAhead = along.some((other) => !theirs.has(other));
    return { seq: key.seq, along: along.map(hashOf), above: [...above].map(hashOf), isAhead };
  }

  /** Whether the bound profile lets the joined one go: null, or why not. */
  refusalToPart(profile: JoiningProfile, rules: IdentityRules, now: number): Fault | null {
    const key = joinedKeys(this.#runtime.readCold()).get(joinedName(profile.from));
    if (key === undefined) return null;
    if (now - key.atEpochMillis <= rules.unjoinMillis) return this.#fillUnjoin(profile, key);
    const text = `alias: keys can be taken apart within ${rules.unjoinMillis} ms of their joining`;
    return this.#runtime.fail(FAULT.unjoinTooLate, text);
  }

  /**
   * Takes out of the bound profile what the joined one had brought, with the keys that go along; a second time finds
   * nothing to take. Null when it is out.
   */
  unjoin(profile: JoiningProfile, now: number): Fault | null {
    const runtime = this.#runtime;
    if (!joinedKeys(runtime.readCold()).has(joinedName(profile.from))) return null;
    runtime.expireDue(now);
    const fault = this.letGo(profile, now);
    if (fault === null) runtime.tags.refresh(now);
    return fault;
  }

  /** Of a signpost as well, which it joined by way of: from then on that one's record is as if it had never come. */
  letGo(profile: JoiningProfile, now: number): Fault | null {
    const runtime = this.#runtime;
    const key = joinedKeys(runtime.readCold()).get(joinedName(profile.from));
    const fault = key === undefined ? null : this.#fillUnjoin(profile, key);
    if (key === undefined || fault !== null) return fault;
    return runtime.commit(now) ? null : this.#failed('alias');
  }

  /** Null, or that it would be too much for one entry. */
  #fillUnjoin(profile: JoiningProfile, { raisedBy }: JoinedKey): Fault | null {
    const runtime = this.#runtime;
    const own = runtime.readCold();
    const name = joinedName(profile.from);
    const theirs = runtime.options.coldCodec.decode(profile.cold);
    const changes = changesOfUnjoining(own, theirs, name, keysWith(own, name));
    if (this.#fill(EFFECT.unjoin, profile, raisedBy, changes)) return null;
    return runtime.fail(FAULT.tooLarge, `alias: what is known under the key is more than ${CONTENT_BYTES_MAX} bytes`);
  }

  /** After `arrive`: keys that came with the one that joins. */
  brought: readonly PersonHash[] = [];

  #fill(
    type: typeof EFFECT.join | typeof EFFECT.unjoin,
    profile: JoiningProfile,
    raisedBy: number,
    changes: ColdChanges,
  ): boolean {
    const { effect, options } = this.#runtime;
    const { from, record } = profile;
    const plain = changes as unknown as SectionEntries; // plain and sealed values, some maps deep
    const cold = options.coldCodec.encodeProperties(plain);
    if (record.length + cold.length > CONTENT_BYTES_MAX) return false;
    effect.begin(type, JOIN.content - 48 + record.length + cold.length);
    effect.setU32(JOIN.low, from.hashLow);
    effect.setU32(JOIN.high, from.hashHigh);
    effect.setU32(JOIN.check, from.hashCheck);
    effect.setU32(JOIN.partition, from.partition);
    effect.setU32(JOIN.seq, profile.seq);
    effect.setU32(JOIN.raisedBy, raisedBy);
    effect.setU32(JOIN.recordBytes, record.length);
    effect.setU32(JOIN.coldBytes, cold.length);
    effect.u8.set(record, JOIN.content);
    effect.u8.set(cold, JOIN.content + record.length);
    return true;
  }

  /** The other's traits with the sensitive ones sealed for the bound profile. Null when no key can be had. */
  #sealedHere(
    traits: TraitValues,
    opened: JoiningProfile['opened'],
    ownKeyId: string | undefined,
  ): { readonly values: TraitValues; readonly keyId: string | null } | null {
    const { sealer } = this.#runtime.options;
    const values: TraitValues = {};
    let taken: string | null = null;
    for (const [name, value] of Object.entries(traits)) {
      if (!(value instanceof SealedTrait)) {
        values[name] = value;
        continue;
      }
      const plain = opened[name];
      // What could not be opened there was erased, or is under a key that is gone: nothing is lost that was there.
      if (plain === undefined) continue;
      if (sealer === undefined) return null;
      let keyId: string | null = taken ?? ownKeyId ?? null;
      if (keyId === null || !sealer.isUsable(keyId)) {
        keyId = sealer.takeKey();
        taken = keyId;
      }
      const sealed = keyId === null ? null : sealer.seal(plain, name, this.#bound(), keyId);
      if (sealed === null) return null;
      values[name] = sealed;
    }
    return { values, keyId: taken };
  }

  #bound(): PersonHash {
    const { partition, hashLow, hashHigh, hashCheck } = this.#runtime.record;
    return { partition, hashLow, hashHigh, hashCheck };
  }

  #failed(op: string): Fault {
    return this.#runtime.fail(FAULT.internal, `${op}: the turn failed and was undone; see the log`);
  }
}
