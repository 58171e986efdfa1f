/**
 * Consent that comes as signals of others: TCF and GPP strings, `Sec-GPC`. Each says yes or no to words of one small
 * vocabulary (`tcf.4`, `us.sale`, `gpc`), and a table says which words stand for which of our purposes. Pure: reading
 * the strings is `workers/privacy/consent-strings.ts`, keeping the outcome is `actors/consent-turn.ts`.
 *
 * One no is enough to refuse a purpose. A yes counts only where it is a consent: that somebody has not opted out takes
 * back an opt-out that came the same way, and grants nothing.
 */

/** What one signal says to a word. */
export const SAYS = { no: 0, notRefused: 1, yes: 2 } as const;
export type Saying = (typeof SAYS)[keyof typeof SAYS];

export type SignalWords = ReadonlyMap<string, Saying>;

/** `Sec-GPC: 1`, or a GPP section that carries it. */
export const GPC_WORD = 'gpc';
const TCF_PURPOSES = 24;
const TCF_SPECIAL_FEATURES = 12;
export const US_OPT_OUTS = ['us.sale', 'us.sharing', 'us.targetedAdvertising'] as const;
export const US_SENSITIVE = [
  'us.ethnicity',
  'us.religion',
  'us.health',
  'us.sexuality',
  'us.genetics',
  'us.biometrics',
  'us.location',
  'us.unionMembership',
] as const;
/** The site may hand data to its own processors only; its declaration, and no choice of the person. */
export const US_SERVICE_PROVIDER = 'us.serviceProvider';
/** Known to be a child whose personal data take a consent, of a parent or their own. */
export const US_CHILD = 'us.child';

export const SIGNAL_WORDS: ReadonlySet<string> = new Set([
  ...Array.from({ length: TCF_PURPOSES }, (_, i) => `tcf.${i + 1}`),
  ...Array.from({ length: TCF_SPECIAL_FEATURES }, (_, i) => `tcf.feature.${i + 1}`),
  ...US_OPT_OUTS,
  ...US_SENSITIVE,
  US_SERVICE_PROVIDER,
  US_CHILD,
  GPC_WORD,
]);

/**
 * What holds for a purpose that the catalog does not map: all personal advertising and content (3 to 6) before
 * anything is personal, measuring and improving (7, 8, 10) before anybody's answers teach, precise location
 * (special feature 1), and every opt-out of selling and sharing. A child whose data may not be processed is nobody
 * who is known. Beside that no signal speaks of a price of one's own, and none of contact by mail and the like: these
 * take the person's own word.
 */
export const DEFAULT_SIGNALS: Readonly<Record<string, readonly string[]>> = {
  personalisation: ['tcf.3', 'tcf.4', 'tcf.5', 'tcf.6', US_CHILD],
  personalisedPrice: [US_CHILD],
  profiling: ['tcf.3', 'tcf.5', US_CHILD],
  measurement: ['tcf.7', 'tcf.8', 'tcf.10', US_CHILD],
  location: ['tcf.feature.1', 'us.location'],
  sharing: [...US_OPT_OUTS, US_SERVICE_PROVIDER, GPC_WORD],
  'category.health': ['us.health'],
  'category.religion': ['us.religion'],
  'category.ethnicity': ['us.ethnicity'],
  'category.sexuality': ['us.sexuality'],
  'category.unionMembership': ['us.unionMembership'],
  'category.biometrics': ['us.biometrics'],
  'category.genetics': ['us.genetics'],
  'category.politics': [US_CHILD],
  'category.conviction': [US_CHILD],
};

/**
 * What signals say to one purpose. Words that were not said do not count: opt-outs and consents come from different
 * laws, and who is asked for the one is seldom asked for the other.
 * @param words that stand for the purpose
 * @returns null where none of them was said
 */
export function judgeSignals(said: SignalWords, words: readonly string[]): Saying | null {
  let judged: Saying | null = null;
  for (const word of words) {
    const saying = said.get(word);
    if (saying !== undefined && (judged === null || saying < judged)) judged = saying;
  }
  return judged;
}

/** The stricter of two words about one thing holds. */
export function addSaying(said: Map<string, Saying>, word: string, saying: Saying): void {
  const before = said.get(word);
  said.set(word, before === undefined || saying < before ? saying : before);
}
