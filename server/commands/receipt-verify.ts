/**
 * `opportune receipt verify FILE`: whether the node of a data folder gave out this receipt of an erasure, word for
 * word. The signature is under the folder's secret, so whoever has that can check it and nobody else.
 */
import { readFileSync } from 'node:fs';
import { deriveSecret } from '../../workers/node-secret.ts';
import { type ErasureReceipt, isReceiptGenuine } from '../../workers/privacy/erasure-receipt.ts';
import { OperatorError } from '../operator-error.ts';
import { type CommandCall, EXIT } from './command.ts';
import { configOfFolder, secretOf } from './command-audit.ts';

export async function run(call: CommandCall): Promise<number> {
  const [file = ''] = call.positionals;
  const receipt = readReceipt(file);
  const { signer } = deriveSecret(await secretOf(configOfFolder(call)));
  if (isReceiptGenuine(receipt, signer)) {
    const { id, state, removed } = receipt;
    const entries = removed.decisions + removed.events + removed.traitChanges + removed.otherEntries;
    call.io.out(`receipt ${id} is genuine: ${state}, ${removed.records} records and ${entries} entries erased\n`);
    return EXIT.ok;
  }
  call.io.err('the receipt is not as this node signed it, or another node did\n');
  return EXIT.failed;
}

function readReceipt(file: string): ErasureReceipt {
  try {
    const value = JSON.parse(readFileSync(file, 'utf8')) as { receipt?: ErasureReceipt }; // its shape is checked next
    const { receipt } = value;
    if (receipt?.removed !== undefined && Array.isArray(receipt.remains)) return receipt;
    throw new Error('it holds no receipt');
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    const advice = 'Name the file that `opportune erase --out FILE` wrote.';
    throw new OperatorError('RECEIPT_UNREADABLE', `${file} cannot be read as a receipt: ${reason}`, { advice, cause });
  }
}
