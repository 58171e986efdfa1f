/**
 * The operation `consent`: what a person allows or refuses from now on, for which purpose, until when, and the proof
 * of it. The state goes into the record, where the very next turn reads it; basis, source and proof into the cold
 * section `consent`, with the changes before them. Both are one batch: acknowledged means both are on disk.
 *
 * All or nothing: one purpose that is wrong, and none is taken. Proofs are kept as they came and never altered. Where
 * no purpose is named, the proof's TCF and GPP strings say them (`decision/consent-signals.ts`); such a proof is kept
 * once for all of them, and the same strings again change nothing.
 */
import type { ConsentRules, Purpose } from '../decision/consent.ts';
import { judgeSignals, SAYS, type SignalWords } from '../decision/consent-signals.ts';
import type { Plain, Properties } from '../proto/messages.ts';
import type { Request } from '../proto/request.ts';
import { FAULT, type Fault } from '../proto/statuses.ts';
import type { ActorRuntime } from './actor-runtime.ts';
import { WITHDRAWN } from './consent-view.ts';
import { hasWish, keepWishes, readWish, standWishes, type Wish, wishSummary, withoutWishes } from './contact-wishes.ts';
import { HISTORY_MAX, type KeptStates, keepState, keptConsent, withProof } from './kept-states.ts';
import { STANDING } from './record-layout.ts';
import { keepRestriction, PROCESSING, readRestriction, standRestriction } from './restriction.ts';
import { findStanding } from './standing.ts';
import { StandingChanges } from './standing-changes.ts';

/** Why data may be used, in the words of the GDPR's article 6. */
export const BASES = [
  'consent',
  'contract',
  'legalObligation',
  'vitalInterests',
  'publicTask',
  'legitimateInterests',
] as const;
const PROOF_KEYS: Readonly<Record<string, number>> = {
  source: 256,
  version: 256,
  text: 4096,
  tcf: 4096,
  gpp: 4096,
  language: 35,
};
const DECADE_MILLIS = 10 * 366 * 86_400_000;

/** Entry of the section that holds the proofs of what strings said; no purpose has this name. */
const SIGNALS_ENTRY = '@signals';

interface Change {
  readonly purpose: Purpose;
  readonly isGranted: boolean;
  /** Epoch milliseconds; infinity without an end. */
  readonly until: number;
  readonly basis: string | null;
  /** An opt-out by signals is taken back: what holds is what held for somebody who said nothing. */
  readonly isUnset: boolean;
}

/** What one request says. */
interface Told {
  readonly changes: readonly Change[];
  readonly wishes: readonly Wish[];
  readonly restricts: boolean | null;
  readonly proof: Properties | null;
  readonly isBySignals: boolean;
}

/**
 * Reads the strings of a proof: `workers/privacy/consent-strings.ts`.
 * @returns the words, or what is wrong, beginning with the string's name
 */
export type ReadConsentStrings = (
  strings: { readonly tcf: string | null; readonly gpp: string | null; readonly isGpc: boolean },
  vendor: number | null,
  now: number,
) => SignalWords | string;

export class ConsentTurn {
  readonly #runtime: ActorRuntime;
  readonly #readStrings: ReadConsentStrings;
  readonly #standing: StandingChanges;
  /** Names and states of the last request, for the audit log. */
  summary = '';

  constructor(runtime: ActorRuntime, readStrings: ReadConsentStrings) {
    this.#runtime = runtime;
    this.#standing = new StandingChanges(runtime);
    this.#readStrings = readStrings;
  }

