/**
 * The operation `consent`: what a person allows or refuses from now on, for which purpose, until when, and the proof
 * of it. The state goes into the record, where the very next turn reads it; basis, source and proof into the cold
 * section `consent`, with the changes before them. Both are one batch: acknowledged means both are on disk.
 *
 * All or nothing: one purpose that is wrong, and none is taken. Proofs are kept as they came and never altered.
 */
import type { Purpose } from '../decision/consent.ts';
import type { Plain, Properties } from '../proto/messages.ts';
import type { Request } from '../proto/request.ts';
import { FAULT, type Fault } from '../proto/statuses.ts';
import type { ActorRuntime } from './actor-runtime.ts';
import { WITHDRAWN } from './consent-view.ts';
import { STANDING } from './record-layout.ts';
import { beginStanding, changeStanding, findStanding } from './standing.ts';

/** Why data may be used, in the words of the GDPR's article 6. */
export const BASES = [
  'consent',
  'contract',
  'legalObligation',
  'vitalInterests',
  'publicTask',
  'legitimateInterests',
] as const;
/** Changes of one purpose that are kept beside the one in force. */
const HISTORY_MAX = 20;
const PROOF_KEYS: Readonly<Record<string, number>> = {
  source: 256,
  version: 256,
  text: 4096,
  tcf: 4096,
  gpp: 4096,
  language: 35,
};
const DECADE_MILLIS = 10 * 366 * 86_400_000;

interface Change {
  readonly purpose: Purpose;
  readonly isGranted: boolean;
  /** Epoch milliseconds; infinity without an end. */
  readonly until: number;
  readonly basis: string | null;
}

export class ConsentTurn {
  readonly #runtime: ActorRuntime;
  /** Names and states of the last request, for the audit log. */
  summary = '';

  constructor(runtime: ActorRuntime) {
    this.#runtime = runtime;
  }

  run(request: Request, now: number): Fault | null {
    const runtime = this.#runtime;
    const changes: Change[] = [];
    for (const [name, value] of Object.entries(request.purposes ?? {})) {
      const change = this.#read(name, value, now);
      if (typeof change === 'string') return runtime.fail(FAULT.invalidField, change);
      changes.push(change);
    }
    if (changes.length === 0)
      return runtime.fail(FAULT.invalidField, 'consent.purposes: expected at least one purpose');
    const problem = proofProblem(request.proof);
    if (problem !== null) return runtime.fail(FAULT.invalidField, problem);
    const fault = runtime.open(request, now);
    if (fault !== null) return fault;
    runtime.expireDue(now);
    this.summary = changes
      .map(({ purpose, isGranted }) => `${purpose.name}=${isGranted ? 'granted' : 'withdrawn'}`)
      .join(' ');
    return this.#stand(changes, now) && this.#prove(changes, request.proof, now)
      ? null
      : runtime.fail(FAULT.internal, 'consent: the turn failed and was undone; see the log');
  }

