/**
 * A message's map of values, an event's properties or a person's traits, against what the catalog declares of each.
 * The map that came is never changed: it may be one that lasts, and a refused message is kept as it came. A copy is
 * made with the first value that becomes another; who sends clean values pays for looking and for nothing else.
 *
 *     properties ─▸ major units ─▸ each declared value ─▸ fallbacks, required ─▸ what is not declared ─▸ properties
 */
import type { Plain, Properties } from '../../proto/messages.ts';
import type { ZoneTable } from '../local-time.ts';
import { CleanResult, cleanValue } from './clean-value.ts';
import { currencyDigits, exactMinor } from './currency.ts';
import { refusalText } from './expectation.ts';
import { type EventRules, REFUSAL, type ValueRules } from './value-rules.ts';

/** What the server itself reads of any event, so that no catalog needs to declare it. */
const ALWAYS_DECLARED: ReadonlySet<string> = new Set(['action', 'channel', 'source']);
const NAME_LENGTH_SHOWN = 64;
const EMPTY: Properties = Object.freeze(Object.create(null) as Properties); // Object.create is typed any

/** One a turn, filled anew by each call. */
export class CleanedMap {
  /** What came where nothing changed, else a new map. */
  values: Properties | null = null;
  /** One of `REFUSAL`; then `message` says what and where, and `name` which value. */
  refusal = 0;
  message = '';
  name = '';
  /** Flags of the values that are kept and flagged, one of `FLAG` each, in pairs with their names. */
  readonly flaggedNames: string[] = [];
  readonly flags: number[] = [];
  readonly result = new CleanResult();
  #copy: Record<string, Plain> | null = null;

  begin(values: Properties | null): void {
    this.values = values;
    this.refusal = 0;
    this.message = '';
    this.name = '';
    this.#copy = null;
    if (this.flags.length === 0) return;
    this.flags.length = 0;
    this.flaggedNames.length = 0;
  }

  get(name: string): Plain | undefined {
    const { values } = this;
    return values !== null && Object.hasOwn(values, name) ? values[name] : undefined;
  }

  set(name: string, value: Plain): void {
    this.#own()[name] = value;
  }

  remove(name: string): void {
    delete this.#own()[name];
  }

  #own(): Record<string, Plain> {
    if (this.#copy === null) {
      // Without a prototype: a key may be called __proto__ or constructor.
      this.#copy = Object.assign(Object.create(null) as Record<string, Plain>, this.values); // typed any
      this.values = this.#copy;
    }
    return this.#copy;
  }

  refuse(refusal: number, name: string, message: string): false {
    this.refusal = refusal;
    this.name = name;
    this.message = message;
    return false;
  }

  flag(name: string, flag: number): void {
    this.flaggedNames.push(name);
    this.flags.push(flag);
  }
}

/**
 * Cleans one value of the map, if it is there. A null is nobody's value and is left to the caller.
 * @param path in front of the name, for messages
 * @returns false where it is refused
 */
export function cleanEntry(map: CleanedMap, rules: ValueRules, path: string, zones: ZoneTable, zone: number): boolean {
  const { name } = rules;
  if (rules.major !== null && !takeMajor(map, rules, path)) return false;
  const value = map.get(name);
  if (value === undefined || value === null) return true;
  const { result } = map;
  if (!cleanValue(rules, value, zones, zone, result))
    return map.refuse(result.refusal, name, refusalText(`${path}.${name}${result.at}`, rules, result.refusal, value));
  if (result.value !== value) map.set(name, result.value);
  if (result.flag !== 0) map.flag(name, result.flag);
  return true;
}

/** The amount that came in major units, under its own name. Where both came they must be the same. */
function takeMajor(map: CleanedMap, rules: ValueRules, path: string): boolean {
  const { major, name } = rules;
  const amount = major === null ? undefined : map.get(major.name);
  if (major === null || amount === undefined || amount === null) return true;
  const code = map.get(major.currencyFrom) ?? major.currency;
  const digits = typeof code === 'string' ? currencyDigits(code.trim().toUpperCase()) : null;
  const minor = digits === null ? Number.NaN : exactMinor(typeof amount === 'string' ? amount.trim() : amount, digits);
  const told = map.get(name);
  if (Number.isNaN(minor)) {
    const expected =
      digits === null
        ? `needs an ISO 4217 currency in ${major.currencyFrom}`
        : 'expected an amount of its currency in major units';
    return map.refuse(REFUSAL.format, major.name, `${path}.${major.name}: ${expected}`);
  }
  if (told !== undefined && told !== null && told !== minor)
    return map.refuse(REFUSAL.contradiction, name, refusalText(`${path}.${name}`, rules, REFUSAL.contradiction, told));
  map.set(name, minor);
  map.remove(major.name);
  return true;
}

/**
 * Cleans an event's properties.
 * @returns false where the event is refused; `map` says why, else what is to be taken
 */
export function cleanEvent(
  map: CleanedMap,
  rules: EventRules,
  properties: Properties | null,
  zones: ZoneTable,
  zone: number,
): boolean {
  map.begin(properties);
  for (const property of rules.properties) {
    if (!cleanEntry(map, property, 'track.properties', zones, zone)) return false;
    const value = map.get(property.name);
    if (value !== undefined && value !== null) continue;
    if (property.fallback !== undefined) map.set(property.name, property.fallback);
    else if (property.isRequired) {
      const text = refusalText(`track.properties.${property.name}`, property, REFUSAL.required, value);
      return map.refuse(REFUSAL.required, property.name, text);
    }
  }
  return rules.additional === 'keep' || settleAdditional(map, rules);
}

function settleAdditional(map: CleanedMap, rules: EventRules): boolean {
  for (const name of Object.keys(map.values ?? EMPTY)) {
    if (rules.byName.has(name) || ALWAYS_DECLARED.has(name)) continue;
    if (rules.additional === 'drop') {
      map.remove(name);
      continue;
    }
    const shown = name.length > NAME_LENGTH_SHOWN ? `${name.slice(0, NAME_LENGTH_SHOWN)}…` : name;
    const text = `track.properties.${shown}: the catalog declares no such property of ${rules.name}`;
    return map.refuse(REFUSAL.undeclared, name, text);
  }
  return true;
}
