/**
 * The product as a policy of the market: what a shop would send it, and what it answers. Each has a shard of its own
 * that begins with the priors. Browsing and visits are tracked as a shop does; truth is not looked at.
 */
import { WANT } from '../../proto/request.ts';
import { MarketShard } from './market-shard.ts';
import type { ActionPolicy, Plan, PlanMessage, PlanPolicy, PricePolicy, TimePolicy } from './policy.ts';
import { browsedAt, type Visit } from './visits.ts';
import { CATEGORIES, MESSAGE_CHANNELS, type World } from './world.ts';

/** A visit as it is tracked: the person is there, and looks at something of a category they like. */
function trackVisit(shard: MarketShard, world: World, visit: Visit): void {
  const { person, nowEpochMillis } = visit;
  shard.track(person, 'open', '', null, nowEpochMillis);
  shard.track(person, `view_${CATEGORIES[browsedAt(world, visit)]}`, '', null, nowEpochMillis);
}

export function ourActions(world: World): ActionPolicy {
  const shard = new MarketShard(world);
  const indexOf = new Map(world.offers.map(({ key }, a) => [key, a]));
  const decisions = new Map<Visit, string>();
  return {
    name: 'ours',
    choose(visit) {
      const { person, nowEpochMillis, product } = visit;
      trackVisit(shard, world, visit);
      const sku = world.goods[product]?.sku ?? '';
      const { actions, decisionId } = shard.decide(person, 'home', sku, '', WANT.action, nowEpochMillis);
      const action = indexOf.get(actions[0]?.action ?? '');
      if (action === undefined || decisionId === null)
        throw new Error('our actions: every offer is allowed, none came');
      decisions.set(visit, decisionId);
      shard.track(person, 'impression', decisionId, null, nowEpochMillis);
      return action;
    },
    onResponse(visit, _action, nowEpochMillis) {
      shard.track(visit.person, 'click', decisions.get(visit) ?? '', null, nowEpochMillis);
      decisions.delete(visit);
    },
  };
}

export function ourPrices(world: World): PricePolicy {
  const shard = new MarketShard(world);
  let decisionId = '';
  return {
    name: 'ours',
    choose({ person, product, nowEpochMillis }) {
      const sku = world.goods[product]?.sku ?? '';
      const { price, decisionId: id } = shard.decide(person, '', sku, '', WANT.price, nowEpochMillis);
      if (price === undefined || id === null) throw new Error('our prices: none came');
      decisionId = id;
      const { priceMinor } = price;
      shard.track(person, 'impression', decisionId, null, nowEpochMillis);
      return priceMinor;
    },
    onSale({ person, nowEpochMillis }, priceMinor) {
      shard.track(person, 'purchase', decisionId, { revenueMinor: priceMinor }, nowEpochMillis);
    },
  };
}

export function ourTimes(world: World): TimePolicy {
  const shard = new MarketShard(world);
  return {
    name: 'ours',
    choose({ person, nowEpochMillis }) {
      const { sendTime } = shard.decide(person, '', '', 'push', WANT.sendTime, nowEpochMillis);
      if (sendTime === undefined) throw new Error('our times: none came');
      return sendTime.atEpochMillis;
    },
    onVisit({ person, nowEpochMillis }) {
      shard.track(person, 'open', '', null, nowEpochMillis);
    },
    onResponse({ person }, nowEpochMillis) {
      shard.track(person, 'click', '', { channel: 'push' }, nowEpochMillis);
    },
  };
}

/**
 * Offer, price and instant of a message. Joint asks once: the offer is arbitrated knowing the product, the instant is
 * that of the offer's own channel. Separate asks three times, as three engines would: the offer without the product,
 * the price alone, and an instant for the first channel, whatever the offer turns out to be sent on.
 */
export function ourPlans(world: World, isJoint: boolean): PlanPolicy {
  const shard = new MarketShard(world);
  const indexOf = new Map(world.offers.map(({ key }, a) => [key, a]));
  const decisions = new Map<PlanMessage, { action: string; price: string }>();
  const parts = (message: PlanMessage): Plan => {
    const { person, product, nowEpochMillis: now } = message;
    const sku = world.goods[product]?.sku ?? '';
    const all = WANT.action | WANT.price | WANT.sendTime;
    const first = shard.decide(person, 'message', isJoint ? sku : '', '', isJoint ? all : WANT.action, now);
    const action = indexOf.get(first.actions[0]?.action ?? '');
    const actionId = first.decisionId;
    let priceMinor = first.price?.priceMinor;
    let priceId = first.decisionId;
    let at = first.sendTime?.atEpochMillis;
    if (!isJoint) {
      const second = shard.decide(person, '', sku, '', WANT.price, now);
      priceMinor = second.price?.priceMinor;
      priceId = second.decisionId;
      at = shard.decide(person, '', '', MESSAGE_CHANNELS[0], WANT.sendTime, now).sendTime?.atEpochMillis;
    }
    if (action === undefined || priceMinor === undefined || at === undefined || actionId === null || priceId === null) {
      throw new Error('our plans: a part of the answer is missing');
    }
    decisions.set(message, { action: actionId, price: priceId });
    return { action, priceMinor, atEpochMillis: at };
  };
  return {
    name: isJoint ? 'joint' : 'separate',
    choose: parts,
    onVisit(visit) {
      trackVisit(shard, world, visit);
    },
    onSeen(message, now) {
      const { action, price } = decisions.get(message) as { action: string; price: string }; // it was chosen before
      shard.track(message.person, 'impression', action, null, now);
      if (price !== action) shard.track(message.person, 'impression', price, null, now);
    },
    onResponse(message, plan, isPurchase, now) {
      const { action, price } = decisions.get(message) as { action: string; price: string }; // it was chosen before
      decisions.delete(message);
      if (!isPurchase || price !== action) shard.track(message.person, 'click', action, null, now);
      if (isPurchase) shard.track(message.person, 'purchase', price, { revenueMinor: plan.priceMinor }, now);
    },
  };
}
