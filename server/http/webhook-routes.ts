/**
 * What webhooks of the asker's tenant are at, and sending again what was given up: for operators, over admin HTTP. Persons are
 * named by keyed hashes only, and an address is shown without what may be a secret in it.
 */
import { type HttpCall, type Route, sendJson, sendProblem } from '../http-route.ts';
import type { WebhookKeeper } from '../webhooks/webhook-keeper.ts';
import {
  answer,
  COUNT,
  exactBody,
  INSTANT,
  json,
  listOf,
  MAP,
  oneOf,
  orNull,
  type RouteShape,
  TEXT,
} from './route-shape.ts';

const BODY_BYTES_MAX = 4 * 1024;

const STATE_SHAPE: RouteShape = {
  answers: {
    200: {
      about: 'each webhook of the tenant',
      schema: answer({
        webhooks: listOf(
          answer({
            webhook: TEXT,
            tenant: TEXT,
            url: TEXT,
            circuit: oneOf(['closed', 'open', 'probing']),
            problem: orNull(TEXT),
            pending: COUNT,
            kept: COUNT,
            newestDead: listOf(
              answer({
                id: TEXT,
                person: TEXT,
                told: answer({ type: TEXT, about: MAP }),
                atEpochMillis: INSTANT,
                tries: COUNT,
                reason: TEXT,
                diedAtEpochMillis: INSTANT,
              }),
            ),
            delivered: COUNT,
            failed: COUNT,
            skipped: COUNT,
            dead: COUNT,
            lost: COUNT,
          }),
        ),
      }),
    },
  },
};
const RESEND_SHAPE: RouteShape = {
  body: json(exactBody({ webhook: TEXT, id: orNull(TEXT) }, ['webhook']), { all: { webhook: 'crm' } }),
  answers: { 202: { about: 'so many wait to be sent again', schema: answer({ webhook: TEXT, resent: COUNT }) } },
  problems: [404],
};

export function webhookRoutes(keeper: Pick<WebhookKeeper, 'state' | 'resend'>): ReadonlyMap<string, Route> {
  const routes = new Map<string, Route>();
  routes.set('/v1/webhooks', {
    method: 'GET',
    about: 'who is told of tags: what waits, what was given up and why',
    operation: 'webhooks',
    shape: STATE_SHAPE,
    answer: async ({ response, login }) => {
      const webhooks = await keeper.state();
      if (webhooks === null) {
        const detail = 'the thread of the webhooks is being started; try again';
        const headers = { 'retry-after': '2' };
        return sendProblem(response, { status: 503, title: 'Service Unavailable', detail, headers });
      }
      const own = webhooks.filter(({ tenant }) => tenant === login.principal.tenant);
      sendJson(response, 200, { webhooks: own });
    },
  });
  routes.set('/v1/webhooks/resend', {
    method: 'POST',
    bodyBytesMax: BODY_BYTES_MAX,
    about: 'send again what was given up: {webhook}, or one delivery of it: {webhook, id}',
    operation: 'webhooks',
    shape: RESEND_SHAPE,
    answer: async (call) => {
      const asked = readResend(call.body);
      if (typeof asked === 'string') return refuse(call, 400, 'Bad Request', asked);
      const count = await keeper.resend(call.login.principal.tenant, asked.webhook, asked.id);
      if (count === null) return refuse(call, 404, 'Not Found', 'there is no such webhook of this tenant');
      if (count === 0 && asked.id !== null)
        return refuse(call, 404, 'Not Found', 'no such delivery was given up, or too many wait');
      sendJson(call.response, 202, { webhook: asked.webhook, resent: count });
    },
  });
  return routes;
}

function readResend(body: Buffer): { readonly webhook: string; readonly id: string | null } | string {
  let content: { webhook?: unknown; id?: unknown } | null;
  try {
    content = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body)) as typeof content; // looked at below
  } catch {
    return 'body: is not valid JSON';
  }
  const { webhook, id = null, ...others } = content ?? {};
  if (typeof webhook !== 'string') return 'webhook: expected the name of a webhook';
  if (id !== null && typeof id !== 'string') return 'id: expected the id of a delivery, or nothing for all';
  if (Object.keys(others).length > 0) return 'body: expected {webhook, id} and nothing else';
  return { webhook, id };
}

function refuse({ response }: HttpCall, status: number, title: string, detail: string): void {
  sendProblem(response, { status, title, detail });
}
