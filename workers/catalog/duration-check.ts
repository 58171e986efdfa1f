/** What the shape of a duration cannot say: that it is not too long, and where it has bounds of its own, within them. */
import { DURATION_PATTERN, parseDurationMillis } from './durations.ts';
import { type FindingSink, mapOf, type RawMap, textOf } from './raw-values.ts';
import type { DocumentPath } from './yaml-source.ts';

/** A duration of the right form may still be longer than ten years. */
export function checkDuration(path: DocumentPath, value: unknown, sink: FindingSink): void {
  if (typeof value === 'string' && DURATION_PATTERN.test(value) && parseDurationMillis(value) === null) {
    sink.find(path, `${JSON.stringify(value)} is longer than ten years`);
  }
}

/** Bounds of a duration, both within, and what they are of. */
interface Span {
  readonly minMillis: number;
  readonly maxMillis: number;
  readonly reason: string;
}
/** Below it a person who is noted once in a minute and an eighth of the window may be missed. */
const DEVICE_PER: Span = {
  minMillis: 10 * 60_000,
  maxMillis: 90 * 86_400_000,
  reason: 'people of a device are counted within 10m to 90d of each other',
};
/** Every record is read for it. */
const MEASURED_EVERY: Span = {
  minMillis: 60_000,
  maxMillis: 7 * 86_400_000,
  reason: 'what is usual is measured every 1m to 7d',
};

function checkSpan(
  path: DocumentPath,
  value: unknown,
  { minMillis, maxMillis, reason }: Span,
  sink: FindingSink,
): void {
  const text = textOf(value);
  const millis = text === null ? null : parseDurationMillis(text);
  checkDuration(path, text, sink);
  if (millis !== null && (millis < minMillis || millis > maxMillis)) sink.find(path, `${text}: ${reason}`);
}

export function checkAbuse({ device, usual }: RawMap, sink: FindingSink): void {
  checkSpan(['abuse', 'device', 'per'], mapOf(device).per, DEVICE_PER, sink);
  checkSpan(['abuse', 'usual', 'every'], mapOf(usual).every, MEASURED_EVERY, sink);
}