  #read(name: string, value: Plain | undefined, now: number): Change | string {
    const at = `consent.purposes.${name.slice(0, 64)}`;
    const { consent } = this.#runtime.index.catalog;
    const purpose = consent.byName.get(name);
    if (purpose === undefined)
      return `${at}: no such purpose; there are ${consent.purposes.map((one) => one.name).join(', ')}`;
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return `${at}: expected a map`;
    const { granted, expiresAtEpochMillis, basis, ...others } = value as Properties; // a map, looked at above
    const [unknown] = Object.keys(others);
    if (unknown !== undefined)
      return `${at}.${unknown.slice(0, 64)}: not known here; expected granted, expiresAtEpochMillis, basis`;
    if (typeof granted !== 'boolean') return `${at}.granted: expected a boolean`;
    if (basis !== undefined && !(BASES as readonly unknown[]).includes(basis))
      return `${at}.basis: expected one of ${BASES.join(', ')}`;
    if (expiresAtEpochMillis !== undefined && expiresAtEpochMillis !== null) {
      const isInstant = typeof expiresAtEpochMillis === 'number' && Number.isSafeInteger(expiresAtEpochMillis);
      if (!isInstant || expiresAtEpochMillis <= now || expiresAtEpochMillis > now + DECADE_MILLIS)
        return `${at}.expiresAtEpochMillis: expected an instant from now on, ten years ahead at most`;
      if (!granted) return `${at}.expiresAtEpochMillis: what is withdrawn has no end; grant it again when it is`;
    }
    const until = typeof expiresAtEpochMillis === 'number' ? expiresAtEpochMillis : Number.POSITIVE_INFINITY;
    return { purpose, isGranted: granted, until, basis: typeof basis === 'string' ? basis : null };
  }

  #stand(changes: readonly Change[], now: number): boolean {
    const { effect, record, index } = this.#runtime;
    beginStanding(effect);
    for (const { purpose, isGranted, until } of changes) {
      changeStanding(effect, STANDING.consent, purpose.hash, true, now, isGranted ? until : WITHDRAWN);
      // Who allows a channel now has taken back that they refused it.
      const channel = isGranted ? index.catalog.channelByKey.get(purpose.name.replace(/^contact\./, '')) : undefined;
      const isContact = channel !== undefined && purpose.name === `contact.${channel.key}`;
      if (isContact && findStanding(record, STANDING.refusal, channel.hash) >= 0)
        changeStanding(effect, STANDING.refusal, channel.hash, false, now, 0);
    }
    return this.#runtime.commit(now);
  }

  #prove(changes: readonly Change[], proof: Properties | null, now: number): boolean {
    const kept = this.#runtime.readCold().sections?.consent ?? {};
    const entries: Record<string, Plain> = {};
    for (const { purpose, isGranted, until, basis } of changes) {
      const before = kept[purpose.name] as
        | { readonly now: Properties; readonly before: readonly Properties[] }
        | undefined; // written below
      const state = {
        granted: isGranted,
        atEpochMillis: now,
        ...(Number.isFinite(until) && isGranted ? { expiresAtEpochMillis: until } : {}),
        ...(basis === null ? {} : { basis }),
        ...(proof === null ? {} : { proof }),
      };
      const history = before === undefined ? [] : [before.now, ...before.before].slice(0, HISTORY_MAX);
      entries[purpose.name] = { now: state, before: history };
    }
    return this.#runtime.commitSection('consent', entries, now);
  }
}

function proofProblem(proof: Properties | null): string | null {
  for (const [name, value] of Object.entries(proof ?? {})) {
    const at = `consent.proof.${name.slice(0, 64)}`;
    if (name === 'gpc') {
      if (typeof value !== 'boolean') return `${at}: expected a boolean`;
    } else if (name === 'atEpochMillis') {
      if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0)
        return `${at}: expected epoch milliseconds`;
    } else {
      const most = Object.hasOwn(PROOF_KEYS, name) ? PROOF_KEYS[name] : undefined;
      if (most === undefined)
        return `${at}: not known here; expected gpc, atEpochMillis, ${Object.keys(PROOF_KEYS).join(', ')}`;
      if (typeof value !== 'string' || value === '' || value.length > most)
        return `${at}: expected a string of 1 to ${most} characters`;
    }
  }
  return null;
}

/** What the person allows, purpose by purpose, with proof and history: for `profile`. */
export function describeConsent(runtime: ActorRuntime, allows: (purpose: number) => boolean): Record<string, Plain> {
  const { consent } = runtime.index.catalog;
  const kept = runtime.readCold().sections?.consent ?? {};
  const out: Record<string, Plain> = {};
  for (const { name, index, isGrantedByDefault } of consent.purposes) {
    const told = kept[name] as { readonly now: Properties; readonly before: readonly Properties[] } | undefined; // written by this file
    out[name] = {
      allowed: allows(index),
      ...(told === undefined ? { byDefault: isGrantedByDefault } : { ...told.now, history: told.before }),
    };
  }
  return out;
}
