/**
 * A file's values before anything is known of their types: the checks look at those of the right type only, so that a
 * mistake in one place does not hide another. Also where their findings go.
 */
import type { DocumentPath } from './yaml-source.ts';

export type RawMap = Readonly<Record<string, unknown>>;

/** Where findings go; `ruleOffset` points into the text at `path`. */
export interface FindingSink {
  find(path: DocumentPath, reason: string, details?: FindingDetails): void;
}

interface FindingDetails {
  readonly part?: 'key' | 'value';
  readonly nearest?: string | undefined;
  readonly ruleOffset?: number;
}

export function mapOf(value: unknown): RawMap {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as RawMap) : {}; // just checked
}

export function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

export function textOf(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}

export function numberOf(value: unknown): number | null {
  return typeof value === 'number' && Number.isFinite(value) ? value : null;
}

/** Traits that no price and no key of a feed may depend on, and so no context value of their name. */
export function hiddenTraits(catalog: RawMap): string[] {
  const traits = Object.entries(mapOf(mapOf(catalog.profile).traits));
  return traits
    .filter(([, trait]) => mapOf(trait).protected === true || mapOf(trait).sensitive === true)
    .map(([name]) => name);
}
