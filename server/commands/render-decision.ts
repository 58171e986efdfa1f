/**
 * A decision as a person reads it: what to offer with its probability, the price with what it would be
 * without personal features, the best moment with its own clock; and with `--why` the counts, each
 * contribution as a signed bar, and for every rejected action the rule, the value, the threshold and
 * when it becomes eligible again.
 */
import type { DecidedAction, DecideReply, Explanation, Plain, Scalar } from '../../proto/messages.ts';
import {
  createPaint,
  formatBar,
  formatDistance,
  formatDuration,
  formatInstant,
  formatMoney,
  formatShare,
  formatSignedBar,
  formatTable,
  type Paint,
} from './terminal-text.ts';

export interface DecisionView {
  readonly profile: string;
  readonly slot: string | null;
  readonly hasColour: boolean;
  readonly nowEpochMillis: number;
  /** Round trip as the client saw it. */
  readonly roundTripMillis: number;
  /** Zone for instants; the machine's own when undefined. */
  readonly timeZone?: string;
}

const MARGIN = '  ';
const LABEL_WIDTH = 8;

export function renderDecision(reply: DecideReply, view: DecisionView): string {
  const paint = createPaint(view.hasColour);
  const lines = [
    headLine(reply, view, paint),
    '',
    ...actionLines(reply, view, paint),
    ...priceLines(reply, view, paint),
    ...sendTimeLines(reply, view, paint),
  ];
  if (reply.explain !== undefined) lines.push('', ...explanationLines(reply.explain, view, paint));
  const versions = `catalog ${reply.catalogVersion} · model ${reply.modelVersion} · state ${reply.stateSeq}`;
  lines.push('', MARGIN + paint.dim(versions));
  return `${lines.join('\n')}\n`;
}

function headLine(reply: DecideReply, view: DecisionView, paint: Paint): string {
  const where = view.slot === null ? '' : ` in ${view.slot}`;
  const id = reply.decisionId === null ? 'dry run' : `decision ${reply.decisionId}`;
  const times = `${formatDuration(reply.serverMicros / 1000)} in the server, ${formatDuration(view.roundTripMillis)} in all`;
  return `${paint.bold(view.profile)}${where} ${paint.dim(`· ${id} · ${times}`)}`;
}

function actionLines(reply: DecideReply, view: DecisionView, paint: Paint): string[] {
  if (reply.actions.length === 0) {
    const hint = reply.explain === undefined ? ' Add --why to see the reasons.' : '';
    return [MARGIN + paint.warn(`No action for this person now.${hint}`)];
  }
  const rows = reply.actions.map((action, index) => [
    label(index === 0 ? 'offer' : '', paint),
    paint.bold(action.action),
    [action.channel, action.creative].filter((part) => part !== null).join(' · '),
    paint.good(formatBar(action.responseProbability, 10)),
    formatShare(action.responseProbability),
    paint.dim(`score ${Number(action.score.toPrecision(4))}`),
    paint.dim(`chosen with ${formatShare(action.propensity)}${action.explored ? ', exploring' : ''}`),
  ]);
  const lines = formatTable(rows, ['left', 'left', 'left', 'left', 'right'], MARGIN);
  if (reply.fallback)
    lines.push(MARGIN + paint.warn('This is the catalog’s safe default: no answer could be made in time.'));
  const expiry = leaseExpiry(reply.actions);
  if (expiry !== null) {
    const until = `${formatInstant(expiry, view.nowEpochMillis, view.timeZone)} (${formatDistance(expiry, view.nowEpochMillis)})`;
    lines.push(detail(`held until ${until}, unless confirmed or released before`, paint));
  }
  return lines;
}

function leaseExpiry(actions: readonly DecidedAction[]): number | null {
  const expiries = actions.flatMap((action) => action.leaseExpiresAtEpochMillis ?? []);
  return expiries.length === 0 ? null : Math.min(...expiries);
}

function priceLines(reply: DecideReply, view: DecisionView, paint: Paint): string[] {
  const { price } = reply;
  if (price === undefined) return [];
  const change = price.listMinor === 0 ? 0 : price.priceMinor / price.listMinor - 1;
  const against =
    price.priceMinor === price.listMinor
      ? 'the list price'
      : `list ${formatMoney(price.listMinor, price.currency)}, ${change > 0 ? '+' : '−'}${formatShare(Math.abs(change))}`;
  const lines = [
    `${MARGIN}${label('price', paint)}  ${paint.bold(formatMoney(price.priceMinor, price.currency))} for ${price.sku}  ${paint.dim(`(${against})`)}`,
  ];
  const masked = formatMoney(price.maskedPriceMinor, price.currency);
  const same =
    price.maskedPriceMinor === price.priceMinor
      ? 'the same without personal features'
      : `${masked} without personal features`;
  lines.push(detail(price.personalised ? `personalised: ${same}. ${price.disclosure}`.trim() : same, paint));
  if (price.quoteId !== null) {
    const until = formatInstant(price.expiresAtEpochMillis, view.nowEpochMillis, view.timeZone);
    lines.push(
      detail(
        `quote ${price.quoteId} holds until ${until} (${formatDistance(price.expiresAtEpochMillis, view.nowEpochMillis)})`,
        paint,
      ),
    );
  }
  return lines;
}

