/**
 * What a checked rule reads, by name: for an export, which tells a person what of their data a decision was made of.
 * Whoever reads counts of events reads behaviour, named by the event.
 */
import type { EventCounter, ValueReading } from '../../decision/catalog.ts';
import type { RuleReading } from '../../decision/rule.ts';
import { type Expression, operandsOf } from './rule-syntax.ts';

/** Names by index, of what rules name by number. */
export interface ReadNames {
  readonly counters: readonly EventCounter[];
  readonly valueReadings: readonly ValueReading[];
  readonly tags: readonly string[];
  readonly journeys: readonly string[];
  readonly feeds: readonly string[];
}

export function readsOf(expression: Expression, names: ReadNames): RuleReading[] {
  const found = new Map<string, RuleReading>();
  const collect = (e: Expression): void => {
    const reading = readingOf(e, names);
    if (reading !== null) found.set(`${reading.group} ${reading.name}`, reading);
    for (const operand of operandsOf(e)) collect(operand);
  };
  collect(expression);
  return [...found.values()];
}

function readingOf(e: Expression, names: ReadNames): RuleReading | null {
  const of = (group: RuleReading['group'], name = ''): RuleReading => ({ group, name, trait: -1 });
  switch (e.op) {
    case 'trait':
      return { group: e.trait.isFact ? 'facts' : 'traits', name: e.trait.name, trait: e.trait.index };
    case 'counter':
    case 'unusual':
      return of('behaviour', names.counters[e.counter]?.event);
    case 'values':
      return of('behaviour', names.valueReadings[e.reading]?.event);
    case 'tag':
    case 'tagWeight':
      return of('tags', names.tags[e.tag]);
    case 'stage':
      return of('stages', names.journeys[e.journey]);
    case 'feed':
      return of('feeds', names.feeds[e.feed]);
    case 'context':
      return of('context', e.key);
    case 'consent':
      return of('consent', e.purpose);
    case 'now':
      return of('time', e.field);
    default:
      return null;
  }
}
