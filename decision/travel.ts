/**
 * Impossible trips: two events of one person, with the places they say they were at, imply a speed that nobody travels at. The
 * place kept is rounded to a tenth of a degree, some eleven kilometres, which is all that a speed needs to know of anybody.
 * Its arithmetic is done once, in the turn of the event, and what comes of it is journalled: so `Math.sin` may differ
 * between engines. Called by `actors/travel-watch.ts`.
 */
export interface TravelRules {
  /** Names of the properties in degrees: north and east are positive. */
  readonly latitude: string;
  readonly longitude: string;
  /** Faster is impossible. */
  readonly kmPerHourMax: number;
}

/** Of an event that the server itself tells when a trip was impossible. */
export const IMPOSSIBLE_TRAVEL = 'impossible_travel';

const EARTH_KM = 6_371;
const HOUR_MILLIS = 3_600_000;
const TENTHS = 10;
const LONGITUDES = 3_600;
/** Both places rounded: the way may be so much shorter than it looks. */
const ROUNDING_KM = 16;
/** Two events of one minute may be told by clocks that differ. */
const CLOCKS_MILLIS = 60_000;

/** A place as one number, or NaN for what is none. @param latitude, longitude in degrees */
export function packPlace(latitude: unknown, longitude: unknown): number {
  if (typeof latitude !== 'number' || typeof longitude !== 'number') return Number.NaN;
  if (!(Math.abs(latitude) <= 90 && Math.abs(longitude) <= 180)) return Number.NaN;
  const north = Math.round((latitude + 90) * TENTHS);
  const east = Math.round((longitude + 180) * TENTHS) % LONGITUDES;
  return north * LONGITUDES + east;
}

/** Kilometres between two packed places, along the surface. */
export function kilometresBetween(one: number, other: number): number {
  const [latitude1, longitude1] = radiansOf(one);
  const [latitude2, longitude2] = radiansOf(other);
  const halfNorth = Math.sin((latitude2 - latitude1) / 2);
  const halfEast = Math.sin((longitude2 - longitude1) / 2);
  const chord = halfNorth ** 2 + Math.cos(latitude1) * Math.cos(latitude2) * halfEast ** 2;
  return 2 * EARTH_KM * Math.asin(Math.sqrt(Math.min(1, chord)));
}

/** The least speed, in km/h, at which somebody can have been at both places at these instants. */
export function leastSpeed(one: number, oneAt: number, other: number, otherAt: number): number {
  const km = Math.max(0, kilometresBetween(one, other) - ROUNDING_KM);
  const hours = (Math.abs(otherAt - oneAt) + CLOCKS_MILLIS) / HOUR_MILLIS;
  return km / hours;
}

function radiansOf(place: number): [latitude: number, longitude: number] {
  const north = Math.floor(place / LONGITUDES) / TENTHS - 90;
  const east = (place % LONGITUDES) / TENTHS - 180;
  return [(north * Math.PI) / 180, (east * Math.PI) / 180];
}
