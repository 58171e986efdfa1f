/**
 * The generator watching itself: how late it sent, how long its event-loop turns were, how much of the
 * time it had work at all. Without these numbers a slow generator is indistinguishable from a slow
 * server. Between sends it naps (a timer's millisecond is coarser than the latencies measured), so the
 * event loop's own figure says nothing about room to spare; the share of turns that found work does.
 */
import { performance } from 'node:perf_hooks';
import { LatencyHistogram } from './latency-histogram.ts';
import type { GeneratorHealth } from './load-plan.ts';

export class GeneratorWatch {
  readonly #slip = new LatencyHistogram();
  readonly #turn = new LatencyHistogram();
  #idleMicros = 0;
  #turnMicros = 0;
  #napMicros = 0;
  #cpuAtStart = process.cpuUsage();
  #loopAtStart = performance.eventLoopUtilization();
  #isMeasuring = false;

  /** Warm-up is over: what was seen before is forgotten. */
  begin(): void {
    this.#slip.reset();
    this.#turn.reset();
    this.#idleMicros = 0;
    this.#turnMicros = 0;
    this.#napMicros = 0;
    this.#cpuAtStart = process.cpuUsage();
    this.#loopAtStart = performance.eventLoopUtilization();
    this.#isMeasuring = true;
  }

  /** A turn that nobody asked to sleep in took this long; `hadWork`: it sent or received something. */
  turn(micros: number, hadWork: boolean): void {
    if (!this.#isMeasuring) return;
    this.#turn.record(micros);
    this.#turnMicros += micros;
    this.#idleMicros += hadWork ? Math.min(this.#napMicros, micros) : micros;
    this.#napMicros = 0;
  }

  /** A planned sleep: idle, but its overshoot is seen as slip. */
  slept(micros: number): void {
    if (!this.#isMeasuring) return;
    this.#idleMicros += micros;
    this.#turnMicros += micros;
  }

  /** A nap inside the turn that is running: idle time of it, whether it had work or not. */
  napped(micros: number): void {
    if (this.#isMeasuring) this.#napMicros += micros;
  }

  slip(micros: number): void {
    this.#slip.record(micros);
  }

  /** `elapsedMicros`: measured time. Ends the measurement. */
  end(elapsedMicros: number): GeneratorHealth {
    this.#isMeasuring = false;
    const cpu = process.cpuUsage(this.#cpuAtStart);
    const loop = performance.eventLoopUtilization(this.#loopAtStart);
    return {
      // A nap counts as work to the loop's own figure, which is of use only where there are none.
      busyShare: this.#turnMicros > 0 ? 1 - this.#idleMicros / this.#turnMicros : loop.utilization,
      cpuShare: elapsedMicros > 0 ? (cpu.user + cpu.system) / elapsedMicros : 0,
      sendSlip: this.#slip.encode(),
      turn: this.#turn.encode(),
    };
  }
}
