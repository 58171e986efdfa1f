/**
 * The requests of each scenario as frame templates, and the order in which they are sent. Eight variants
 * of the context are made beforehand, so that one decide differs from the next in more than its profile
 * while patching stays fixed-width. The order is a fixed cycle: a run asks the same as the one before.
 */
import {
  type FrameTemplate,
  frameTemplate,
  MESSAGE_DIGITS,
  Placeholder,
  PROFILE_DIGITS,
  type TemplateRequest,
  type TemplateValue,
} from './frame-template.ts';
import { type ContextValue, LOAD_OPERATIONS, type LoadOperation, type RequestPlan } from './load-plan.ts';

export interface LoadRequests {
  /** Sent in turn, over and over. All hold the same number of requests. */
  readonly cycle: readonly FrameTemplate[];
  /** Sent instead of `cycle[i]` when that needs a decision id and none is known yet. */
  readonly withoutDecision: readonly FrameTemplate[];
  readonly requestsPerFrame: number;
}

const CONTEXT_VARIANTS = 8;
/** Of ten requests of `mixed`, these two are events: the mix of issue figures, 80 % decide and 20 % track. */
const MIXED_TRACK_POSITIONS: readonly number[] = [4, 9];

type Fields = { readonly [key: string]: TemplateValue };

/** Eight keys: three texts, a small and a large integer, a fraction, two flags. */
export function defaultContext(variant: number): { readonly [key: string]: ContextValue } {
  const pick = (values: readonly string[]): string => values[variant % values.length] as string; // in range: modulo
  return {
    device: pick(['ios', 'android', 'web']),
    page: pick(['home', 'search', 'basket', 'account']),
    referrer: pick(['email', 'direct', 'partner']),
    basketItems: variant,
    basketMinor: 70_000 + variant * 1_300,
    temperature: 14.5 + variant,
    isMember: variant % 2 === 0,
    isReturning: variant % 4 < 2,
  };
}

/** Key of action `number` (from 1) in the bench catalog: two digits at least. */
export function benchActionKey(number: number): string {
  return `offer-${String(number).padStart(2, '0')}`;
}

export function loadRequests(plan: RequestPlan): LoadRequests {
  const cycle: FrameTemplate[] = [];
  const withoutDecision: FrameTemplate[] = [];
  const add = (requests: readonly TemplateRequest[], fallback = requests): void => {
    const asArray = plan.batchSize > 1;
    cycle.push(frameTemplate(requests, asArray));
    withoutDecision.push(frameTemplate(fallback, asArray));
  };
  if (plan.scenario === 'populate') {
    if (plan.traits !== null) add(repeat(plan.batchSize, identifyRequest(plan.traits)));
    else add(repeat(plan.batchSize, decideRequest(plan, 0)));
  } else if (plan.scenario === 'track') {
    for (let variant = 0; variant < CONTEXT_VARIANTS; variant += 1) {
      add(repeat(plan.batchSize, trackRequest(plan, variant)));
    }
  } else if (plan.scenario === 'mixed') {
    for (let position = 0; position < 10 * CONTEXT_VARIANTS; position += 1) {
      const variant = position % CONTEXT_VARIANTS;
      if (!MIXED_TRACK_POSITIONS.includes(position % 10)) add([decideRequest(plan, variant)]);
      else if (plan.decisionIdBytes > 0) add([clickRequest(plan)], [trackRequest(plan, variant)]);
      else add([trackRequest(plan, variant)]);
    }
  } else {
    for (let variant = 0; variant < CONTEXT_VARIANTS; variant += 1) {
      add(repeat(plan.batchSize, decideRequest(plan, variant)));
    }
  }
  return { cycle, withoutDecision, requestsPerFrame: plan.batchSize };
}

function repeat(count: number, request: TemplateRequest): readonly TemplateRequest[] {
  return Array.from({ length: count }, () => request);
}

function request(operation: LoadOperation, fields: Fields): TemplateRequest {
  return { operation: LOAD_OPERATIONS.indexOf(operation), fields: { op: operation, ...fields } };
}

function profile(): Placeholder {
  return new Placeholder('profile', 'p', PROFILE_DIGITS);
}

function durability(plan: RequestPlan): Fields {
  return plan.durability === null ? {} : { durability: plan.durability };
}

/** The `want` list a scenario asks for. */
function wants(scenario: RequestPlan['scenario']): readonly string[] {
  if (scenario === 'action') return ['action'];
  if (scenario === 'price') return ['price'];
  if (scenario === 'send-time') return ['sendTime'];
  return ['action', 'price', 'sendTime'];
}

/** Without a price a sku is not asked for, and so not looked for either. */
export function asksPrice(scenario: RequestPlan['scenario']): boolean {
  return wants(scenario).includes('price');
}

/** The decide of this plan with its fields in wire order, `variant` 0 to 7. */
function decideFields(plan: RequestPlan, variant: number): Fields {
  const want = wants(plan.scenario).filter((name) => name !== 'price' || plan.sku !== null);
  return {
    op: 'decide',
    profile: profile(),
    slot: plan.slot,
    want,
    ...(plan.sku === null || !want.includes('price') ? {} : { sku: plan.sku }),
    ...(plan.actions.length === 0 ? {} : { actions: plan.actions }),
    context: plan.context ?? defaultContext(variant),
    ...durability(plan),
  };
}

function decideRequest(plan: RequestPlan, variant: number): TemplateRequest {
  return request('decide', decideFields(plan, variant));
}

function trackRequest(plan: RequestPlan, variant: number): TemplateRequest {
  return request('track', {
    profile: profile(),
    event: 'view',
    messageId: new Placeholder('messageId', `${plan.runTag}-`, MESSAGE_DIGITS),
    properties: { sku: plan.sku ?? 'none', category: 'coffee', position: variant, isFirst: variant === 0 },
    ...durability(plan),
  });
}

/** A click credited to a decision this connection was just given: learning under load. */
function clickRequest(plan: RequestPlan): TemplateRequest {
  return request('track', {
    profile: profile(),
    event: 'click',
    messageId: new Placeholder('messageId', `${plan.runTag}-`, MESSAGE_DIGITS),
    decisionId: new Placeholder('decisionId', '', plan.decisionIdBytes),
    ...durability(plan),
  });
}

function identifyRequest(traits: NonNullable<RequestPlan['traits']>): TemplateRequest {
  return request('identify', { profile: profile(), traits });
}
