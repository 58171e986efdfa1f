/**
 * What a person said of one thing, as the cold section `consent` keeps it: what holds, and up to 20 earlier states.
 * States hold their proof, or say that strings were the proof: those are kept once for all purposes they speak of.
 * Called by the turn of the operation `consent` and by `profile`.
 */
import type { Properties } from '../proto/messages.ts';
import type { ColdRecord } from './ports.ts';

export const HISTORY_MAX = 20;

export interface KeptState {
  readonly now: Properties;
  readonly before: readonly Properties[];
}

/** By what was said of: purposes, strings, wishes. */
export type KeptStates = Readonly<Record<string, KeptState | undefined>>;

/** The cold section `consent` of the person bound. */
export function keptConsent(runtime: { readCold(): ColdRecord }): KeptStates {
  const kept: unknown = runtime.readCold().sections?.consent;
  return (kept ?? {}) as KeptStates; // written by the turn of `consent`
}

/** The entry once `state` holds. */
export function keepState(kept: KeptState | undefined, state: Properties): { now: Properties; before: Properties[] } {
  return { now: state, before: kept === undefined ? [] : [kept.now, ...kept.before].slice(0, HISTORY_MAX) };
}

/** A state with its proof. @param signals states of the strings, found by the instant */
export function withProof(state: Properties, signals: readonly Properties[]): Properties {
  const { bySignals, ...own } = state;
  if (bySignals !== true) return own;
  const proof = signals.find(({ atEpochMillis }) => atEpochMillis === own.atEpochMillis)?.proof;
  return proof === undefined ? own : { ...own, proof };
}
