/**
 * The normal distribution and the few elementary functions behind it, bit-equal on every engine.
 *
 * ECMAScript leaves `Math.exp` and `Math.log` to the implementation, so a decision replayed on another
 * engine could differ in its last bit and with it in its winner. Everything here uses only + - * /,
 * `Math.floor`, and the square root that every engine takes from IEEE 754; a golden file pins the bits.
 * `normalCdf` is accurate to 1e-14 and costs an exponential; `normalCdfFast` reads a 6.6 KB table
 * (fits the first-level cache) and is accurate to 5e-8: it is for the inside of the quadrature, where
 * it runs hundreds of times a decision. All functions are pure and allocate nothing: NaN and the infinities
 * are results of arithmetic here, because a function that returns the engine's own constant for them on one
 * way returns an object on every way (V8 11.3; five times the time of `exponential` in a loop).
 */

const scratchFloat = new Float64Array(1);
const scratchWords = new Uint32Array(scratchFloat.buffer);
scratchFloat[0] = 1;
/** Position of a double's high word: 1 on little-endian machines, 0 on the others. */
const HIGH = scratchWords[1] === 0x3ff00000 ? 1 : 0;

const LN2_HIGH = 0.6931471803691238;
const LN2_LOW = 1.9082149292705877e-10;
const SQRT_2_PI = 2.5066282746310002;

/** 2^k for k in [-POWER_BIAS, POWER_BIAS], by exact doubling. */
const POWER_BIAS = 540;
const POWERS = new Float64Array(2 * POWER_BIAS + 1);
POWERS[POWER_BIAS] = 1;
for (let k = 1; k <= POWER_BIAS; k += 1) {
  POWERS[POWER_BIAS + k] = (POWERS[POWER_BIAS + k - 1] as number) * 2; // just written
  POWERS[POWER_BIAS - k] = (POWERS[POWER_BIAS - k + 1] as number) / 2; // just written
}

/**
 * e^x, error below 1 ulp. Any x: 0 below -745.14, Infinity above 709.79, NaN for NaN.
 * Source: fdlibm `e_exp.c` (Sun Microsystems, 1993): reduction to |r| <= ln2/2, rational remainder.
 */
export function exponential(x: number): number {
  if (!(x > -745.1332191019412)) return x <= -745.1332191019412 ? 0 : x; // x: NaN
  if (x > 709.782712893384) return x * 1.7976931348623157e308; // Infinity
  const k = Math.floor(x * Math.LOG2E + 0.5);
  const high = x - k * LN2_HIGH;
  const low = k * LN2_LOW;
  const r = high - low;
  const t = r * r;
  const c =
    r -
    t *
      (0.16666666666666602 +
        t *
          (-0.0027777777777015593 +
            t * (6.613756321437934e-5 + t * (-1.6533902205465252e-6 + t * 4.1381367970572385e-8))));
  const y = 1 - (low - (r * c) / (2 - c) - high);
  // Two factors, because 2^k alone may overflow or be subnormal while the product is neither.
  const half = k >> 1;
  return y * (POWERS[POWER_BIAS + half] as number) * (POWERS[POWER_BIAS + k - half] as number); // |k| <= 1076
}

/** `exponential` of the first `count` values, in their place. */
export function exponentials(values: Float64Array, count: number): void {
  for (let i = 0; i < count; i += 1) values[i] = exponential(values[i] as number); // i < count <= length
}

/**
 * Natural logarithm, error below 1 ulp. x = 0 gives -Infinity, x < 0 and NaN give NaN.
 * Source: fdlibm `e_log.c` (Sun Microsystems, 1993).
 */