  run(request: Request, now: number): Fault | null {
    const runtime = this.#runtime;
    const { consent } = runtime.index.catalog;
    const named: Change[] = [];
    const wishes: Wish[] = [];
    let restricts: boolean | null = null;
    for (const [name, told] of Object.entries(request.purposes ?? {})) {
      let value = told;
      if (name === PROCESSING) {
        const read = readRestriction(told);
        if (typeof read === 'string') return runtime.fail(FAULT.invalidField, read);
        restricts = read;
        continue;
      }
      if (hasWish(told)) {
        const wish = readWish(name, told as Properties, runtime.index.catalog, now, now + DECADE_MILLIS); // a map, says `hasWish`
        if (typeof wish === 'string') return runtime.fail(FAULT.invalidField, wish);
        wishes.push(wish);
        value = withoutWishes(told as Properties); // likewise
        if (Object.keys(value).length === 0) continue;
      }
      const change = this.#read(name, value, now);
      if (typeof change === 'string') return runtime.fail(FAULT.invalidField, change);
      named.push(change);
    }
    const { proof } = request;
    const problem = proofProblem(proof);
    if (problem !== null) return runtime.fail(FAULT.invalidField, problem);
    const said = this.#saidBy(proof, now);
    if (typeof said === 'string') return runtime.fail(FAULT.invalidConsentString, `consent.proof.${said}`);
    const isBySignals = named.length + wishes.length === 0 && restricts === null;
    if (isBySignals && (said === null || consent.signals.every(({ words }) => judgeSignals(said, words) === null)))
      return runtime.fail(
        FAULT.invalidField,
        said === null
          ? 'consent.purposes: expected at least one purpose, or a proof with a TCF or GPP string'
          : 'consent.proof: its strings say nothing of a purpose here; name the purposes',
      );
    const contradicted = said === null ? null : contradictionOf(named, said, consent);
    if (contradicted !== null) return runtime.fail(FAULT.invalidField, contradicted);
    const fault = runtime.open(request, now);
    if (fault !== null) return fault;
    runtime.expireDue(now);
    const changes = isBySignals && said !== null ? this.#changesOf(said) : named;
    this.summary = changes
      .map(
        ({ purpose, isGranted, isUnset }) =>
          `${purpose.name}=${isUnset ? 'unset' : isGranted ? 'granted' : 'withdrawn'}`,
      )
      .join(' ');
    if (wishes.length > 0) this.summary = `${this.summary} ${wishSummary(wishes)}`.trim();
    if (restricts !== null)
      this.summary = `${this.summary} ${PROCESSING}=${restricts ? 'restricted' : 'lifted'}`.trim();
    if (changes.length + wishes.length === 0 && restricts === null) return null;
    const isDone =
      (changes.length === 0 || this.#stand(changes, now)) &&
      standWishes(runtime, wishes, now) &&
      (restricts === null || standRestriction(runtime, restricts, now)) &&
      this.#prove({ changes, wishes, restricts, proof, isBySignals }, now);
    return isDone ? null : runtime.fail(FAULT.internal, 'consent: the turn failed and was undone; see the log');
  }

  #saidBy(proof: Properties | null, now: number): SignalWords | string | null {
    const { tcf = null, gpp = null, gpc } = proof ?? {};
    if (tcf === null && gpp === null && gpc !== true) return null;
    const { tcfVendor } = this.#runtime.index.catalog.consent;
    const strings = { tcf: tcf as string | null, gpp: gpp as string | null, isGpc: gpc === true }; // looked at by `proofProblem`
    return this.#readStrings(strings, tcfVendor, now);
  }

