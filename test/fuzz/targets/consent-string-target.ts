/**
 * TCF and GPP strings, which anybody who may call `consent` sends: whatever they hold, the answer is words or a
 * refusal by name, the same twice, at once, and without a piece of the string in the message.
 */
import { SAYS, SIGNAL_WORDS } from '../../../decision/consent-signals.ts';
import { readConsentStrings } from '../../../workers/privacy/consent-strings.ts';
import { US_SECTIONS } from '../../../workers/privacy/us-sections.ts';
import { canada, gpp, NOTIFIED, tcf } from '../../workers/privacy/made-consent-strings.ts';
import { bytesOf, demand, type FuzzTarget, fold, foldLetters } from '../fuzz-target.ts';

const NOW = Date.UTC(2026, 5, 1);
const VENDOR = 812;
const SAYINGS: readonly number[] = Object.values(SAYS);

function run(input: Uint8Array): number {
  const kind = input[0] ?? 0;
  const text = Buffer.from(input.subarray(1)).toString('latin1');
  const strings = { tcf: kind & 1 ? text : null, gpp: kind & 1 ? null : text, isGpc: (kind & 2) !== 0 };
  const vendor = kind & 4 ? VENDOR : null;
  const read = readConsentStrings(strings, vendor, NOW);
  const again = readConsentStrings(strings, vendor, NOW);
  if (typeof read === 'string' || typeof again === 'string') {
    demand(read === again, 'a string is refused once and taken once');
    const message = String(read);
    demand(/^(?:tcf|gpp): [a-z]/.test(message), 'a refusal says which string');
    demand(text.length < 12 || !message.includes(text), 'a refusal does not quote the string');
    return foldLetters(1, message);
  }
  demand([...read].join() === [...again].join(), 'a string says the same twice');
  let signature = 2;
  for (const [word, saying] of read) {
    demand(SIGNAL_WORDS.has(word) && SAYINGS.includes(saying), 'a word of the vocabulary, and a saying');
    signature = fold(foldLetters(signature, word), saying);
  }
  return signature;
}

const SEEDS = [
  `\u0001${tcf({ purposes: [1, 3, 4], features: [1], vendors: [5, VENDOR], disclosed: [5, VENDOR] })}`,
  `\u0005${tcf({ interests: [7], interestVendors: [VENDOR] })}`,
  `\u0000${gpp({ usnat: { SaleOptOut: 1, Gpc: true } })}`,
  `\u0000${gpp({ usca: { SharingOptOut: 1 }, uspv1: { OptOutSale: 'Y' } })}`,
  `\u0000DBABMA~${tcf({ purposes: [4] })}`,
  `\u0000${canada({ express: [3, 4], implied: [7], features: [1] })}`,
  `\u0004${canada({ express: [4], expressVendors: [5, VENDOR], disclosed: [VENDOR], restrictions: [[4, 1, [VENDOR]]] })}`,
  // Each section of the USA, with sensitive data on every place.
  ...US_SECTIONS.map(({ kind, version, sensitive }) => {
    const all = sensitive.map((_, i) => i % 3);
    const fields = sensitive.length === 0 ? {} : { SensitiveDataProcessing: all };
    const versioned = kind === 'UsNat' ? { ...NOTIFIED, Version: version } : {};
    return `\u0000${gpp({ [kind.toLowerCase()]: { ...versioned, ...fields, SaleOptOutNotice: 1, SaleOptOut: 2 } })}`;
  }),
  '\u0000DBAA',
];

export const CONSENT_STRING_TARGET: FuzzTarget = {
  name: 'consent-strings',
  about: 'TCF and GPP strings are words or a refusal by name, whatever is in them',
  share: 1,
  inputBytesMax: 1024,
  covers: [
    'workers/privacy/consent-strings',
    'workers/privacy/string-bounds',
    'workers/privacy/canada-string',
    'workers/privacy/us-sections',
    'decision/consent-signals',
  ],
  dictionary: bytesOf(['.', '~', 'DBAA', 'DBABMA~', '____', 'AAAA', '1YNN', '1---', 'BVQqAAAAAgA.QA', '.YA', '.QA']),
  seeds: () => bytesOf(SEEDS),
  create: () => ({ run }),
};
