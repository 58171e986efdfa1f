/** `webhooks` of a catalog: what is refused and why, and what a sound one is planned as. */
import { describe, expect, it } from 'vitest';
import { LEFT_AMOUNT } from '../../../decision/journey.ts';
import { murmur3Text } from '../../../proto/murmur3.ts';
import { planWebhooks, toldBy } from '../../../server/webhooks/webhook-plan.ts';
import { CatalogError } from '../../../workers/catalog/catalog-error.ts';
import { loadCatalogText } from '../../../workers/catalog/catalog-file.ts';
import { CATALOG_LIMITS } from '../../../workers/catalog/catalog-limits.ts';
import { catalogText } from '../../actors/test-catalog.ts';

const ACTION = '{ key: a, channels: [app], valueMinor: 9 }';
const TAGS = 'silent: { family: lifeCycle, when: "true" }, loyal: { family: behaviour, when: "true" }';
const TRAITS = 'number: { type: string }, illness: { type: string, sensitive: true }';

function textWith(webhooks: string, tags = TAGS): string {
  return `${catalogText({ actions: ACTION, traits: TRAITS, tags })}\nwebhooks: { ${webhooks} }\n`;
}
function problemsOf(webhooks: string, tags = TAGS): string {
  try {
    loadCatalogText(textWith(webhooks, tags), 'test.yaml');
    return '';
  } catch (error) {
    if (error instanceof CatalogError) return error.problems.map(({ path, reason }) => `${path}: ${reason}`).join('; ');
    throw error;
  }
}
const webhook = (rest = '', url = 'https://crm.example.com/hooks'): string =>
  `crm: { url: '${url}', secret: crm${rest === '' ? '' : `, ${rest}`} }`;

describe('webhooks of a catalog', () => {
  it.each([
    ['no address', webhook('', 'crm'), 'webhooks.crm.url: must be an address'],
    ['an address of files', webhook('', 'file:///etc/passwd'), 'must be an address'],
    ['a user in the address', webhook('', 'https://me:word@crm.example.com/'), 'no user and password'],
    ['a fragment', webhook('', 'https://crm.example.com/#a'), 'no fragment'],
    ['no secret', "crm: { url: 'https://a.example' }", 'webhooks.crm.secret'],
    ['a secret in place of its name', "crm: { url: 'https://a.example', secret: whsec_AbC }", 'lower-case'],
    ['an unknown tag', webhook('tags: [silen]'), '"silen" is not a declared tag'],
    ['an unknown journey', webhook('journeys: [life]'), '"life" is not a declared journey'],
    ['a tag twice', webhook('tags: [silent, silent]'), 'is there already'],
    ['no tag at all', webhook('tags: []'), 'webhooks.crm.tags'],
    ['an unknown transition', webhook('transitions: [stayed]'), 'webhooks.crm.transitions'],
    ['an unknown trait', webhook('traits: [name]'), '"name" is not a declared trait'],
    ['a sensitive trait', webhook('traits: [illness]'), 'is sensitive'],
    ['a long timeout', webhook('timeout: 61s'), 'at most 60s'],
    ['a long pause', webhook('retryAfter: 61m'), 'at most 1h'],
    ['no try', webhook('tries: 0'), 'webhooks.crm.tries'],
    ['too many tries', webhook('tries: 101'), 'webhooks.crm.tries'],
    ['an unknown key', webhook('headers: {}'), 'headers'],
  ])('is refused: %s', (_, webhooks, expected) => {
    expect(problemsOf(webhooks)).toContain(expected);
  });

  it('is refused: more than twenty, and one of a catalog without tags', () => {
    const many = (count: number): string =>
      Array.from({ length: count }, (_, n) => `w${n}: { url: 'https://a.example', secret: crm }`).join(', ');
    expect(problemsOf(many(CATALOG_LIMITS.webhooksMax))).toBe('');
    expect(problemsOf(many(CATALOG_LIMITS.webhooksMax + 1))).toContain('at most 20 entries');
    const without = `${catalogText({ actions: ACTION })}\nwebhooks: { ${webhook()} }\n`;
    expect(() => loadCatalogText(without, 'test.yaml')).toThrow(/there is no tag and no journey/);
  });

  it('has its defaults, or what it says', () => {
    const [plan] = planWebhooks(loadCatalogText(textWith(webhook()), 'test.yaml'));
    expect(plan).toMatchObject({
      ...{ key: 'crm', secretName: 'crm', traits: [], tenant: 'default' },
      ...{ timeoutMillis: 10_000, retryMillis: 1_000, triesMax: 12 },
    });
    expect([...(plan?.tags.values() ?? [])].map(({ key }) => key)).toEqual(['silent', 'loyal']);
    expect([...(plan?.transitions ?? [])]).toEqual(['entered', 'left']);
    const told = webhook('tags: [loyal], transitions: [left], traits: [number], tenant: acme, timeout: 3s, tries: 2');
    const [other] = planWebhooks(loadCatalogText(textWith(told), 'test.yaml'));
    expect(other).toMatchObject({ traits: ['number'], tenant: 'acme', timeoutMillis: 3_000, triesMax: 2 });
    expect([...(other?.tags.values() ?? [])]).toEqual([{ key: 'loyal', family: 'behaviour' }]);
    expect([...(other?.transitions ?? [])]).toEqual(['left']);
  });

  it('told of journeys: of all, of those it names, and then of no tag', () => {
    const journeys =
      'journeys: { life: { stages: { aware: {}, loyal: { when: "true" } } }, trial: { stages: { begun: {} } } }';
    const plans = (rest: string) =>
      planWebhooks(loadCatalogText(`${textWith(webhook(rest))}${journeys}\n`, 'test.yaml'));
    const names = (rest: string): string[] =>
      plans(rest).flatMap(({ tags, journeys: told }) => [...tags.values(), ...told.values()].map(({ key }) => key));
    expect(names('')).toEqual(['silent', 'loyal', 'life', 'trial']);
    expect(names('tags: [loyal]')).toEqual(['loyal']);
    expect(names('journeys: [life]')).toEqual(['life']);
    const [plan] = plans('journeys: [life], transitions: [entered]');
    if (plan === undefined) throw new Error('one was declared');
    const move = { kind: 'stage', subject: murmur3Text('life', 0), isSet: true, stateSeq: 3 } as const;
    const at = { partition: 1, low: 2, high: 3, atEpochMillis: 4, name: 'n' };
    const told = (amount: number, others = {}) => toldBy(plan, { ...move, ...at, amount, ...others });
    expect(told(murmur3Text('loyal', 0))).toEqual({
      type: 'stage.entered',
      about: { journey: 'life', stage: 'loyal' },
    });
    expect([told(murmur3Text('gone', 0)), told(LEFT_AMOUNT), told(0, { isSet: false })]).toEqual([null, null, null]);
    const [both] = plans('journeys: [life]');
    if (both === undefined) throw new Error('one was declared');
    expect(toldBy(both, { ...move, ...at, amount: LEFT_AMOUNT })).toEqual({
      type: 'journey.left',
      about: { journey: 'life' },
    });
  });
});
