/**
 * Changes of what stands of the bound person, gathered into as few effects as they fit in and committed together: for
 * tags and stages, of which one look may begin and end many, and purposes, of which one call may name all.
 */
import { BY_TIME, type Effect } from './effect.ts';
import type { StandingKind } from './record-layout.ts';
import { beginStanding, changeStanding, STANDING_CHANGES_MAX } from './standing.ts';

/** What it needs of the runtime whose person is bound. */
interface ChangedRuntime {
  readonly effect: Effect;
  commit(now: number): boolean;
}

export class StandingChanges {
  readonly #runtime: ChangedRuntime;
  #count = 0;
  #isByTime = false;
  #isSound = true;

  constructor(runtime: ChangedRuntime) {
    this.#runtime = runtime;
  }

  /** @param isByTime whether what is gathered is time's doing and no sign of life */
  begin(isByTime: boolean): void {
    this.#count = 0;
    this.#isByTime = isByTime;
    this.#isSound = true;
  }

  /** @param at since when, for one that is set; @param now the instant of the turn */
  change(kind: StandingKind, subject: number, isSet: boolean, at: number, amount: number, now: number): void {
    const { effect } = this.#runtime;
    if (this.#count === STANDING_CHANGES_MAX) this.commit(now);
    if (this.#count === 0) beginStanding(effect);
    changeStanding(effect, kind, subject, isSet, at, amount);
    this.#count++;
  }

  /** Whether something was gathered that is not committed. */
  get isPending(): boolean {
    return this.#count > 0;
  }

  /** Commits what was gathered since. False where that, or a part before it, failed and was undone. */
  commit(now: number): boolean {
    if (this.#count > 0) {
      this.#count = 0;
      if (this.#isByTime) this.#runtime.effect.u8[5] = BY_TIME;
      if (!this.#runtime.commit(now)) this.#isSound = false;
    }
    return this.#isSound;
  }
}
