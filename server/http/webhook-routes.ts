/**
 * What webhooks of the asker's tenant are at, and sending again what was given up: for operators, over admin HTTP. Persons are
 * named by keyed hashes only, and an address is shown without what may be a secret in it.
 */
import { type HttpCall, type Route, sendJson, sendProblem } from '../http-route.ts';
import type { WebhookKeeper } from '../webhooks/webhook-keeper.ts';

const BODY_BYTES_MAX = 4 * 1024;

export function webhookRoutes(keeper: Pick<WebhookKeeper, 'state' | 'resend'>): ReadonlyMap<string, Route> {
  const routes = new Map<string, Route>();
  routes.set('/v1/webhooks', {
    method: 'GET',
    about: 'who is told of tags: what waits, what was given up and why',
    operation: 'webhooks',
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
