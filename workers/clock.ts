/**
 * The clock port's real side: the only file that reads time. Everything else gets instants as
 * arguments (a turn) or calls these (edges: sockets, timers, benchmarks), so that the simulation can
 * put its own clock in their place.
 */
import { performance } from 'node:perf_hooks';

let scale = 1;
let scaledSince = 0;

/**
 * From the given instant on the wall clock of this thread runs `timeScale` times as fast; 1 is the true one. All
 * threads of a node are told the same two numbers.
 */
export function scaleClock(timeScale: number, sinceEpochMillis: number): void {
  scale = timeScale;
  scaledSince = sinceEpochMillis;
}

/** Wall clock, epoch milliseconds UTC. */
export function epochMillis(): number {
  const now = Date.now();
  return scale === 1 ? now : Math.floor(scaledSince + (now - scaledSince) * scale);
}

/** Monotonic clock in microseconds since the thread started; fractions are real. */
export function monotonicMicros(): number {
  return performance.now() * 1000;
}

/** Monotonic clock in milliseconds since the thread started. */
export function monotonicMillis(): number {
  return performance.now();
}

/** The monotonic reading of this thread at a wall-clock instant that another thread of this process took. */
export function monotonicMicrosOf(epochMicros: number): number {
  return epochMicros - performance.timeOrigin * 1000;
}

/** Busy share of this thread's event loop since the last call, 0 to 1. */
export function eventLoopUtilisation(): number {
  const now = performance.eventLoopUtilization();
  const since = performance.eventLoopUtilization(now, lastUtilisation);
  lastUtilisation = now;
  return since.utilization;
}
let lastUtilisation = performance.eventLoopUtilization();

/** Wall-clock microseconds of a monotonic reading on this thread, for traces. */
export function epochMicrosOf(monotonicMicrosValue: number): number {
  return performance.timeOrigin * 1000 + monotonicMicrosValue;
}
