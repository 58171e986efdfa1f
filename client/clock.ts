/**
 * The client's one clock: monotonic milliseconds, for deadlines and back-off. Never wall time: a
 * corrected system clock must not make a request time out. Everything else takes the instant as an argument.
 */
export function monotonicMillis(): number {
  return performance.now();
}