export function naturalLogarithm(x: number): number {
  if (!(x > 0)) return x === 0 ? -1 / (x * x) : (x - x) / (x - x); // -Infinity, NaN
  if (x > 1.7976931348623157e308) return x; // Infinity
  let k = 0;
  if (x < 2.2250738585072014e-308) {
    scratchFloat[0] = x * 18014398509481984; // 2^54 lifts subnormals
    k = -54;
  } else {
    scratchFloat[0] = x;
  }
  const word = scratchWords[HIGH] as number; // always there
  k += (word >>> 20) - 1023;
  const mantissa = word & 0xfffff;
  // Bit 20 is set when the mantissa is above sqrt(2): then halve it and count one power more.
  const above = (mantissa + 0x95f64) & 0x100000;
  scratchWords[HIGH] = mantissa | (above ^ 0x3ff00000);
  k += above >>> 20;
  const f = (scratchFloat[0] as number) - 1; // always there
  const s = f / (2 + f);
  const z = s * s;
  const w = z * z;
  const even = w * (0.3999999999940942 + w * (0.22222198432149784 + w * 0.15313837699209373));
  const odd = z * (0.6666666666666735 + w * (0.2857142874366239 + w * (0.1818357216161805 + w * 0.14798198605116586)));
  const halfSquare = 0.5 * f * f;
  return k * LN2_HIGH - (halfSquare - (s * (halfSquare + even + odd) + k * LN2_LOW) - f);
}

/** 1 / (1 + e^-x), in [0, 1], without overflow at either end and without cancellation for x << 0. */
export function sigmoid(x: number): number {
  if (x >= 0) return 1 / (1 + exponential(-x));
  const e = exponential(x);
  return e / (1 + e);
}

/** Inverse of `sigmoid`; 0 gives -Infinity, 1 gives Infinity, outside [0, 1] NaN. */
export function logit(probability: number): number {
  return naturalLogarithm(probability) - naturalLogarithm(1 - probability);
}

/** Density of the standard normal. */
export function normalDensity(x: number): number {
  return exponential(-0.5 * x * x) / SQRT_2_PI;
}

/**
 * Phi(x) = P(N(0, 1) <= x), absolute error below 1e-14, relative error below 1e-8 down to x = -37.
 * Source: G. West, "Better approximations to cumulative normal functions", Wilmott 2005, after
 * J. F. Hart, Computer Approximations, 1968, algorithm 5666.
 */
export function normalCdf(x: number): number {
  const a = x < 0 ? -x : x;
  if (!(a <= 37.5)) return x < 0 ? 0 : x > 0 ? 1 : x; // x: NaN
  const e = exponential(-0.5 * a * a);
  let tail: number;
  if (a < 7.07106781186547) {
    let p = 3.52624965998911e-2 * a + 0.700383064443688;
    p = p * a + 6.37396220353165;
    p = p * a + 33.912866078383;
    p = p * a + 112.079291497871;
    p = p * a + 221.213596169931;
    p = p * a + 220.206867912376;
    let q = 8.83883476483184e-2 * a + 1.75566716318264;
    q = q * a + 16.064177579207;
    q = q * a + 86.7807322029461;
    q = q * a + 296.564248779674;
    q = q * a + 637.333633378831;
    q = q * a + 793.826512519948;
    q = q * a + 440.413735824752;
    tail = (e * p) / q;
  } else {
    tail = e / (a + 1 / (a + 2 / (a + 3 / (a + 4 / (a + 0.65))))) / SQRT_2_PI;
  }
  return x < 0 ? tail : 1 - tail;
}

/**
 * x with Phi(x) = p; relative error about 1e-15. p = 0 gives -Infinity, 1 Infinity, outside NaN.
 * Source: M. J. Wichura, "Algorithm AS 241: the percentage points of the normal distribution",
 * Applied Statistics 37 (1988), PPND16; the logarithm is ours, so the bits are the same everywhere.
 */
export function normalInverseCdf(p: number): number {
  const q = p - 0.5;
  return q >= -0.425 && q <= 0.425 ? inverseNearMiddle(q) : inverseInTail(p, q);
}

/** Five of six draws end here: short enough for the engine to put it into the caller's loop. */
function inverseNearMiddle(q: number): number {
  const r = 0.180625 - q * q;
  const numerator =
    ((((((2509.0809287301227 * r + 33430.57558358813) * r + 67265.7709270087) * r + 45921.95393154987) * r +
      13731.69376550946) *
      r +
      1971.5909503065513) *
      r +
      133.14166789178438) *
      r +
    3.3871328727963665;
  const denominator =
    ((((((5226.495278852854 * r + 28729.085735721943) * r + 39307.89580009271) * r + 21213.794301586597) * r +
      5394.196021424751) *
      r +
      687.1870074920579) *
      r +
      42.31333070160091) *
      r +
    1;
  return (numerator * q) / denominator;
}

