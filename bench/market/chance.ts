/**
 * Chance in the market: every draw is a function of (seed, kind, subject, index), as in `decision/random.ts`, and no
 * stream exists. So two policies in one world meet the same people at the same hours with the same luck, whatever
 * either of them does, and their difference is due to what they chose.
 */
import { naturalLogarithm, normalInverseCdf } from '../../decision/normal.ts';
import { drawUniform } from '../../decision/random.ts';

/** What a draw is for; keeps the draws of one subject apart. */
export const KIND = {
  zone: 1,
  tier: 2,
  interest: 3,
  device: 4,
  taste: 5,
  chronotype: 6,
  peakHour: 7,
  cycle: 8,
  gap: 9,
  visitHour: 10,
  product: 11,
  response: 12,
  delay: 13,
  sensitivity: 14,
  quality: 15,
  tierEffect: 16,
  hourEffect: 17,
  value: 18,
  drift: 19,
  season: 20,
  demand: 21,
  rival: 22,
  purchase: 23,
  messageHour: 24,
  eagerness: 25,
  policy: 26,
  browse: 27,
  shock: 28,
  affinity: 29,
} as const;
export type Kind = (typeof KIND)[keyof typeof KIND];

export class Chance {
  readonly seed: number;

  /** @param seed a whole number, 0 to 2^32 - 1; the caller has checked it */
  constructor(seed: number) {
    this.seed = seed;
  }

  /** In (0, 1). */
  uniform(kind: Kind, subject: number, index = 0): number {
    return drawUniform(this.seed, kind, subject, index);
  }

  /** Standard normal. */
  normal(kind: Kind, subject: number, index = 0): number {
    return normalInverseCdf(this.uniform(kind, subject, index));
  }

  /** Exponential of mean 1. */
  exponential(kind: Kind, subject: number, index = 0): number {
    return -naturalLogarithm(this.uniform(kind, subject, index));
  }

  /** Gumbel of scale 1: the largest of (x + Gumbel) is drawn by the softmax of x. */
  gumbel(kind: Kind, subject: number, index = 0): number {
    return -naturalLogarithm(this.exponential(kind, subject, index));
  }

  /** 0 to count - 1. */
  whole(kind: Kind, count: number, subject: number, index = 0): number {
    return Math.floor(this.uniform(kind, subject, index) * count);
  }
}
