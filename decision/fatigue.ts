/**
 * Fatigue and diversity: what was offered lately is charged in arbitration, so that the same thing has to be worth
 * more to be said again so soon. An intensity that jumps by one with every offer and halves with every half-life:
 *
 *   charge = chargeMinor x sum over offers of  2^-(age / half-life)          of the action, of its channel, of its category
 *
 * The offers are the decision moments of the record, the same that caps count: open leases and confirmed ones, and
 * nothing that was decided but never shown. Moments older than FATIGUE_HALF_LIVES are dropped. A charge is part of the
 * cost before anything is drawn, so propensities stay exact. Cost: nothing for a catalog without, else 40 ns a moment.
 */
import { type Fatigue, MOMENT } from './catalog.ts';
import type { CatalogIndex } from './catalog-index.ts';
import type { MomentSource } from './contact-policy.ts';
import { exponential } from './normal.ts';

/**
 * What one offer is charged now, minor units: in [0, chargeMinor]; an age below 0 (a clock set back) or NaN counts as 0.
 * @param ageMillis since the offer
 */
export function fatigueCharge(fatigue: Fatigue, ageMillis: number): number {
  if (!(ageMillis > 0)) return fatigue.chargeMinor;
  return fatigue.chargeMinor * exponential(-Math.LN2 * (ageMillis / fatigue.halfLifeMillis));
}

/** The charges of one person at one instant. Reused. */
export class FatigueTally {
  #index: CatalogIndex | null = null;
  #byAction = new Float64Array(0);
  #byChannel = new Float64Array(0);
  /** By position in `categoryOf`, see `CatalogIndex`. */
  #byCategory = new Float64Array(0);

  /** Sums up the record's offers. Call before `chargeOf`. */
  count(index: CatalogIndex, source: MomentSource, nowEpochMillis: number): void {
    if (!index.hasFatigue) return;
    const { catalog, categoryOf } = index;
    if (this.#index !== index) {
      this.#index = index;
      this.#byAction = new Float64Array(catalog.actions.length);
      this.#byChannel = new Float64Array(catalog.channels.length);
      this.#byCategory = new Float64Array(catalog.actions.length + 1);
    } else {
      this.#byAction.fill(0);
      this.#byChannel.fill(0);
      this.#byCategory.fill(0);
    }
    const { diversity } = catalog.decision;
    for (let i = 0; i < source.momentCount; i++) {
      if (source.momentKind(i) !== MOMENT.decision) continue;
      const age = nowEpochMillis - source.momentAt(i);
      const times = source.momentTimes(i);
      const channel = catalog.channelByHash.get(source.momentAmount(i));
      if (channel !== undefined) addCharge(this.#byChannel, channel.index, channel.fatigue, age, times);
      const action = catalog.actionByHash.get(source.momentSubject(i));
      if (action === undefined) continue;
      addCharge(this.#byAction, action.index, action.fatigue, age, times);
      if (action.categoryHash !== 0)
        addCharge(this.#byCategory, categoryOf[action.index] as number, diversity, age, times); // one an action
    }
  }

  /** What offering the action on the channel is charged now, minor units, >= 0. */
  chargeOf(action: number, channel: number): number {
    const index = this.#index;
    if (index === null) return 0;
    return (
      (this.#byAction[action] as number) + // an action of the catalog
      (this.#byChannel[channel] as number) + // a channel of it
      (this.#byCategory[index.categoryOf[action] as number] as number) // 0, never charged, for no category
    );
  }
}

function addCharge(sums: Float64Array, at: number, fatigue: Fatigue | null, age: number, times: number): void {
  if (fatigue === null) return;
  sums[at] = (sums[at] as number) + times * fatigueCharge(fatigue, age); // callers keep `at` inside
}
