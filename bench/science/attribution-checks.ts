/**
 * Attribution on half of the journeys of the R package ChannelAttribution: what must hold exactly, and the Markov
 * chain walked at random, which is how that package estimates what is solved here.
 */
import {
  attributableConversions,
  attributeByShapley,
  attributeByTimeDecay,
  attributeLinearly,
  attributeToFirst,
  attributeToLast,
  type TouchPath,
} from '../../decision/batch/attribution.ts';
import { attributeByMarkov } from '../../decision/batch/attribution-markov.ts';
import { drawUniform } from '../../decision/random.ts';
import { atMost, type Finding, near, type ScienceCheck, type ScienceData } from './science-check.ts';

const PATHS = 'attribution/paths.csv.gz';
const WALKS = 200_000;

function journeys(data: ScienceData): { paths: TouchPath[]; channels: number } {
  const numbers = new Map<string, number>();
  const paths = data.rows(PATHS).map((row): TouchPath => {
    const touches = (row.path ?? '').split('>').map((name) => {
      const channel = name.trim();
      const number = numbers.get(channel) ?? numbers.size;
      numbers.set(channel, number);
      return number;
    });
    return { touches, conversions: Number(row.total_conversions), nonConversions: Number(row.total_null) };
  });
  return { paths, channels: numbers.size };
}

function sums(data: ScienceData): readonly Finding[] {
  const { paths, channels } = journeys(data);
  const conversions = attributableConversions(paths);
  const markov = attributeByMarkov(paths, channels);
  const models = { 'first touch': attributeToFirst, 'last touch': attributeToLast, linear: attributeLinearly } as const;
  const credits = {
    ...Object.fromEntries(Object.entries(models).map(([name, attribute]) => [name, attribute(paths, channels)])),
    'time-decay': attributeByTimeDecay(paths, channels),
    Shapley: attributeByShapley(paths, channels),
    Markov: markov.credits,
  };
  return Object.entries(credits).map(([name, values]) =>
    near(
      `attribution, ${name}: credits of ${channels} channels against conversions`,
      conversions,
      values.reduce((a, b) => a + b, 0),
      1e-6,
    ),
  );
}

/** Walks drawn from the transitions; as ChannelAttribution, which estimates the removal effects in this way. */
function walks(data: ScienceData): readonly Finding[] {
  const { paths, channels } = journeys(data);
  const [start, converted, none] = [channels, channels + 1, channels + 2];
  const counts = Array.from({ length: channels + 1 }, () => new Float64Array(channels + 3));
  const move = (from: number, to: number, people: number): void => {
    const row = counts[from];
    if (row !== undefined) row[to] = (row[to] ?? 0) + people;
  };
  for (const { touches, conversions, nonConversions } of paths) {
    let from = start;
    for (const to of Array.from(touches)) {
      move(from, to, conversions + nonConversions);
      from = to;
    }
    move(from, converted, conversions);
    move(from, none, nonConversions);
  }
  const totals = counts.map((row) => row.reduce((a, b) => a + b, 0));
  const lost = new Float64Array(channels);
  let conversions = 0;
  for (let walk = 0; walk < WALKS; walk += 1) {
    const met = new Set<number>();
    let state = start;
    for (let step = 0; state <= start; step += 1) {
      let left = drawUniform(2026, 3, walk, step) * (totals[state] ?? 0);
      const row = counts[state] ?? new Float64Array(0);
      let next = 0;
      while (next < row.length - 1 && left >= (row[next] ?? 0)) left -= row[next++] ?? 0;
      state = next;
      if (state < channels) met.add(state);
    }
    if (state !== converted) continue;
    conversions += 1;
    for (const channel of met) lost[channel] = (lost[channel] ?? 0) + 1;
  }
  const ours = attributeByMarkov(paths, channels);
  // A converting walk is lost without a channel just when it met it: a share of `conversions` walks.
  let worst = 0;
  for (let channel = 0; channel < channels; channel += 1) {
    const share = (lost[channel] ?? 0) / conversions;
    const error = Math.sqrt(Math.max(share * (1 - share), 1 / conversions) / conversions);
    worst = Math.max(worst, Math.abs((ours.removalEffects[channel] ?? Number.NaN) - share) / error);
  }
  const probability = conversions / WALKS;
  const note = `${WALKS} walks, seed 2026/3; the package's figures are for the whole set, of which half is given`;
  return [
    atMost('attribution, Markov: worst removal effect against random walks, standard errors', 4, worst, note),
    near(
      'attribution, Markov: P(conversion) against random walks',
      Number(probability.toFixed(5)),
      ours.conversionProbability,
      Number((4 * Math.sqrt((probability * (1 - probability)) / WALKS)).toFixed(5)),
    ),
  ];
}

export const ATTRIBUTION_CHECKS: readonly ScienceCheck[] = [
  {
    name: 'attribution: credits sum to conversions',
    source: 'science.md section 5',
    needs: [PATHS],
    isFast: true,
    run: sums,
  },
  {
    name: 'attribution: Markov against random walks',
    source: 'the estimator of the R package ChannelAttribution (Altomare and Loris)',
    needs: [PATHS],
    isFast: false,
    run: walks,
  },
];
