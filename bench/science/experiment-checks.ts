/**
 * Experiments: bands that hold at every look, the alarm on sample ratios, and adjustment by a covariate. Published
 * figures where there are any; else simulations whose truth is known, with seeds and standard errors in their rows.
 */
import { BoundedEffectSequence } from '../../decision/batch/bounded-effect.ts';
import { addOutcome, compareArms, type Moments, momentsFromSums } from '../../decision/batch/confidence-sequence.ts';
import { addPerson, adjustArms, noJointMoments } from '../../decision/batch/covariate-adjustment.ts';
import { sampleRatio } from '../../decision/batch/experiment-arms.ts';
import { drawNormal, drawUniform } from '../../decision/random.ts';
import { atLeast, atMost, type Finding, near, type ScienceCheck, type ScienceData } from './science-check.ts';

const CONFSEQ = 'confseq/ate.csv.gz';

function growthBook(): readonly Finding[] {
  const control = momentsFromSums(3000, 1396.87, 52377.9767);
  const treatment = momentsFromSums(3461, 2422.7, 134698.29);
  const lift = compareArms(control, treatment, { tuning: 1000, isRelative: true });
  return [
    near('GrowthBook: lift', 0.50336, lift.difference, 5e-6),
    near('GrowthBook: lower end, tuning 1000', -0.55844, lift.lower, 5e-6),
    near('GrowthBook: upper end', 1.56516, lift.upper, 5e-6),
  ];
}

/** Options as in the demonstration that wrote the file: p = .5, outcomes 0 or 1 of variance .16, tuned for 50 people. */
function confseq(data: ScienceData): readonly Finding[] {
  const sequence = new BoundedEffectSequence({
    low: 0,
    high: 1,
    treatmentProbability: 0.5,
    tuning: 50,
    outcomeVariance: 0.16,
  });
  const worst = { estimate: 0, lower: 0, upper: 0, pValue: 0 };
  const columns = {
    estimate: 'point_estimate',
    lower: 'lower_confidence_bound',
    upper: 'upper_confidence_bound',
    pValue: 'p_value',
  } as const;
  const rows = data.rows(CONFSEQ);
  for (const row of rows) {
    sequence.add(Number(row.y), row.treatment === '1');
    const now = sequence.read();
    for (const [name, column] of Object.entries(columns)) {
      const key = name as keyof typeof worst; // the keys of columns are those of worst
      worst[key] = Math.max(worst[key], Math.abs(now[key] - Number(row[column])));
    }
  }
  return Object.entries(worst).map(([name, gap]) =>
    atMost(`confseq: largest gap of ${name} over ${rows.length} rows`, 1e-6, Number(gap.toPrecision(2))),
  );
}

const RUNS = 1000;
const PEOPLE = 4000;
const OUTCOMES = {
  normal: (run: number, i: number) => drawNormal(2026, run, i, 41),
  'responses of 5 %': (run: number, i: number) => Number(drawUniform(2026, run, i, 42) < 0.05),
  exponential: (run: number, i: number) => -Math.log(drawUniform(2026, run, i, 43)),
} as const;

/** Two equal arms, looked at after every person until the band leaves 0. */
function falsePositives(): readonly Finding[] {
  return Object.entries(OUTCOMES).map(([name, outcome]) => {
    let wrong = 0;
    for (let run = 0; run < RUNS; run += 1) {
      const arms: [Moments, Moments] = [
        { count: 0, mean: 0, squares: 0 },
        { count: 0, mean: 0, squares: 0 },
      ];
      for (let i = 0; i < PEOPLE; i += 1) {
        addOutcome(drawUniform(2026, run, i, 40) < 0.5 ? arms[0] : arms[1], outcome(run, i));
        if (!compareArms(arms[0], arms[1], { tuning: 1000 }).isDecided) continue;
        wrong += 1;
        break;
      }
    }
    const share = wrong / RUNS;
    const error = Math.sqrt((share * (1 - share)) / RUNS);
    const note = `${RUNS} runs of ${PEOPLE} people, seeds 2026/0 to 2026/${RUNS - 1}; standard error ${error.toFixed(4)}`;
    return atMost(`confidence sequence, ${name}: ever wrong, a look a person, alpha .05`, 0.05, share, note);
  });
}