  /** What strings change of the person bound: what they say again is no change. */
  #changesOf(said: SignalWords): Change[] {
    const kept = this.#kept();
    const changes: Change[] = [];
    for (const { purpose, words } of this.#runtime.index.catalog.consent.signals) {
      const judged = judgeSignals(said, words);
      const { granted, bySignals = false, unset = false, expiresAtEpochMillis } = kept[purpose.name]?.now ?? {};
      const isUnset = judged === SAYS.notRefused;
      const isGranted = isUnset ? purpose.isGrantedByDefault : judged === SAYS.yes;
      if (judged === null || (isUnset && (bySignals !== true || granted !== false || unset === true))) continue;
      const isSame = granted === isGranted && unset === isUnset && expiresAtEpochMillis === undefined;
      if (isSame && bySignals === true) continue;
      // The string says itself what it rests on.
      changes.push({ purpose, isGranted, until: Number.POSITIVE_INFINITY, basis: null, isUnset });
    }
    return changes;
  }

  #kept(): KeptStates {
    return keptConsent(this.#runtime);
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
    return { purpose, isGranted: granted, until, basis: typeof basis === 'string' ? basis : null, isUnset: false };
  }

  #stand(changes: readonly Change[], now: number): boolean {
    const { record, index } = this.#runtime;
    const standing = this.#standing;
    standing.begin(false);
    for (const { purpose, isGranted, until, isUnset } of changes) {
      standing.change(STANDING.consent, purpose.hash, !isUnset, now, isGranted ? until : WITHDRAWN, now);
      if (isUnset) continue;
      // Who allows a channel now has taken back that they refused it.
      const channel = isGranted ? index.catalog.channelByKey.get(purpose.name.replace(/^contact\./, '')) : undefined;
      const isContact = channel !== undefined && purpose.name === `contact.${channel.key}`;
      if (isContact && findStanding(record, STANDING.refusal, channel.hash) >= 0)
        standing.change(STANDING.refusal, channel.hash, false, now, 0, now);
      // Where they were last is kept for nobody who refuses that.
      if (purpose.name === 'location' && !isGranted && findStanding(record, STANDING.place, 0) >= 0)
        standing.change(STANDING.place, 0, false, now, 0, now);
    }
    return standing.commit(now);
  }

  #prove({ changes, wishes, restricts, proof, isBySignals }: Told, now: number): boolean {
    const kept = this.#kept();
    const entries = keepWishes(kept, wishes, proof, now);
    if (restricts !== null) Object.assign(entries, keepRestriction(kept, restricts, proof, now));
    const add = (name: string, state: Properties): void => {
      entries[name] = keepState(kept[name], state);
    };
    for (const { purpose, isGranted, until, basis, isUnset } of changes) {
      add(purpose.name, {
        granted: isGranted,
        atEpochMillis: now,
        ...(Number.isFinite(until) && isGranted ? { expiresAtEpochMillis: until } : {}),
        ...(basis === null ? {} : { basis }),
        ...(isUnset ? { unset: true } : {}),
        ...(isBySignals ? { bySignals: true } : proof === null ? {} : { proof }),
      });
    }
    if (isBySignals) entries[SIGNALS_ENTRY] = keepProof(kept, { atEpochMillis: now, proof: proof ?? {} });
    return this.#runtime.commitSection('consent', entries, now);
  }
}

/** The strings' proofs: as many as states are kept, and each that a purpose still rests on. */
function keepProof(kept: KeptStates, state: Properties): Plain {
  const { [SIGNALS_ENTRY]: signals, ...purposes } = kept;
  const resting = new Set(Object.values(purposes).map((one) => one?.now.atEpochMillis));
  const entry = keepState(signals, state);
  const dropped = (signals?.before ?? []).slice(HISTORY_MAX - 1).filter((one) => resting.has(one.atEpochMillis));
  return { ...entry, before: [...entry.before, ...dropped] };
}

/** A purpose that is named as granted while the string beside it says no. */
function contradictionOf(named: readonly Change[], said: SignalWords, { signals }: ConsentRules): string | null {
  for (const { purpose, isGranted } of named) {
    const words = signals.find((one) => one.purpose === purpose)?.words ?? [];
    const refused = words.find((word) => said.get(word) === SAYS.no);
    if (isGranted && refused !== undefined)
      return `consent.purposes.${purpose.name}.granted: the proof says no to it (${refused}); leave the proof or the purpose out`;
  }
  return null;
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
  const kept = keptConsent(runtime);
  const { now = {}, before = [] } = kept[SIGNALS_ENTRY] ?? {};
  const signals = [now, ...before];
  const out: Record<string, Plain> = {};
  for (const { name, index, isGrantedByDefault } of consent.purposes) {
    const told = kept[name];
    out[name] = {
      allowed: allows(index),
      ...(told === undefined
        ? { byDefault: isGrantedByDefault }
        : { ...withProof(told.now, signals), history: told.before.map((state) => withProof(state, signals)) }),
    };
  }
  return out;
}
