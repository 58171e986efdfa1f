/**
 * How good what is known of everybody is, of now (`segments/present-people.ts`), beside the node: an even sample of some
 * thousands is looked at with the function that answers `profile`: cold record, flags, newest event or trait. Who is in the
 * sample is a matter of the keyed hash, so it is the same people each time and figures can be compared over days.
 *
 * Keys that lead to another's record are nobody. Runs in a thread of the job pool or in a command.
 */
import { isMoved } from '../../actors/identity.ts';
import { newestEntryOf } from '../../actors/person-chain.ts';
import { newestTold, qualityOf } from '../../actors/profile-quality.ts';
import { isDevice } from '../../actors/standing.ts';
import type { Catalog } from '../../decision/catalog.ts';
import { type CatalogSource, compileCatalogSource } from '../catalog/catalog-source.ts';
import { EVERYBODY, PresentPeople } from '../segments/present-people.ts';

/** People looked at, about; below it everybody. */
const SAMPLE_PEOPLE = 5_000;
const BANDS = 10;

export interface TraitQuality {
  readonly trait: string;
  readonly weight: number;
  /** Share of the people who have it, 0 to 1. */
  readonly known: number;
  /** Share of those who have it with something against it. */
  readonly flagged: number;
}

export interface ProfilesQuality {
  /** Where only a sample was looked at, with keys that were joined. */
  readonly people: number;
  /** Of whom the figures are. */
  readonly sampled: number;
  /** Means, 0 to 100 and 0 to 1; null where there is nobody. */
  readonly score: number | null;
  readonly completeness: number | null;
  readonly validity: number | null;
  readonly freshness: number | null;
  /** Share of the sampled by score: from 0, 10, … 90; 100 is in the last. */
  readonly bands: readonly number[];
  /** In the order of the catalog. */
  readonly traits: readonly TraitQuality[];
  /** Share of the sampled with a contradiction, by its name. */
  readonly contradictions: { readonly [name: string]: number };
}

export interface CountProfilesInput {
  /** The store's folder, `<data>/store`. */
  readonly storePath: string;
  /** The one in force. */
  readonly catalog: CatalogSource;
  readonly nowEpochMillis: number;
  /** People to look at, about. Absent: `SAMPLE_PEOPLE`. */
  readonly sample?: number;
}

/**
 * @param onProgress how many were looked at, of how many
 * @throws StoreError `OPEN_FAILED` where no node has run, `CORRUPT`
 */
export async function countProfiles(
  input: CountProfilesInput,
  onProgress: (read: number, total: number) => void = () => {},
): Promise<ProfilesQuality> {
  const catalog = compileCatalogSource(input.catalog);
  return PresentPeople.read(input.storePath, catalog, (present) => countSample(present, catalog, input, onProgress));
}

function countSample(
  present: PresentPeople,
  catalog: Catalog,
  { nowEpochMillis: now, sample = SAMPLE_PEOPLE }: CountProfilesInput,
  onProgress: (read: number, total: number) => void,
): ProfilesQuality {
  const { runtime } = present;
  const { record } = runtime;
  const everybody = present.expected(EVERYBODY);
  const isWhole = everybody <= sample;
  const range = isWhole ? EVERYBODY : { start: 0, width: Math.ceil((sample / everybody) * EVERYBODY.width) };
  const total = present.expected(range);
  const declared = catalog.traits.filter(({ isFact }) => !isFact);
  const known = new Float64Array(declared.length);
  const flagged = new Float64Array(declared.length);
  const bands = new Float64Array(BANDS);
  const sums = { score: 0, completeness: 0, validity: 0, freshness: 0 };
  const contradictions = new Map<string, number>();
  let sampled = 0;
  let read = 0;
  present.forEach(range, () => {
    onProgress(++read, total);
    if (isMoved(record) || isDevice(record)) return;
    sampled++;
    const cold = runtime.readCold();
    const quality = qualityOf(catalog, cold, newestTold(runtime.store, newestEntryOf(record)), now);
    sums.score += quality.score;
    sums.completeness += quality.completeness;
    sums.validity += quality.validity;
    sums.freshness += quality.freshness;
    const band = Math.min(BANDS - 1, Math.floor(quality.score / BANDS));
    bands[band] = (bands[band] as number) + 1; // below BANDS
    for (const [i, { name }] of declared.entries()) {
      if (!Object.hasOwn(cold.traits, name)) continue;
      known[i] = (known[i] as number) + 1; // as many as declared
      if (Object.hasOwn(quality.flags, `trait.${name}`)) flagged[i] = (flagged[i] as number) + 1; // likewise
    }
    for (const { name } of catalog.cleaning?.contradictions ?? [])
      if (Object.hasOwn(quality.flags, `contradiction.${name}`))
        contradictions.set(name, (contradictions.get(name) ?? 0) + 1);
  });
  const mean = (sum: number): number | null => (sampled === 0 ? null : sum / sampled);
  const share = (count: number, of: number): number => (of === 0 ? 0 : count / of);
  return {
    people: isWhole ? sampled : everybody,
    sampled,
    score: mean(sums.score),
    completeness: mean(sums.completeness),
    validity: mean(sums.validity),
    freshness: mean(sums.freshness),
    bands: Array.from(bands, (count) => share(count, sampled)),
    traits: declared.map(({ name, index }, i) => ({
      trait: name,
      weight: catalog.quality.weights[index] ?? 0,
      known: share(known[i] as number, sampled), // as many as declared
      flagged: share(flagged[i] as number, known[i] as number), // likewise
    })),
    contradictions: Object.fromEntries([...contradictions].map(([name, count]) => [name, share(count, sampled)])),
  };
}
