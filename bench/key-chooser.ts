/**
 * Which profile the next request is about. Zipf by rejection-inversion, so that neither memory nor
 * cost grows with the number of profiles; exponent 0 is uniform; `sequential` visits each key once
 * (population). Seeded: the same plan asks for the same profiles in the same order.
 * Source: W. Hörmann and G. Derflinger, "Rejection-inversion to generate variates from monotone
 * discrete distributions", ACM TOMACS 6(3), 1996.
 */

/** Small Fast Counting generator (Chris Doty-Humphrey, PractRand), 32-bit: a few ns a draw, enough for load. */
export class LoadRandom {
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  constructor(seed: number) {
    this.#a = seed | 0;
    this.#b = Math.imul(seed, 0x9e3779b1) | 0;
    this.#c = 0x6f707065;
    for (let i = 0; i < 15; i += 1) this.next();
  }

  /** Uniform in [0, 1), 32 bits. */
  next(): number {
    const sum = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + sum;
    return (sum >>> 0) / 4_294_967_296;
  }
}

export interface KeyPlan {
  readonly kind: 'random' | 'sequential';
  /** Number of distinct profiles; keys are 0 to this minus 1. At least 1. */
  readonly profiles: number;
  /** Zipf exponent, 0 (uniform) to 5. Ignored by `sequential`. */
  readonly exponent: number;
  readonly seed: number;
  /** `sequential` only: this process takes keys `first`, `first + stride`, … */
  readonly first: number;
  readonly stride: number;
}

export class KeyChooser {
  readonly #plan: KeyPlan;
  readonly #random: LoadRandom;
  readonly #integralLow: number;
  readonly #integralHigh: number;
  readonly #shortcut: number;
  #next: number;

  constructor(plan: KeyPlan) {
    this.#plan = plan;
    this.#random = new LoadRandom(plan.seed);
    this.#next = plan.first;
    this.#integralLow = this.#integral(1.5) - 1;
    this.#integralHigh = this.#integral(plan.profiles + 0.5);
    this.#shortcut = 2 - this.#integralInverse(this.#integral(2.5) - this.#density(2));
  }

  /** Draws one to a few random numbers. Returns 0 to profiles − 1; rank 0 is the most frequent. */
  next(): number {
    const { kind, profiles, exponent, first, stride } = this.#plan;
    if (kind === 'sequential') {
      const key = this.#next;
      this.#next += stride;
      if (this.#next >= profiles) this.#next = first;
      return key;
    }
    if (exponent === 0) return Math.floor(this.#random.next() * profiles);
    for (;;) {
      const u = this.#integralHigh + this.#random.next() * (this.#integralLow - this.#integralHigh);
      const x = this.#integralInverse(u);
      const rank = Math.min(profiles, Math.max(1, Math.round(x)));
      if (rank - x <= this.#shortcut || u >= this.#integral(rank + 0.5) - this.#density(rank)) return rank - 1;
    }
  }

  #density(x: number): number {
    return Math.exp(-this.#plan.exponent * Math.log(x));
  }

  /** Integral of x^-s, written so that it is smooth through s = 1. */
  #integral(x: number): number {
    const logX = Math.log(x);
    const t = (1 - this.#plan.exponent) * logX;
    return (Math.abs(t) > 1e-8 ? Math.expm1(t) / t : 1 + t / 2) * logX;
  }

  #integralInverse(y: number): number {
    const t = Math.max(-1, y * (1 - this.#plan.exponent));
    return Math.exp((Math.abs(t) > 1e-8 ? Math.log1p(t) / t : 1 - t / 2) * y);
  }
}
