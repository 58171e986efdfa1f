/** What a checked catalog says of devices that people share. */
import type { DeviceRules } from '../../decision/device.ts';
import type { CatalogFile } from './catalog-schema.ts';
import { parseDurationMillis } from './durations.ts';

export function compileDevice({ abuse }: Pick<CatalogFile, 'abuse'>): DeviceRules | null {
  const device = abuse?.device;
  if (device === undefined) return null;
  const { property, personsMax, per, except = [] } = device;
  return { property, personsMax, perMillis: parseDurationMillis(per) ?? 0, except: new Set(except) };
}
