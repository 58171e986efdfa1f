/**
 * Trials that ripen: a decision that was seen and brought nothing yet is learnt as a negative only as far as responses
 * use to have come by its age (`decision/response-delay.ts`), and the rest in a few steps as it grows older.
 *
 *   seen ─▸ trial learnt by w ─▸ [wheel: when it should be more] ─▸ ripened by a step ─▸ … ─▸ whole
 *                    └── response at any time: exactly w is turned into a positive, the rest is added as one
 *
 * What is missing of a trial stands in its lease (`LEASE.owed`, 1/256 each), each step is an effect like any other, so
 * recovery and replay see what was learnt. The wheel holds one hint of 12 bytes a decision; past `RIPENING_MAX` of them,
 * and where a lease must give way, the trial counts in full at once. A channel of fast responses has no hints at all.
 */

import { isStep } from '../decision/response-delay.ts';
import { murmur3Text } from '../proto/murmur3.ts';
import { type ActorRuntime, HINT_SEQ_MASK } from './actor-runtime.ts';
import { EFFECT, EVENT, EVENT_FLAG, OWED_UNITS } from './effect.ts';
import { ENDED_LEASES_MAX, LEASE, LEASE_FLAG, LEASE_STATE } from './record-layout.ts';
import { isRestricted } from './standing.ts';

/** Decisions of a shard that wait for a step: 12 MB. */
const RIPENING_MAX = 1_000_000;
const NAME = new TextEncoder().encode('ripened');
const NAME_HASH = murmur3Text('ripened', 0);

/** What is still owed of a trial of this age on the channel, in 1/`OWED_UNITS`: 0 to 255. */
export function owedAt(runtime: ActorRuntime, channelHash: number, ageMillis: number): number {
  const { rewardWindowMillis } = runtime.index.catalog.decision;
  const weight = runtime.options.models.negativeWeight(channelHash, ageMillis, rewardWindowMillis);
  if (weight >= 1 || runtime.ripening.pending >= RIPENING_MAX) return 0;
  return Math.min(Math.round((1 - weight) * OWED_UNITS), OWED_UNITS - 1);
}

/** Enters the bound record's lease into the wheel, at the age of its next step. */
export function watchRipening(runtime: ActorRuntime, lease: number, now: number): void {
  const { record, index, options } = runtime;
  const madeAt = record.leaseF64(lease, LEASE.at);
  const weight = 1 - record.leaseU8(lease, LEASE.owed) / OWED_UNITS;
  const channelHash = record.leaseU32(lease, LEASE.channelHash);
  const window = index.catalog.decision.rewardWindowMillis;
  const age = options.models.nextStepAge(channelHash, now - madeAt, weight, window);
  runtime.hintRipening(madeAt + age, record.leaseU32(lease, LEASE.decisionSeq));
}

/** Takes the steps that are due; `limit` decisions at most. For the shard's timer. */
export function advanceRipening(runtime: ActorRuntime, now: number, limit: number): void {
  runtime.visitRipening(now, limit, (decisionSeq: number) => {
    const { record } = runtime;
    if (isRestricted(record)) return;
    let waiting = -1;
    for (let lease = 0; lease < record.leaseCount; lease++) {
      const owed = record.leaseU8(lease, LEASE.owed);
      if (owed === 0 || (record.leaseU32(lease, LEASE.decisionSeq) & HINT_SEQ_MASK) !== decisionSeq) continue;
      const channelHash = record.leaseU32(lease, LEASE.channelHash);
      const age = now - record.leaseF64(lease, LEASE.at);
      const left = owedAt(runtime, channelHash, age);
      if (isStep(1 - owed / OWED_UNITS, 1 - left / OWED_UNITS)) {
        if (!ripen(runtime, lease, left, now)) return;
      }
      if (record.leaseU8(lease, LEASE.owed) !== 0) waiting = lease;
    }
    if (waiting >= 0) watchRipening(runtime, waiting, now);
  });
}

/** Before a decision of `count` actions: leases that may give way to it are learnt in full, for they are forgotten. */
export function settleGivingWay(runtime: ActorRuntime, count: number, now: number): void {
  const { record } = runtime;
  if (record.leaseCount < ENDED_LEASES_MAX || isRestricted(record)) return;
  let ended = 0;
  for (let lease = 0; lease < record.leaseCount; lease++) if (isEnded(runtime, lease)) ended++;
  let left = Math.min(count, ended - ENDED_LEASES_MAX + 1);
  for (let lease = 0; lease < record.leaseCount && left > 0; lease++) {
    if (!isEnded(runtime, lease)) continue;
    left--;
    if (record.leaseU8(lease, LEASE.owed) !== 0 && !ripen(runtime, lease, 0, now)) return;
  }
}

/** As `applyEffect` sees it when it makes room. */
function isEnded({ record }: ActorRuntime, lease: number): boolean {
  if (record.leaseU8(lease, LEASE.state) === LEASE_STATE.open) return false;
  return (record.leaseU8(lease, LEASE.flags) & LEASE_FLAG.holdsStock) === 0;
}

/** Learns one step of a trial, until `left` of it is owed. */
function ripen(runtime: ActorRuntime, lease: number, left: number, now: number): boolean {
  const { record, effect, stats } = runtime;
  effect.begin(EFFECT.event, EVENT.name - 48 + NAME.length);
  effect.u8.set(NAME, EVENT.name);
  effect.setU16(EVENT.nameBytes, NAME.length);
  effect.setU32(EVENT.eventHash, NAME_HASH);
  effect.setF64(EVENT.eventAt, now);
  effect.setU16(EVENT.hourOfWeek, 0xffff);
  effect.setF64(EVENT.priceMinor, Number.NaN);
  effect.setU32(EVENT.decisionSeq, record.leaseU32(lease, LEASE.decisionSeq));
  effect.setU32(EVENT.actionHash, record.leaseU32(lease, LEASE.actionHash));
  effect.setU32(EVENT.channelHash, record.leaseU32(lease, LEASE.channelHash));
  effect.setU32(EVENT.decisionEpoch, record.leaseU32(lease, LEASE.journalEpoch));
  effect.setU32(EVENT.decisionStream, record.leaseU32(lease, LEASE.journalStream));
  effect.setU32(EVENT.decisionBatch, record.leaseU32(lease, LEASE.journalBatch));
  effect.setU32(EVENT.decisionOffset, record.leaseU32(lease, LEASE.journalOffset));
  effect.setF64(EVENT.quantity, record.leaseU8(lease, LEASE.owed) - left);
  effect.setU32(EVENT.flags, EVENT_FLAG.ripened);
  effect.u8[EVENT.owed] = left;
  if (!runtime.commit(now)) return false;
  stats.learnUpdates++;
  return true;
}
