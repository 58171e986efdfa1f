/**
 * The clock port's real side: the only file that reads time. Everything else gets instants as
 * arguments (a turn) or calls these (edges: sockets, timers, benchmarks), so that the simulation can
 * put its own clock in their place.
 */
/** Wall clock, epoch milliseconds UTC. */
export function epochMillis(): number {
  return Date.now();
}

/** Monotonic clock in microseconds since the thread started; fractions are real. */
export function monotonicMicros(): number {
  return performance.now() * 1000;
}

/** Monotonic clock in milliseconds since the thread started. */
export function monotonicMillis(): number {
  return performance.now();
}

/** Wall-clock microseconds of a monotonic reading on this thread, for traces. */
export function epochMicrosOf(monotonicMicrosValue: number): number {
  return performance.timeOrigin * 1000 + monotonicMicrosValue;
}