function inverseInTail(p: number, q: number): number {
  if (!(p > 0 && p < 1)) {
    if (p === 0) return -1 / (p * p); // -Infinity
    return p === 1 ? p / (1 - p) : (p - p) / (p - p); // Infinity, NaN
  }
  let r = Math.sqrt(-naturalLogarithm(q < 0 ? p : 1 - p));
  let x: number;
  if (r <= 5) {
    r -= 1.6;
    const numerator =
      ((((((0.0007745450142783414 * r + 0.022723844989269184) * r + 0.2417807251774506) * r + 1.2704582524523684) * r +
        3.6478483247632045) *
        r +
        5.769497221460691) *
        r +
        4.630337846156546) *
        r +
      1.4234371107496835;
    const denominator =
      ((((((1.0507500716444169e-9 * r + 0.0005475938084995345) * r + 0.015198666563616457) * r + 0.14810397642748008) *
        r +
        0.6897673349851) *
        r +
        1.6763848301838038) *
        r +
        2.053191626637759) *
        r +
      1;
    x = numerator / denominator;
  } else {
    r -= 5;
    const numerator =
      ((((((2.0103343992922881e-7 * r + 2.7115555687434876e-5) * r + 0.0012426609473880784) * r +
        0.026532189526576124) *
        r +
        0.29656057182850487) *
        r +
        1.7848265399172913) *
        r +
        5.463784911164114) *
        r +
      6.657904643501103;
    const denominator =
      ((((((2.0442631033899397e-15 * r + 1.421511758316446e-7) * r + 1.8463183175100548e-5) * r +
        0.0007868691311456133) *
        r +
        0.014875361290850615) *
        r +
        0.1369298809227358) *
        r +
        0.599832206555888) *
        r +
      1;
    x = numerator / denominator;
  }
  return q < 0 ? -x : x;
}

/** Beyond this many standard deviations `normalCdfFast` answers 0 or 1 (true value 4e-11). */
export const FAST_CDF_RANGE = 6.5;
const CELLS_PER_UNIT = 16;
const CELL_COUNT = 2 * FAST_CDF_RANGE * CELLS_PER_UNIT;
/** Cubic of each cell in t = position inside the cell, [0, 1): c0 + t (c1 + t (c2 + t c3)). */
const CELLS = new Float64Array(4 * (CELL_COUNT + 1));
// One cell more: the largest double below the range's end rounds up to it when shifted.
CELLS[4 * CELL_COUNT] = 1;
for (let cell = 0; cell < CELL_COUNT; cell += 1) {
  const x = cell / CELLS_PER_UNIT - FAST_CDF_RANGE;
  const from = normalCdf(x);
  const rise = normalCdf(x + 1 / CELLS_PER_UNIT) - from;
  const slope = normalDensity(x) / CELLS_PER_UNIT;
  const slopeEnd = normalDensity(x + 1 / CELLS_PER_UNIT) / CELLS_PER_UNIT;
  CELLS[4 * cell] = from;
  CELLS[4 * cell + 1] = slope;
  CELLS[4 * cell + 2] = 3 * rise - 2 * slope - slopeEnd;
  CELLS[4 * cell + 3] = slope + slopeEnd - 2 * rise;
}

/**
 * Phi(x) by cubic Hermite interpolation, absolute error at most 5e-8 (bound h^4/384 max|phi'''| =
 * 2.2e-8 for h = 1/16, the rest is slack); never outside [0, 1]. NaN gives 1: callers pass finite x.
 */
export function normalCdfFast(x: number): number {
  if (x <= -FAST_CDF_RANGE) return 0;
  if (!(x < FAST_CDF_RANGE)) return 1;
  const scaled = (x + FAST_CDF_RANGE) * CELLS_PER_UNIT;
  const cell = scaled | 0;
  const t = scaled - cell;
  const at = cell << 2;
  // The casts: `at + 3` is inside CELLS because x is inside the range (or rounds to its end).
  return (
    (CELLS[at] as number) +
    t * ((CELLS[at + 1] as number) + t * ((CELLS[at + 2] as number) + t * (CELLS[at + 3] as number)))
  );
}
