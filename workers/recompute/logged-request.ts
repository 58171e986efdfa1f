/**
 * What a logged decision was asked and what it saw of what all workers share, read back from its journal entry:
 * a request for `DecideTurn.recompute`, and a ledger that answers as the real one did.
 */
import { DECISION, DECISION_FLAG, type Effect, REQUEST_COUNT_SHIFT, REQUEST_FLAG } from '../../actors/effect.ts';
import { type Ledger, stockSubject } from '../../actors/ports.ts';
import type { Catalog } from '../../decision/catalog.ts';
import { type Request, WANT_ALL } from '../../proto/request.ts';
import { coldCodec } from '../cold-codec.ts';

/** Stands for a name whose hash the catalog does not have: no key is written like this, so the turn refuses it. */
const UNKNOWN = '#unknown';

/** Fills `request` from the entry, named by the catalog in force. */
export function readLoggedRequest(entry: Effect, catalog: Catalog, request: Request): void {
  const slotHash = entry.getU32(DECISION.slotHash);
  const channelHash = entry.getU32(DECISION.channelHash);
  const skuHash = entry.getU32(DECISION.skuHash);
  const flags = entry.getU32(DECISION.requestFlags);
  request.slot = slotHash === 0 ? '' : (catalog.slots.find(({ hash }) => hash === slotHash)?.key ?? UNKNOWN);
  request.channel = channelHash === 0 ? '' : (catalog.channelByHash.get(channelHash)?.key ?? UNKNOWN);
  request.sku = skuHash === 0 ? '' : (catalog.productByHash.get(skuHash)?.sku ?? UNKNOWN);
  request.wantMask = flags & WANT_ALL;
  request.count = (flags >>> REQUEST_COUNT_SHIFT) & 0xff;
  request.actions = null;
  if (flags & REQUEST_FLAG.hasSubset) {
    const start = entry.subsetStart() >>> 2;
    request.actions = catalog.actions.filter(({ index }) => hasBit(entry.u32, start, index)).map(({ key }) => key);
  }
  const bytes = entry.getU32(DECISION.contextBytes);
  const start = entry.contextStart();
  request.frame = entry.u8.slice(start, start + bytes);
  request.contextStart = 0;
  request.contextEnd = bytes; // the entry computed again holds the same bytes
  request.context = bytes === 0 ? null : coldCodec.decodeProperties(request.frame);
}

/** Whether the request came with `Sec-GPC: 1`, which bound the decision. */
export function hadOptOut(entry: Effect): boolean {
  return (entry.getU32(DECISION.requestFlags) & REQUEST_FLAG.optOut) !== 0;
}

/** The ledger of the node as one decision saw it. */
export class LoggedLedger implements Ledger {
  readonly #lacking = new Set<number>();
  #stock = 0;
  #holdsStock = false;
  #isOutbid = false;

  see(entry: Effect, catalog: Catalog): void {
    const flags = entry.u8[DECISION.flags] as number;
    this.#holdsStock = (flags & DECISION_FLAG.holdsStock) !== 0;
    this.#isOutbid = (flags & DECISION_FLAG.outbid) !== 0;
    this.#stock = stockSubject(entry.getU32(DECISION.skuHash));
    if (this.#lacking.size > 0) this.#lacking.clear();
    if ((entry.getU32(DECISION.requestFlags) & REQUEST_FLAG.lacksBudget) === 0) return;
    const start = entry.lackingStart() >>> 2;
    for (const { index, hash } of catalog.actions) if (hasBit(entry.u32, start, index)) this.#lacking.add(hash);
  }

  freeAmount(subjectHash: number): number {
    return this.#lacking.has(subjectHash) ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  }
  tryHold(subjectHash: number): boolean {
    return subjectHash === this.#stock ? this.#holdsStock : !this.#isOutbid;
  }
  apply(): void {}
  applyLogged(): void {}
  isLimited(): boolean {
    return true;
  }
}

function hasBit(words: Uint32Array, start: number, at: number): boolean {
  return (((words[start + (at >>> 5)] as number) >>> (at & 31)) & 1) !== 0; // the entry has a bit an action
}
