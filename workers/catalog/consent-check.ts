/**
 * What the shape check cannot see of a catalog's purposes: a trait's must be one of them, a contact purpose must have its channel,
 * and an age that is asked for must be a number. Called beside `catalog-check.ts`.
 */

import { contactPurpose, PURPOSE_NAMES, PURPOSES_MAX, SENSITIVE_CATEGORIES } from '../../decision/consent.ts';
import { SIGNAL_WORDS } from '../../decision/consent-signals.ts';
import { checkCount, checkHashes } from './catalog-check.ts';
import { nearestMatch } from './nearest-match.ts';
import { type FindingSink, mapOf, textOf } from './raw-values.ts';

/** Every purpose that a person may allow or refuse under this catalog; of a wrong one as far as that can be told. */
export function purposeNames(root: unknown): string[] {
  const catalog = mapOf(root);
  const categories = Object.values(mapOf(mapOf(catalog.profile).traits)).flatMap(
    (raw) => textOf(mapOf(raw).category) ?? [],
  );
  const own = Object.keys(mapOf(mapOf(catalog.consent).purposes));
  const channels = Object.keys(mapOf(catalog.channels)).map(contactPurpose);
  return [...new Set([...PURPOSE_NAMES, ...channels, ...own, ...categories.map((name) => `category.${name}`)])];
}

export function checkConsent(root: unknown, sink: FindingSink): void {
  const catalog = mapOf(root);
  const channels = Object.keys(mapOf(catalog.channels));
  const consent = mapOf(catalog.consent);
  const traits = mapOf(mapOf(catalog.profile).traits);
  const own = Object.keys(mapOf(consent.purposes));
  const known = new Set<string>([...PURPOSE_NAMES, ...channels.map(contactPurpose), ...own]);
  const categories = new Set<string>();
  for (const [name, raw] of Object.entries(traits)) {
    const { purpose, category } = mapOf(raw);
    if (typeof category === 'string') categories.add(category);
    if (typeof category === 'string' && purpose !== undefined)
      sink.find(
        ['profile', 'traits', name, 'purpose'],
        'a trait of a sensitive category needs that category and no other purpose',
      );
    else if (typeof purpose === 'string' && !known.has(purpose))
      sink.find(['profile', 'traits', name, 'purpose'], `"${purpose}" is no purpose`, {
        nearest: nearestMatch(purpose, [...known]),
      });
  }
  for (const name of own) {
    if (name === 'processing' || name === 'contact')
      sink.find(['consent', 'purposes', name], `"${name}" is a word of its own and no purpose`);
    const isContact = name.startsWith('contact.');
    if (isContact && !channels.includes(name.slice('contact.'.length)))
      sink.find(['consent', 'purposes', name], 'there is no such channel');
    if (
      name.startsWith('category.') &&
      !(SENSITIVE_CATEGORIES as readonly string[]).includes(name.slice('category.'.length))
    )
      sink.find(['consent', 'purposes', name], 'there is no such category of sensitive data');
  }
  checkSignals(mapOf(consent.signals), new Set([...known, ...[...categories].map((name) => `category.${name}`)]), sink);
  checkCount(['consent', 'purposes'], known.size + categories.size, PURPOSES_MAX, sink);
  const ageTrait = textOf(consent.ageTrait) ?? 'age';
  const { type } = mapOf(traits[ageTrait]);
  if (typeof consent.minorAge === 'number' && type !== 'integer' && type !== 'number')
    sink.find(['consent', 'minorAge'], `needs a trait "${ageTrait}" that is an integer or a number`);
  const purposes = [...known];
  checkHashes('purpose', purposes, () => ['consent', 'purposes'], sink);
}

function checkSignals(signals: Record<string, unknown>, purposes: ReadonlySet<string>, sink: FindingSink): void {
  for (const [name, raw] of Object.entries(signals)) {
    if (!purposes.has(name))
      sink.find(['consent', 'signals', name], `"${name}" is no purpose`, {
        nearest: nearestMatch(name, [...purposes]),
      });
    for (const [i, word] of (Array.isArray(raw) ? raw : []).entries()) {
      if (typeof word === 'string' && !SIGNAL_WORDS.has(word))
        sink.find(['consent', 'signals', name, i], `"${word}" is no word of a consent string`, {
          nearest: nearestMatch(word, [...SIGNAL_WORDS]),
        });
    }
  }
}
