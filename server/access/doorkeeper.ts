/**
 * The door of one worker thread: which upgrade becomes a connection, with what rights and limits, and when
 * an open connection has to go. Transports ask it; sessions get what it settled. Order of refusal: closed,
 * Origin, subprotocol, limits of the address, and the token last, because it is the dearest to judge.
 *
 *   upgrade ─▸ judge ─▸ admission ─▸ admit (limits held) ─▸ session … ─▸ leave
 *                                        every second: sweep ─▸ 1008 to those whose login no longer stands
 */
import { CLOSE_CODE } from '../../proto/limits.ts';
import { epochMillis, monotonicMicros } from '../../workers/clock.ts';
import { COUNTER, type MetricsWriter } from '../../workers/metrics-layout.ts';
import type { ConfigValues } from '../config-options.ts';
import { type Admission, chooseSubprotocol, type Session, type SessionLimits } from '../session.ts';
import type { Connection, UpgradeRequest, UpgradeVerdict } from '../transport.ts';
import { clientAddress } from './client-address.ts';
import { LOGIN_REFUSED, type LoginRefusal, type LoginVerdict } from './login-verdict.ts';
import { ANONYMOUS, type Login } from './principal.ts';
import { RateLimit } from './rate-limit.ts';

/** Callers with a bucket of their own on one worker, of each kind. */
const CALLERS_MAX = 100_000;

export type DoorOptions = Pick<
  ConfigValues,
  'allowedOrigins' | 'requestsPerSecondPerToken' | 'requestsPerSecondPerAddress' | 'connectionsPerAddressMax'
>;

/** The authenticator as the door uses it; null where nobody is asked for a token. */
export interface LoginJudge {
  login(credentials: {
    readonly authorization: string;
    readonly queryToken: string;
  }): LoginVerdict | Promise<LoginVerdict>;
  stands(login: Login, nowEpochMillis: number): boolean;
}

const REFUSAL_COUNTER = {
  missing: COUNTER.loginsMissing,
  invalid: COUNTER.loginsInvalid,
  expired: COUNTER.loginsExpired,
  forbidden: COUNTER.loginsForbidden,
  unavailable: COUNTER.loginsUnavailable,
} as const satisfies Record<LoginRefusal, number>;

export class Doorkeeper {
  readonly #options: DoorOptions;
  readonly #judge: LoginJudge | null;
  readonly #metrics: MetricsWriter;
  readonly #closedBecause: () => string | null;
  readonly #perToken: RateLimit;
  readonly #perAddress: RateLimit;
  /** Open connections by address; kept only where they are limited. */
  readonly #connections = new Map<string, number>();

  /** @param closedBecause why nobody is let in at the moment, or null */
  constructor(
    options: DoorOptions,
    judge: LoginJudge | null,
    metrics: MetricsWriter,
    closedBecause: () => string | null,
  ) {
    this.#options = options;
    this.#judge = judge;
    this.#metrics = metrics;
    this.#closedBecause = closedBecause;
    this.#perToken = new RateLimit(options.requestsPerSecondPerToken, CALLERS_MAX);
    this.#perAddress = new RateLimit(options.requestsPerSecondPerAddress, CALLERS_MAX);
  }

