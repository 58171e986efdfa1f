/**
 * The usual stack: Fastify in front, the profile as JSON in Redis, read, changed and written back. Two requests for
 * one person at the same time lose one of the two counts; a lock or a script would cure that and cost more.
 */
import Fastify from 'fastify';
import { createClient } from 'redis';
import { decide, newProfile } from '../decision.mjs';

const PREFILL_BATCH = 1000;

const [redisPort, profileCount, keyDigits] = process.argv.slice(2).map(Number);
const redis = createClient({ url: `redis://127.0.0.1:${redisPort}` });
redis.on('error', (error) => {
  console.error(String(error));
  process.exit(1);
});
await redis.connect();
for (let from = 0; from < profileCount; from += PREFILL_BATCH) {
  const keys = Array.from(
    { length: Math.min(PREFILL_BATCH, profileCount - from) },
    (_, i) => `p${String(from + i).padStart(keyDigits, '0')}`,
  );
  await redis.mSet(keys.map((key) => [key, JSON.stringify(newProfile(key))]));
}

const app = Fastify({ logger: false });
app.post(
  '/decide/:profile',
  {
    schema: {
      response: {
        200: {
          type: 'object',
          properties: {
            action: { type: 'string' },
            responseProbability: { type: 'number' },
            value: { type: 'number' },
            propensity: { type: 'number' },
            explored: { type: 'boolean' },
          },
        },
      },
    },
  },
  async (request) => {
    const key = request.params.profile;
    const stored = await redis.get(key);
    const profile = stored === null ? newProfile(key) : JSON.parse(stored);
    const decision = decide(profile, request.body.context, request.body.atEpochMillis, Math.random);
    await redis.set(key, JSON.stringify(profile));
    return decision ?? {};
  },
);
await app.listen({ host: '127.0.0.1', port: 0 });
console.log(JSON.stringify({ port: app.server.address().port }));
process.on('SIGTERM', () => process.exit(0));
