/**
 * The node's part of the audit log: opens its chain at a start, puts in what the node does and what its workers tell,
 * shuts the workers' gate while the log cannot be written, and says where the chain stands so that operators can keep
 * that elsewhere. Runs on the main thread, which is the chain's one writer; called by `node.ts`.
 */
import { anchoredHead, chainFolder } from '../workers/audit/audit-files.ts';
import { AuditGate, type AuditMemory } from '../workers/audit/audit-gate.ts';
import { AuditLog } from '../workers/audit/audit-log.ts';
import {
  type AuditDetail,
  type AuditEvent,
  type AuditKind,
  deriveAuditKey,
  LOCAL_ACTOR,
} from '../workers/audit/audit-record.ts';
import { epochMillis } from '../workers/clock.ts';
import { type ResolvedConfig, shownValue } from './config.ts';
import { CONFIG_KEYS } from './config-options.ts';
import type { Log } from './log.ts';
import { OperatorError } from './operator-error.ts';

export interface NodeAuditOptions {
  readonly dataFolder: string;
  /** The node's secret. */
  readonly secret: Uint8Array;
  readonly memory: AuditMemory;
  readonly log: Log;
}

export class NodeAudit {
  readonly #options: NodeAuditOptions;
  readonly #key: Uint8Array;
  readonly #log: AuditLog;
  readonly #gate: AuditGate;

  /** @throws OperatorError AUDIT_UNUSABLE */
  static async open(options: NodeAuditOptions): Promise<NodeAudit> {
    const { dataFolder, memory, log } = options;
    const gate = new AuditGate(memory);
    const key = deriveAuditKey(options.secret);
    const onState = (problem: string | null): void => {
      gate.isOpen = problem === null;
      if (problem === null) log.info('audit log writes again');
      else log.error({ problem }, "audit log cannot be written: no person's data is shown; trying again every second");
    };
    try {
      const audit = await AuditLog.open({ dataFolder, chain: 'node', key, onState });
      return new NodeAudit(options, key, audit, gate);
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new OperatorError('AUDIT_UNUSABLE', `the audit log in ${dataFolder}/audit cannot be used: ${reason}`, {
        advice: 'Check the owner and mode of that folder, and that the disk has room.',
        cause,
      });
    }
  }

  private constructor(options: NodeAuditOptions, key: Uint8Array, log: AuditLog, gate: AuditGate) {
    this.#options = options;
    this.#key = key;
    this.#log = log;
    this.#gate = gate;
  }

  /** The start, with every option that is not the default, and what was found of the log. */
  begin(config: ResolvedConfig, facts: AuditDetail, isNewFolder: boolean): void {
    const { log } = this.#options;
    const { head, damage, isNew, tornBytes } = this.#log;
    if (damage !== null) {
      const { file, line, reason } = damage;
      log.error({ file, line, reason }, 'audit log is damaged; see `opportune audit verify`. It goes on in a new file');
    } else if (isNew && !isNewFolder) log.warn('audit log begins anew: this data folder had none');
    else
      log.info(
        { records: head.sequence, head: head.hash, tornBytes },
        'audit log goes on; keep this head elsewhere to anchor it',
      );
    const options = CONFIG_KEYS.filter((key) => config.sources[key] !== 'default');
    const shown = options.map((key) => `${key}=${String(shownValue(config, key))} (${config.sources[key]})`).join(', ');
    this.record('start', { ...facts, options: shown, isNewLog: isNew, ...this.#otherChain() });
  }

  record(kind: AuditKind, detail: AuditDetail): void {
    this.#log.append({ kind, actor: LOCAL_ACTOR, atEpochMillis: epochMillis(), detail });
  }

  /** What a worker tells: counted off in the gate when it is in the file. */
  take(shard: number, event: AuditEvent): void {
    this.#log.append(event, () => this.#gate.written(shard));
  }

  forgetShard(shard: number): void {
    this.#gate.forget(shard);
  }

  get problem(): string | null {
    return this.#log.problem;
  }

  /** Ends the log for this run, as far as the disk allows. */
  async close(): Promise<void> {
    this.record('stop', this.#otherChain());
    await this.#log.close();
    const { sequence, hash } = this.#log.head;
    this.#options.log.info({ records: sequence, head: hash }, 'audit log ends; keep this head elsewhere to anchor it');
  }

  /** Where the other chain stands: who removes one of them whole is told by the other. */
  #otherChain(): AuditDetail {
    const head = anchoredHead(chainFolder(this.#options.dataFolder, 'command'), 'command', this.#key);
    return head === null ? {} : { seenChain: 'command', seenSequence: head.sequence, seenHash: head.hash };
  }
}
