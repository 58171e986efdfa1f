/**
 * One Restate virtual object a person: its handler runs one call at a time, its state and each call's journal are
 * Restate's. Chance comes from the context, as a handler that may be repeated must have it; the instant comes with
 * the request, which spares a journal entry that `ctx.date` would write.
 */
import { createServer } from 'node:http2';
import './promise-with-resolvers.mjs';
import * as restate from '@restatedev/restate-sdk';
import { decide, newProfile } from '../decision.mjs';

const person = restate.object({
  name: 'person',
  handlers: {
    decide: async (ctx, { context, atEpochMillis }) => {
      const profile = (await ctx.get('profile')) ?? newProfile(ctx.key);
      const decision = decide(profile, context, atEpochMillis, () => ctx.rand.random());
      ctx.set('profile', profile);
      return decision;
    },
  },
});

const server = createServer(restate.createEndpointHandler({ services: [person] }));
server.listen(0, '127.0.0.1', () => console.log(JSON.stringify({ port: server.address().port })));
process.on('SIGTERM', () => process.exit(0));