function sendTimeLines(reply: DecideReply, view: DecisionView, paint: Paint): string[] {
  const { sendTime } = reply;
  if (sendTime === undefined) return [];
  const distance = formatDistance(sendTime.atEpochMillis, view.nowEpochMillis);
  return [
    `${MARGIN}${label('when', paint)}  ${paint.bold(localText(sendTime.local))} ${sendTime.timeZone} on ${sendTime.channel}  ${paint.dim(`(${distance}, window ${formatDuration(sendTime.windowMinutes * 60_000)})`)}`,
    detail(`${formatShare(sendTime.probability)} then, ${formatShare(sendTime.nowProbability)} now`, paint),
  ];
}

/** `2026-11-22T20:00:00+08:00` → `Sun 22 Nov 20:00 (+08:00)`, read as written: the person's own clock. */
export function localText(local: string): string {
  const parts = /^(\d{4})-(\d{2})-(\d{2})T(\d{2}:\d{2})(?::\d{2}(?:\.\d+)?)?(Z|[+-]\d{2}:\d{2})$/.exec(local);
  const [, year, month, day, clock, offset] = parts ?? [];
  if (year === undefined || month === undefined || day === undefined) return local;
  const date = new Date(Date.UTC(Number(year), Number(month) - 1, Number(day)));
  const format = new Intl.DateTimeFormat('en-GB', {
    weekday: 'short',
    day: 'numeric',
    month: 'short',
    timeZone: 'UTC',
  });
  return `${format.format(date).replace(',', '')} ${clock} (${offset === 'Z' ? '+00:00' : offset})`;
}

function explanationLines(explain: Explanation, view: DecisionView, paint: Paint): string[] {
  const { candidates, eligible, allowed, scored } = explain.counts;
  const lines = [
    `${MARGIN}${label('why', paint)}  ${candidates} candidates ▸ ${eligible} eligible ▸ ${allowed} allowed now ▸ ${scored} scored`,
  ];
  for (const { action, contributions } of explain.chosen) {
    lines.push('', `${MARGIN}${paint.bold(action)} because`);
    const ranked = [...contributions].sort((left, right) => Math.abs(right.effect) - Math.abs(left.effect));
    const largest = Math.abs(ranked[0]?.effect ?? 0);
    const rows = ranked.map(({ feature, value, weight, effect }) => {
      const bar = formatSignedBar(effect, largest, 8);
      return [
        feature,
        effect < 0 ? paint.bad(bar) : paint.good(bar),
        signed(effect),
        paint.dim(`${Number(value.toPrecision(3))} × ${signed(weight)}`),
      ];
    });
    if (rows.length === 0) lines.push(detail('nothing is known yet that speaks for or against it', paint));
    lines.push(...formatTable(rows, ['left', 'left', 'right'], MARGIN.repeat(2)));
  }
  if (explain.rejected.length > 0) {
    const head = ['rejected', 'at', 'rule', 'value', 'threshold', 'eligible again'].map((text) => paint.dim(text));
    const rows = explain.rejected.map((rejection) => [
      rejection.action,
      rejection.stage,
      rejection.rule,
      scalarText(rejection.value),
      scalarText(rejection.threshold),
      againText(rejection.eligibleAgainAtEpochMillis, view),
    ]);
    lines.push('', ...formatTable([head, ...rows], ['left', 'left', 'left', 'right', 'right'], MARGIN));
  }
  for (const [name, facts] of [['price', explain.price] as const, ['when', explain.sendTime] as const]) {
    if (facts === undefined) continue;
    const rows = Object.entries(facts).map(([key, value]) => [key, plainText(value)]);
    lines.push('', `${MARGIN}${paint.bold(name)} because`, ...formatTable(rows, [], MARGIN.repeat(2)));
  }
  return lines;
}

function againText(atEpochMillis: number | null, view: DecisionView): string {
  if (atEpochMillis === null) return 'when something changes';
  const at = formatInstant(atEpochMillis, view.nowEpochMillis, view.timeZone);
  return `${at} (${formatDistance(atEpochMillis, view.nowEpochMillis)})`;
}

function label(text: string, paint: Paint): string {
  return paint.dim(text.padEnd(LABEL_WIDTH));
}

function detail(text: string, paint: Paint): string {
  return `${MARGIN}${' '.repeat(LABEL_WIDTH)}  ${paint.dim(text)}`;
}

function signed(value: number): string {
  return `${value < 0 ? '−' : '+'}${Math.abs(value).toFixed(3)}`;
}

function scalarText(value: Scalar): string {
  if (value === null) return '–';
  return typeof value === 'number' ? String(Number(value.toPrecision(6))) : String(value);
}

function plainText(value: Plain): string {
  return typeof value === 'object' && value !== null ? JSON.stringify(value) : scalarText(value);
}
