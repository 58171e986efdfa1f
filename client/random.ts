/**
 * The client's one source of chance, from the platform's generator: message ids must not collide across
 * devices, and reconnects of many clients must not fall into step.
 */

/** Uniform in [0, 1), 32 bits. */
export function randomFraction(): number {
  const word = crypto.getRandomValues(new Uint32Array(1))[0] as number; // an array of one
  return word / 0x1_0000_0000;
}

/** A message id nobody else makes: 128 random bits as 32 hexadecimal digits. */
export function randomMessageId(): string {
  let text = '';
  for (const byte of crypto.getRandomValues(new Uint8Array(16))) text += byte.toString(16).padStart(2, '0');
  return text;
}

const BACKOFF_BASE_MILLIS = 100;
const BACKOFF_MAX_MILLIS = 10_000;

/**
 * Full-jitter exponential back-off: uniform in [0, min(10 s, 100 ms * 2^attempt)).
 * Source: Marc Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015.
 * @param attempt failures so far, from 0.
 * @param fraction the draw, in [0, 1).
 * @returns milliseconds to wait.
 */
export function backoffMillis(attempt: number, fraction: number): number {
  return fraction * Math.min(BACKOFF_MAX_MILLIS, BACKOFF_BASE_MILLIS * 2 ** Math.min(attempt, 20));
}
