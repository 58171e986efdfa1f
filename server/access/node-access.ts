/**
 * Access on the main thread: the authenticator of admin HTTP, and the watch over the files of keys and
 * certificates. What is wrong with one of them is said here, once; the workers look at the keys themselves.
 * Certificates are read here only and handed to whoever listens.
 */
import type { ConfigValues } from '../config-options.ts';
import type { Log } from '../log.ts';
import { OperatorError } from '../operator-error.ts';
import type { TransportTls } from '../transport.ts';
import { isAuthenticated } from './access-options.ts';
import type { Authenticator } from './authenticator.ts';
import { readTlsFiles } from './tls-files.ts';

const LOOK_MILLIS = 1000;

export class NodeAccess {
  /** Null where nobody is asked for a token. */
  readonly authenticator: Authenticator | null;
  tls: TransportTls | null;
  readonly #config: ConfigValues;
  readonly #log: Log;
  #timer: NodeJS.Timeout | undefined;
  #tlsProblem = '';
  #onTls: (tls: TransportTls) => void = () => {};
  #onRefresh: () => void = () => {};

  /** Rejects with OperatorError ACCESS_KEYS, ACCESS_JWKS or TLS_FILES. */
  static async open(config: ConfigValues, log: Log): Promise<NodeAccess> {
    const authenticator = isAuthenticated(config)
      ? await (await import('./authenticator.ts')).Authenticator.open(config)
      : null;
    return new NodeAccess(config, log, authenticator, readTlsFiles(config));
  }

  private constructor(config: ConfigValues, log: Log, authenticator: Authenticator | null, tls: TransportTls | null) {
    this.#config = config;
    this.#log = log;
    this.authenticator = authenticator;
    this.tls = tls;
  }

  /** @param onTls gets certificates that have changed. @param onRefresh tells the workers to look at once. */
  watch(onTls: (tls: TransportTls) => void, onRefresh: () => void): void {
    this.#onTls = onTls;
    this.#onRefresh = onRefresh;
    if (this.authenticator === null && this.tls === null) return;
    this.#timer = setInterval(() => this.#look(), LOOK_MILLIS).unref();
  }

  /** As the timer does, now, and the workers too. */
  refresh(): void {
    this.#look();
    this.#onRefresh();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const { changed, problems } = this.authenticator?.refresh() ?? { changed: [], problems: [] };
    for (const path of changed) this.#log.info({ path }, 'keys read again');
    for (const problem of problems)
      this.#log.error({ ...reasonOf(problem) }, 'keys could not be read again; those before stay in force');
    if (this.tls !== null) this.#lookAtTls(this.tls);
  }

  #lookAtTls(before: TransportTls): void {
    try {
      const tls = readTlsFiles(this.#config);
      this.#tlsProblem = '';
      if (tls === null || (tls.cert === before.cert && tls.key === before.key && tls.ca === before.ca)) return;
      this.tls = tls;
      this.#onTls(tls);
      this.#log.info({ path: this.#config.tlsCertFile }, 'certificate read again');
    } catch (error) {
      const facts = reasonOf(error);
      if (facts.reason !== this.#tlsProblem)
        this.#log.error(facts, 'certificate could not be read again; the one before stays in force');
      this.#tlsProblem = facts.reason;
    }
  }
}

function reasonOf(problem: unknown): { readonly code: string; readonly reason: string } {
  const reason = problem instanceof Error ? problem.message : String(problem);
  return { code: problem instanceof OperatorError ? problem.code : 'ACCESS_FILES', reason };
}