  /** Judges an upgrade; a promise where the token needs one. Never rejects. */
  judge(request: UpgradeRequest): UpgradeVerdict | Promise<UpgradeVerdict> {
    const subprotocol = chooseSubprotocol(request.subprotocols);
    const address = clientAddress(request.address);
    const refusal = this.#refusalBefore(request, subprotocol, address);
    if (refusal !== null) return this.#refuse(refusal);
    const name = subprotocol as string; // refused just above when there is none
    if (this.#judge === null) return this.#verdict({ login: ANONYMOUS }, name, request, address);
    const verdict = this.#judge.login(request);
    if (!(verdict instanceof Promise)) return this.#verdict(verdict, name, request, address);
    return verdict.then((late) => this.#verdict(late, name, request, address));
  }

  #refusalBefore(request: UpgradeRequest, subprotocol: string | null, address: string): Refused | null {
    const closed = this.#closedBecause();
    if (closed !== null) return [503, closed];
    if (request.origin !== '' && !this.#isOriginAllowed(request.origin))
      return [403, 'Origin is not one of the pages that may connect'];
    if (subprotocol === null) return [400, 'offer the subprotocol opportune.v1.msgpack or opportune.v1.json'];
    if (!this.#perAddress.takeOnce(address, monotonicMicros())) return [429, 'too many requests from this address'];
    return this.#hasRoom(address) ? null : [429, 'too many connections from this address'];
  }

  #verdict(verdict: LoginVerdict, subprotocol: string, { hasOptOut }: UpgradeRequest, address: string): UpgradeVerdict {
    if ('refusal' in verdict) {
      this.#metrics.add(REFUSAL_COUNTER[verdict.refusal], 1);
      // The one refusal that is not the caller's doing: its token may be good, and trying again helps.
      if (verdict.refusal === 'unavailable') return this.#refuse([503, 'tokens cannot be checked at the moment']);
      return this.#refuse([401, LOGIN_REFUSED]);
    }
    // Asked again: judging a token may have taken a moment.
    const closed = this.#closedBecause();
    if (closed !== null) return this.#refuse([503, closed]);
    return { accept: true, subprotocol, admission: { login: verdict.login, address, hasOptOut } satisfies Admission };
  }

  #refuse([httpStatus, reason]: Refused): UpgradeVerdict {
    this.#metrics.add(COUNTER.connectionsRefused, 1);
    return { accept: false, httpStatus, reason };
  }

  /** With a list, exactly these; without, pages of this machine. */
  #isOriginAllowed(origin: string): boolean {
    return isOriginAllowed(origin, this.#options.allowedOrigins);
  }

  #hasRoom(address: string): boolean {
    const { connectionsPerAddressMax } = this.#options;
    return connectionsPerAddressMax === 0 || (this.#connections.get(address) ?? 0) < connectionsPerAddressMax;
  }

  /** Takes the limits of a connection that has opened; null when there is no room for it after all. */
  admit({ login, address }: Admission): SessionLimits | null {
    if (!this.#hasRoom(address)) return null;
    const nowMicros = monotonicMicros();
    const perAddress = this.#perAddress.hold(address, nowMicros);
    if (perAddress === undefined) return null;
    const perToken = this.#perToken.hold(`${login.principal.tenant} ${login.principal.id}`, nowMicros);
    if (perToken === undefined) {
      this.#perAddress.release(perAddress);
      return null;
    }
    if (this.#options.connectionsPerAddressMax > 0)
      this.#connections.set(address, (this.#connections.get(address) ?? 0) + 1);
    return { perToken, perAddress };
  }

  /** Gives back what `admit` took. */
  leave({ address }: Admission, limits: SessionLimits): void {
    this.#perToken.release(limits.perToken);
    this.#perAddress.release(limits.perAddress);
    if (this.#options.connectionsPerAddressMax === 0) return;
    const count = (this.#connections.get(address) ?? 1) - 1;
    if (count > 0) this.#connections.set(address, count);
    else this.#connections.delete(address);
  }

  /** Closes a connection whose login has expired, or whose key was revoked, with 1008. */
  sweep(connection: Connection): void {
    const { login } = connection.session as Session; // set when it opened
    if (this.#judge === null || this.#judge.stands(login, epochMillis())) return;
    this.#metrics.add(COUNTER.connectionsDropped, 1);
    connection.close(CLOSE_CODE.policy, 'the token has expired or was revoked');
  }
}

type Refused = readonly [httpStatus: 400 | 401 | 403 | 429 | 503, reason: string];

/** Whether a page of this origin may connect: one that is named or, where none is, one of this machine. */
export function isOriginAllowed(origin: string, allowedOrigins: readonly string[]): boolean {
  return allowedOrigins.length > 0 ? allowedOrigins.includes(origin) : isLoopbackOrigin(origin);
}

function isLoopbackOrigin(origin: string): boolean {
  return /^https?:\/\/(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d{1,5})?$/.test(origin);
}
