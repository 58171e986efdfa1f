/**
 * What the main thread keeps for one tenant: its data folder with lock and secret, its epoch, its learnt
 * models, and the memory its shards share. The default tenant's folder is the node's; another's is
 * `tenants/NAME` in it, a data folder like any other, so that every command that reads one works on it.
 * Nothing here is shared between tenants: what is not in an estate cannot leak out of one.
 */
import { join } from 'node:path';
import type { FeedPush } from '../decision/feed-table.ts';
import { joinParts, type PartKeys } from '../decision/part-register.ts';
import type { ModelSnapshot } from '../workers/jobs/model-snapshot-file.ts';
import { createLearningMemory, type LearningMemory } from '../workers/learning-exchange.ts';
import { createMetricsBuffer } from '../workers/metrics-layout.ts';
import { createPriceMemory, type PriceMemory, PriceTable } from '../workers/price-table.ts';
import { adoptStopped } from '../workers/recovery.ts';
import { createLedgerMemory, type LedgerMemory } from '../workers/shared-ledger.ts';
import { type DataFolder, openDataFolder } from '../workers/store/data-folder.ts';
import { claimEpoch } from '../workers/store/node-epoch.ts';
import { OpeningKeeper } from '../workers/store/store-opening.ts';
import { WritersGate } from '../workers/store/writers-gate.ts';
import type { MasterKeySource } from '../workers/vault/master-key.ts';
import { openVault, type Vault } from '../workers/vault/open-vault.ts';
import { DEFAULT_TENANT } from './access/principal.ts';
import type { Log } from './log.ts';
import { ModelKeeper } from './model-keeper.ts';
import type { TenantData } from './shard-messages.ts';

export class TenantEstate {
  readonly name: string;
  /** By shard. */
  readonly metricsBuffers: readonly SharedArrayBuffer[];
  /** Shards that have made a checkpoint since the start. */
  readonly checkpoints = new Set<number>();
  readonly #workers: number;
  readonly #ledgerMemory: LedgerMemory;
  readonly #learningMemory: LearningMemory;
  readonly #priceMemory: PriceMemory = createPriceMemory();
  #folder: DataFolder | null = null;
  #vault: Vault | null = null;
  #keeper: OpeningKeeper | null = null;
  /** Data keys are made for one worker after the other. */
  #keysMade: Promise<void> = Promise.resolve();
  #epoch = 0;
  #models: ModelKeeper | null = null;

  constructor(name: string, workers: number) {
    this.name = name;
    this.#workers = workers;
    this.#ledgerMemory = createLedgerMemory(workers);
    this.#learningMemory = createLearningMemory(workers);
    this.metricsBuffers = Array.from({ length: workers }, createMetricsBuffer);
  }

  /** Where its data lies. @param data the node's data folder */
  folderIn(data: string): string {
    return this.name === DEFAULT_TENANT ? data : join(data, 'tenants', this.name);
  }

  /** Takes the folder. Rejects with DataFolderError. */
  async open(data: string): Promise<DataFolder> {
    this.#folder = await openDataFolder(this.folderIn(data));
    return this.#folder;
  }

  /** Opens the keys of sensitive traits; returns the master key and where it came from. Rejects with VaultError. */
  async openVault(source: MasterKeySource): Promise<Vault> {
    this.#vault = await openVault(this.#opened.path, source);
    return this.#vault;
  }

  /** Counts the start, reads what was learnt. */
  async begin(log: Log): Promise<void> {
    const { storePath } = this.#opened;
    // Workers are its writers, and behind them in number the main thread.
    this.#keeper = await OpeningKeeper.open({
      storePath,
      writers: this.#workers + 1,
      onTrouble: (reason) => log.error({ tenant: this.name }, reason),
    });
    this.#epoch = await claimEpoch(storePath, this.#mainGate(this.#keeper));
    this.#models = new ModelKeeper(join(this.#opened.path, 'models'), log);
    this.#models.load(this.#epoch);
  }

  #mainGate(keeper: OpeningKeeper): WritersGate {
    return new WritersGate(keeper.memory, this.#workers);
  }

  get #opened(): DataFolder {
    return this.#folder as DataFolder; // opened before anything else
  }

  /** Makes data keys that one worker alone may use. Rejects with VaultError. */
  makeKeys(count: number): Promise<number> {
    const { keys } = this.#vault as Vault; // opened before any worker
    const made = this.#keysMade.then(() => keys.append(count));
    this.#keysMade = made.then(
      () => undefined,
      () => undefined, // whoever asked is told
    );
    return made;
  }

  get epoch(): number {
    return this.#epoch;
  }

  get isNew(): boolean {
    return this.#folder?.isNew ?? false;
  }

  /** The catalog's numbers of parts after those that the models already have. */
  partsWith(parts: PartKeys): PartKeys {
    return joinParts(this.#models?.latest?.state.parts ?? new Uint32Array(0), parts);
  }

  /**
   * What the worker of `shard` is told of this tenant.
   * @param secret given by option instead of the folder's own; only ever with the default tenant alone.
   */
  dataFor(
    shard: number,
    parts: PartKeys,
    secret: Uint8Array | null,
    memoryBytesMax: number,
    feeds: readonly FeedPush[],
  ): TenantData {
    const folder = this.#opened;
    const vault = this.#vault as Vault; // opened before any worker
    return {
      name: this.name,
      epoch: this.#epoch,
      storePath: folder.storePath,
      gateMemory: (this.#keeper as OpeningKeeper).memory, // begun before any worker
      secret: secret ?? folder.secret,
      masterKey: vault.master.key,
      keysPath: vault.keys.path,
      ledgerMemory: this.#ledgerMemory,
      learningMemory: this.#learningMemory,
      parts,
      priceMemory: this.#priceMemory,
      metrics: this.metricsBuffers[shard] as SharedArrayBuffer, // one for each worker
      snapshot: this.#models?.latest ?? null,
      feeds,
      memoryBytesMax,
    };
  }

  /** Begins asking shard 0 for snapshots. */
  beginSnapshots(ask: () => void): void {
    this.#models?.begin(ask);
  }

  /** Resolves to whether it is on disk. Never rejects. */
  async keepSnapshot(snapshot: ModelSnapshot): Promise<boolean> {
    return (await this.#models?.keep(snapshot)) ?? false;
  }

  async settleSnapshots(): Promise<void> {
    await this.#models?.settle();
  }

  /** Whether this checkpoint completes those of all shards. */
  noteCheckpoint(shard: number): boolean {
    this.checkpoints.add(shard);
    return this.checkpoints.size === this.#workers;
  }

  /** Prices of another catalog no longer hold. */
  clearPrices(): void {
    new PriceTable(this.#priceMemory).clear();
  }

  /** Every shard has stopped in order: the next start begins here. */
  async adoptStop(): Promise<void> {
    if (this.#folder === null || this.#keeper === null) return;
    const base = { epoch: this.#epoch, streams: this.#workers };
    await adoptStopped(this.#folder.storePath, base, this.#mainGate(this.#keeper));
  }

  async close(): Promise<void> {
    await this.#models?.close();
    await this.#keysMade;
    this.#vault?.keys.close();
    await this.#keeper?.close();
    await this.#folder?.close();
  }
}