function ratioAlarm(): readonly Finding[] {
  const shares = [0.5, 0.5];
  let alarmsOfTwenty = 0;
  let alarms = 0;
  let found = 0;
  for (let run = 0; run < RUNS; run += 1) {
    for (const treatmentShare of [0.5, 0.45]) {
      const counts = [0, 0];
      let least = 1;
      for (let i = 0; i < PEOPLE; i += 1) {
        const arm = Number(drawUniform(2026, run, i, 44) < treatmentShare);
        counts[arm] = (counts[arm] ?? 0) + 1;
        least = Math.min(least, sampleRatio(counts, shares).sequentialPValue);
      }
      if (treatmentShare === 0.5) {
        if (least < 0.05) alarmsOfTwenty += 1;
        if (least < 0.001) alarms += 1;
      } else if (least < 0.001) found += 1;
    }
  }
  const note = `${RUNS} runs of ${PEOPLE} people, seeds 2026/0 to 2026/${RUNS - 1}, a look a person`;
  const atOnce = sampleRatio([50_000, 51_100], shares);
  return [
    near('SRM, 50,000 to 51,100: chi-square', 11.9683, atOnce.chiSquare, 1e-4),
    near('SRM, 50,000 to 51,100: p', 0.000541, atOnce.pValue, 1e-6, 'SciPy, chi2.sf'),
    atMost('SRM, sequential: ever below .05 with shares as dealt', 0.05, alarmsOfTwenty / RUNS, note),
    atMost('SRM, sequential: ever below .001 with shares as dealt', 0.001, alarms / RUNS, note),
    atLeast('SRM, sequential: alarms within 4,000 people when 45 % came', 0.95, found / RUNS, note),
  ];
}

/** 400 experiments of 1,000 people, y = 2 + .3 w + 1.5 x + noise: correlation within arms 1.5 / sqrt(1.5² + 1). */
function cuped(): readonly Finding[] {
  const runs = 400;
  const correlation = 1.5 / Math.sqrt(1.5 ** 2 + 1);
  const effects: number[] = [];
  const plain: number[] = [];
  let reduction = 0;
  for (let run = 0; run < runs; run += 1) {
    const arms = [noJointMoments(), noJointMoments()] as const;
    for (let i = 0; i < 1000; i += 1) {
      const arm = drawUniform(2026, run, i, 45) < 0.5 ? 0 : 1;
      const covariate = drawNormal(2026, run, i, 46);
      addPerson(arms[arm], covariate, 2 + 0.3 * arm + 1.5 * covariate + drawNormal(2026, run, i, 47));
    }
    const adjusted = adjustArms(arms);
    effects.push((adjusted.arms[1]?.mean ?? Number.NaN) - (adjusted.arms[0]?.mean ?? Number.NaN));
    plain.push(arms[1].meanY - arms[0].meanY);
    reduction += adjusted.varianceReduction / runs;
  }
  const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
  const spread = (values: readonly number[]): number => mean(values.map((value) => (value - mean(values)) ** 2));
  const error = Math.sqrt(spread(effects) / runs);
  const note = `${runs} experiments of 1,000 people, seeds 2026/0 to 2026/${runs - 1}`;
  // A ratio of two variances of 400 has a relative error of about sqrt(4 / 400) = 10 %, on 1 − corr² = .31.
  return [
    near('CUPED: effect, truth .3, mean of experiments', 0.3, mean(effects), Number((4 * error).toFixed(4)), note),
    near('CUPED: variance reduction reported against corr²', Number((correlation ** 2).toFixed(4)), reduction, 0.005),
    near(
      'CUPED: variance reduction found over experiments',
      Number((correlation ** 2).toFixed(4)),
      1 - spread(effects) / spread(plain),
      0.1,
    ),
  ];
}

export const EXPERIMENT_CHECKS: readonly ScienceCheck[] = [
  {
    name: 'experiments: GrowthBook',
    source: 'science.md section 5; tests of GrowthBook, gbstats (sequential two-sided, relative)',
    needs: [],
    isFast: true,
    run: growthBook,
  },
  {
    name: 'experiments: confseq',
    source: 'expected confidence sequence of the package confseq (Howard and Waudby-Smith), first 500 rows',
    needs: [CONFSEQ],
    isFast: true,
    run: confseq,
  },
  {
    name: 'experiments: false positives',
    source: 'science.md section 5; arXiv 2103.06476',
    needs: [],
    isFast: false,
    run: falsePositives,
  },
  {
    name: 'experiments: sample ratio',
    source: 'science.md section 5; Lindon and Malek, NeurIPS 2022',
    needs: [],
    isFast: false,
    run: ratioAlarm,
  },
  {
    name: 'experiments: CUPED',
    source: 'Deng, Xu, Kohavi and Walker, WSDM 2013',
    needs: [],
    isFast: true,
    run: cuped,
  },
];
