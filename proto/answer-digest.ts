/**
 * What two answers to one question have in common when they say the same: the actions in their order with channel and
 * creative, the price, and when to speak, to the hour. Scores, probabilities and signatures move with every
 * lesson and are no other answer. Both who evaluates for a subscriber and who tells them work it out.
 */
import type { DecideReply } from './messages.ts';
import { murmur3Text } from './murmur3.ts';

const HOUR_MILLIS = 3_600_000;

/** 16 hexadecimal digits. */
export function answerDigest({
  actions,
  price,
  sendTime,
}: Pick<DecideReply, 'actions' | 'price' | 'sendTime'>): string {
  const said = JSON.stringify([
    actions.map(({ action, channel, creative }) => [action, channel, creative]),
    price === undefined ? null : [price.sku, price.currency, price.priceMinor, price.promotion],
    sendTime === undefined ? null : [sendTime.channel, Math.floor(sendTime.atEpochMillis / HOUR_MILLIS)],
  ]);
  const digits = (seed: number): string => murmur3Text(said, seed).toString(16).padStart(8, '0');
  return digits(1) + digits(2);
}
