/**
 * When each phase of the running turn began and ended, for traces made afterwards. One instance a shard,
 * refilled by every turn; a turn that is traced copies it. Everything is a no-op unless traces are on, so
 * a node without an exporter reads the clock twice a request and no more.
 */
import type { PhaseClock } from '../decision/pipeline.ts';
import { monotonicMicros } from './clock.ts';
import { createPhases, PHASE, setPhase } from './trace-record.ts';

/** Phase timestamps of the running turn; all no-ops unless traces are on. */
export class TurnPhases implements PhaseClock {
  readonly #isOn: boolean;
  readonly #phases = createPhases();
  #arrived = 0;
  #last = 0;

  constructor(isOn: boolean) {
    this.#isOn = isOn;
  }

  decoded(arrivedMicros: number): void {
    if (!this.#isOn) return;
    this.#phases.fill(Number.NaN);
    setPhase(this.#phases, PHASE.codec, 0, monotonicMicros() - arrivedMicros);
  }

  begin(arrivedMicros: number): PhaseClock {
    if (!this.#isOn) return this;
    this.#arrived = arrivedMicros;
    const now = monotonicMicros() - arrivedMicros;
    const codecEnd = this.#phases[PHASE.codec * 2 + 1] as number;
    setPhase(this.#phases, PHASE.mailbox, Number.isNaN(codecEnd) ? 0 : Math.min(codecEnd, now), now);
    for (let phase = PHASE.eligibility; phase <= PHASE.reply; phase++) {
      this.#phases[phase * 2] = Number.NaN;
      this.#phases[phase * 2 + 1] = Number.NaN;
    }
    this.#last = now;
    return this;
  }

  mark(phase: number): void {
    if (!this.#isOn) return;
    const now = monotonicMicros() - this.#arrived;
    this.#phases[phase * 2] = this.#last;
    this.#phases[phase * 2 + 1] = now;
    this.#last = now;
  }

  commit(startMicros: number, endMicros: number): void {
    if (this.#isOn) setPhase(this.#phases, PHASE.commit, startMicros, endMicros);
  }

  copy(endMicros: number): Float64Array {
    const copy = this.#phases.slice();
    // The time behind the last marked phase: the effect, the journal entry and the reply.
    if (Number.isNaN(copy[PHASE.commit * 2] as number)) {
      setPhaseRest(copy, this.#last, endMicros);
    }
    return copy;
  }
}

function setPhaseRest(phases: Float64Array, from: number, to: number): void {
  if (to >= from) {
    phases[PHASE.commit * 2] = from;
    phases[PHASE.commit * 2 + 1] = to;
  }
}
