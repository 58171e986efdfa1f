/**
 * Devices that too many people use: what a catalog says of them. An event names the device it came from by a property; how
 * many people a device had is counted in the device's own record (`actors/device-turn.ts`), and whoever uses one that too
 * many do is told so as an event, which tags count as they count any.
 */
export interface DeviceRules {
  /** Name of the events' property that says which device. */
  readonly property: string;
  /** More people on one device than this are too many; below `DEVICE_PEOPLE_KEPT`. */
  readonly personsMax: number;
  /** Of people seen within so many milliseconds. */
  readonly perMillis: number;
  /** Devices that many share with good reason. */
  readonly except: ReadonlySet<string>;
}

/** Of an event that the server itself tells who uses such a device: `persons`, and `device` as a keyed hash. */
export const SHARED_DEVICE = 'shared_device';

/** People of one device told apart; the longest unseen gives way, so a count stops here. */
export const DEVICE_PEOPLE_KEPT = 64;

const NAME_LENGTH_MAX = 256;
/** Not the `device:` that visitors are told under and joined from: that record is a person's by then. */
const DEVICE_KEY = 'abuse.device:';

/** The device as its record's key names it, or '' where the value names none that is counted. */
export function deviceKey(rules: DeviceRules, value: unknown): string {
  const isName = typeof value === 'string' || (typeof value === 'number' && Number.isSafeInteger(value));
  if (!isName) return '';
  const name = String(value);
  return name === '' || name.length > NAME_LENGTH_MAX || rules.except.has(name) ? '' : DEVICE_KEY + name;
}

/**
 * What a device's record keeps of a person: 16 bits, of both their keyed hashes. Enough to tell some dozens of people apart;
 * of a million people some fifteen have the same, so it says of nobody who they were, and the same person is another
 * number on each device. Two people of one number count as one: of five in one device of 6,500.
 */
export function personMark(personLow: number, personHigh: number, deviceHigh: number): number {
  const mixed = Math.imul(personLow ^ deviceHigh, 0x9e37_79b1) ^ personHigh;
  return Math.imul(mixed ^ (mixed >>> 15), 0x85eb_ca6b) >>> 16;
}
