/**
 * Deliberate mistakes in the production code, each one line or two: what the simulation must catch to be worth
 * anything. Some are mistakes that it has caught in earnest. `find` must stand in the file exactly once.
 */
export interface Mutation {
  readonly name: string;
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

export const MUTATIONS: readonly Mutation[] = [
  {
    name: 'replies skip the output gate',
    file: 'workers/request-runner.ts',
    find: '    return this.#writer.batchToWaitFor();',
    replace: '    return Math.min(this.#writer.batchToWaitFor(), -1);',
  },
  {
    name: 'a failed write opens the gate',
    file: 'workers/shard-writer.ts',
    find: '    this.#gate.breakAll();\n    this.#options.onReadOnly(true,',
    replace: '    this.#gate.open(Number.POSITIVE_INFINITY);\n    this.#options.onReadOnly(true,',
  },
  {
    name: 'an empty batch counts as committed',
    file: 'workers/shard-writer.ts',
    find: '    const batch = store.openBatch - 1;\n    settled',
    replace: '    const batch = bytes > 0 ? store.openBatch - 1 : store.openBatch;\n    settled',
  },
  {
    name: 'memory is not read back after a failed write',
    file: 'workers/shard-writer.ts',
    find: '    this.#options.reload();\n    this.#retry',
    replace: '    this.#retry',
  },
  {
    name: 'what was put survives a failed write',
    file: 'workers/store/lmdb-store.ts',
    find: '    this.#dropOpen();\n  }\n\n  async #tryRecovery',
    replace: '  }\n\n  async #tryRecovery',
  },
  {
    name: 'checksums are not looked at',
    file: 'workers/store/sealed-value.ts',
    find: '    if (stored === crc32(sealed.subarray(0, length))) return length;',
    replace: '    if (stored >= 0 || stored === crc32(sealed.subarray(0, length))) return length;',
  },
  {
    name: 'a missing piece of a batch is not noticed, and none is written after the first',
    file: 'workers/store/pending-batch.ts',
    find: '    for (let piece = 0; piece < pieceCount; piece++) {',
    replace: '    for (let piece = 0; piece < Math.min(pieceCount, 1); piece++) {',
  },
  {
    name: 'message ids are not remembered',
    file: 'actors/event-turn.ts',
    find: '      if (record.hasMessage(',
    replace: '      if (now < 0 && record.hasMessage(',
  },
  {
    name: 'leases nobody asks for do not end',
    file: 'actors/actor-runtime.ts',
    find: '        if (this.openKnown(partition, low, high)) this.expireDue(now);',
    replace: '        this.openKnown(partition, low, high);',
  },
  {
    name: 'leases of stored records are forgotten when memory is read back',
    file: 'workers/shard.ts',
    find: '    this.#watchStoredLeases();\n    this.joinings.forget();',
    replace: '    this.joinings.forget();',
  },
  {
    name: 'a joining that is told twice counts twice',
    file: 'actors/identity-turn.ts',
    find: '    if (keys.get(name)?.seq === profile.seq) return null;\n',
    replace: '',
  },
  {
    name: 'a profile on its way passes on whom it has taken',
    file: 'workers/identity/joinings.ts',
    find: '    if (isMoved(record) && !this.#turn.knows(profile)) {',
    replace: '    if (isMoved(record)) {',
  },
  {
    name: 'a cap is counted after the grant',
    file: 'decision/contact-policy.ts',
    find: '      if ((this.#counts[c] as number) >= (this.#index.caps[c] as Cap).count) return c;',
    replace: '      if ((this.#counts[c] as number) > (this.#index.caps[c] as Cap).count) return c;',
  },
  {
    name: 'a release gives the budget back twice',
    file: 'actors/event-turn.ts',
    find: 'effect.addLedger(LEDGER.free, record.leaseU32(i, LEASE.actionHash), record.leaseCostMinor(i));',
    replace: 'effect.addLedger(LEDGER.free, record.leaseU32(i, LEASE.actionHash), 2 * record.leaseCostMinor(i));',
  },
  {
    name: 'an ended lease keeps its cap slot',
    file: 'actors/apply-effect.ts',
    find: '  if (state === LEASE_STATE.confirmed) return;\n',
    replace:
      '  if (state === LEASE_STATE.released) record.setLeaseU8(i, LEASE.state, LEASE_STATE.open);\n  if (state === LEASE_STATE.confirmed) return;\n',
  },
  {
    name: 'budgets are given out beyond their end',
    file: 'workers/shared-ledger.ts',
    find: '      if (taken + wanted > limit) {',
    replace: '      if (taken > limit) {',
  },
  {
    name: 'what a lease gives back is free before that is on disk',
    file: 'workers/shared-ledger.ts',
    find: '    if (kind === LEDGER.free && amount > 0) this.#givenBack.push({ batch, subjectHash, amount });',
    replace: '    if (amount < 0) this.#givenBack.push({ batch, subjectHash, amount });',
  },
  {
    name: 'a quote is not kept',
    file: 'decision/quote.ts',
    find: '  return stands && previousPriceMinor < newPriceMinor ? previousPriceMinor : newPriceMinor;',
    replace: '  return stands && previousPriceMinor < 0 ? previousPriceMinor : newPriceMinor;',
  },
  {
    name: 'recovery applies entries a record has already',
    file: 'actors/actor-runtime.ts',
    // Told by its place and by its number: either alone holds.
    find: `    if (this.#isBehind(position)) return false;
    if (effect.type === EFFECT.erase) {
      this.forgetBound();
      return true;
    }
    if (effect.stateSeq <= record.stateSeq) return false;`,
    replace: `    if (effect.type === EFFECT.erase) {
      this.forgetBound();
      return true;
    }`,
  },
  {
    name: 'recovery begins one batch late, and sequences are used again',
    file: 'workers/recovery.ts',
    find: '    if (position.epoch === entry.epoch && position.stream === entry.stream) return entry.batch >= position.batch;',
    replace:
      '    if (position.epoch === entry.epoch && position.stream === entry.stream) return entry.batch > position.batch;',
  },
  {
    name: 'refusals are forgotten',
    file: 'actors/apply-effect.ts',
    find: '  if (record.getF64(FIELD.contactRefusedAt) > 0) return true;',
    replace: '  if (record.getF64(FIELD.contactRefusedAt) < 0) return true;',
  },
  {
    name: 'exploration is not shared among the allowed',
    file: 'decision/choice.ts',
    find: '  const p = (1 - epsilon) * probability + (epsilon * places) / count;',
    replace: '  const p = (1 - epsilon) * probability + epsilon * places;',
  },
  {
    name: 'a wake that is due is visited seconds too late by the turns',
    file: 'actors/wake-timers.ts',
    find: ' || pendingWake(record) > now) return;',
    replace: ' || pendingWake(record) > now - 2_000) return;',
  },
  {
    name: 'a tag begun is not ended by time',
    file: 'actors/tag-turn.ts',
    find: '      } else if (!wants && isHeld) {',
    replace: '      } else if (!wants && isHeld && isOccasion) {',
  },
  {
    name: 'the timer of a stage comes two seconds late',
    file: 'decision/journey.ts',
    find: '  const isOver = timer !== null && at >= since + timer.afterMillis;',
    replace: '  const isOver = timer !== null && at >= since + timer.afterMillis + 2_000;',
  },
  {
    name: 'a stage is not looked at when time changes its rule',
    file: 'actors/journey-stages.ts',
    find: '      next = Math.min(next, this.#time.nextOf((steps[i] as StageStep).dependsOn, at)); // i < length',
    replace: '      void steps;',
  },
  {
    name: 'people who are gone are counted on a device',
    file: 'actors/device-turn.ts',
    find: '    if (record.momentAt(i) > since) present++;\n    if (oldest',
    replace: '    present++;\n    if (oldest',
  },
  {
    name: 'the person one too many on a device is not told',
    file: 'workers/abuse/devices.ts',
    find: '    if (persons === 0) return;',
    replace: '    if (persons === 0 || person.partition % 2 === 0) return;',
  },
];
