/**
 * Random well-typed rules and random profiles for them: what the differential tests of rules and of the
 * eligibility index are fed with.
 */
import * as fc from 'fast-check';
import { type ProfileState, traitSpecs } from './profile-scope.ts';

export const SPECS = traitSpecs({
  age: { type: 'integer' },
  visits: { type: 'integer' },
  spend: { type: 'number' },
  city: { type: 'string' },
  home: { type: 'string' },
  loyalty: { type: 'enum', values: ['none', 'silver', 'gold'] },
  member: { type: 'boolean' },
  app: { type: 'boolean' },
});
const TEXTS = ['', 'a', 'Oslo', 'Os', 'none', 'gold', '日本', '😀', '");process.exit(1);("'];
const ENUM = ['none', 'silver', 'gold'];

const quoted = fc.constantFrom(...TEXTS).map((text) => JSON.stringify(text));
const small = fc.integer({ min: -3, max: 6 });

/** Random well-typed rules as text. Division is by literals only: 0/0 is the one stated difference. */
export const { boolean: anyRule } = fc.letrec<Record<string, string>>((tie) => {
  const boolean = tie('boolean') as fc.Arbitrary<string>;
  const number = tie('number') as fc.Arbitrary<string>;
  const text = tie('text') as fc.Arbitrary<string>;
  const context = fc.constantFrom('context.x', 'context.y', 'context["z w"]', 'context.missing');
  // Of the feed's own key, of one that is there, and of any text or context.
  const feedOf = (field: string): fc.Arbitrary<string> =>
    fc
      .option(fc.oneof(fc.constantFrom('"Oslo"', 'profile.home', 'profile.loyalty', 'context.x'), text), { freq: 3 })
      .map((key) => `feed("weather", "${field}"${key === null ? '' : `, ${key}`})`);
  const list = (item: fc.Arbitrary<string>): fc.Arbitrary<string> =>
    fc.array(item, { maxLength: 15 }).map((items) => `[${items.join(', ')}]`);
  const order = fc.constantFrom('<', '<=', '>', '>=');
  const equality = fc.constantFrom('==', '!=');
  const integer = fc.oneof(
    { depthSize: 'small' },
    small.map(String),
    fc.constantFrom(
      'profile.age',
      'profile.visits',
      'now.hour',
      'now.weekday',
      'count("buy", "7d")',
      'countWhere("buy", "brand", "x", "7d")',
      'distinct("buy", "brand", "7d")',
      'streak("buy", "brand", 3)',
      'size(profile.city)',
      'profile.home.size()',
    ),
    fc
      .tuple(tie('integer') as fc.Arbitrary<string>, fc.constantFrom('+', '-', '*'), small)
      .map(([l, o, r]) => `(${l} ${o} ${r})`),
    fc
      .tuple(tie('integer') as fc.Arbitrary<string>, fc.constantFrom('/', '%'), fc.constantFrom(1, 2, 3, -2))
      .map(([l, o, r]) => `(${l} ${o} ${r})`),
    (tie('integer') as fc.Arbitrary<string>).map((value) => `-(${value})`),
  );
  return {
    integer,
    number: fc.oneof(
      { depthSize: 'small' },
      integer,
      fc.constantFrom(
        'profile.spend',
        'sum("buy", "price", "30d")',
        'lastSeen("buy")',
        'tagWeight("loyal")',
        'unusual("buy", "7d")',
        '1.5',
        '2.0',
        '0.25',
        '1e3',
      ),
      feedOf('temperature'),
      fc.tuple(number, fc.constantFrom('+', '-', '*'), number).map(([l, o, r]) => `(${l} ${o} ${r})`),
      fc.tuple(boolean, integer, integer).map(([c, l, r]) => `(${c} ? ${l} : ${r})`),
    ),
    text: fc.oneof(
      { depthSize: 'small' },
      quoted,
      fc.constantFrom('profile.city', 'profile.home'),
      feedOf('sky'),
      fc.tuple(text, text).map(([l, r]) => `(${l} + ${r})`),
      fc.tuple(boolean, text, text).map(([c, l, r]) => `(${c} ? ${l} : ${r})`),
    ),
    boolean: fc.oneof(
      { depthSize: 'small' },
      fc.constantFrom(
        'true',
        'false',
        'profile.member',
        'profile.app',
        'tag("loyal")',
        'tag("silent")',
        'consent("personalisation")',
        'consent("contact.push")',
        'stage("life", "customer")',
        'stage("trial", "begun")',
        'has(profile.age)',
        'has(profile.city)',
        'has(context.x)',
      ),
      context,
      feedOf('rain'),
      // Of keys that are there: like `has`, and unlike a function of CEL, it is no error where one is not.
      fc.constantFrom('hasFeed("weather", "rain")', 'hasFeed("weather", "sky", "Oslo")'),
      fc.tuple(feedOf('temperature'), order, small).map(([l, o, r]) => `${l} ${o} ${r}`),
      fc.tuple(feedOf('sky'), list(quoted)).map(([l, items]) => `${l} in ${items}`),
      fc.tuple(boolean, fc.constantFrom('&&', '||'), boolean).map(([l, o, r]) => `(${l} ${o} ${r})`),
      boolean.map((value) => `!(${value})`),
      fc.tuple(boolean, boolean, boolean).map(([c, l, r]) => `(${c} ? ${l} : ${r})`),
      fc.tuple(number, order, number).map(([l, o, r]) => `${l} ${o} ${r}`),
      fc.tuple(integer, fc.oneof(order, equality), integer).map(([l, o, r]) => `${l} ${o} ${r}`),
      fc.tuple(text, fc.oneof(order, equality), text).map(([l, o, r]) => `${l} ${o} ${r}`),
      fc.tuple(boolean, equality, boolean).map(([l, o, r]) => `(${l}) ${o} (${r})`),
      fc
        .tuple(fc.constantFrom('profile.loyalty'), equality, fc.constantFrom(...ENUM))
        .map(([l, o, r]) => `${l} ${o} "${r}"`),
      fc.tuple(fc.constantFrom(...ENUM), equality).map(([l, o]) => `"${l}" ${o} profile.loyalty`),
      fc
        .tuple(fc.constant('profile.loyalty'), equality, fc.constantFrom('profile.city', 'context.x'))
        .map(([l, o, r]) => `${l} ${o} ${r}`),
      list(fc.constantFrom(...ENUM).map((value) => `"${value}"`)).map((items) => `profile.loyalty in ${items}`),
      fc.tuple(text, list(quoted)).map(([l, items]) => `${l} in ${items}`),
      fc.tuple(integer, list(small.map(String))).map(([l, items]) => `${l} in ${items}`),
      fc
        .tuple(context, list(fc.oneof(quoted, small.map(String), fc.constantFrom('true', '1.5', 'null'))))
        .map(([l, items]) => `${l} in ${items}`),
      fc
        .tuple(
          context,
          equality,
          fc.oneof(
            context,
            quoted,
            small.map(String),
            fc.constantFrom('null', 'true', '1.5', 'profile.city', 'profile.age', 'profile.member'),
          ),
        )
        .map(([l, o, r]) => `${l} ${o} ${r}`),
      fc.tuple(fc.constantFrom('profile.city', 'profile.age'), equality, context).map(([l, o, r]) => `${l} ${o} ${r}`),
      fc
        .tuple(context, order, fc.oneof(context, quoted, integer, fc.constant('profile.spend')))
        .map(([l, o, r]) => `${l} ${o} ${r}`),
      fc
        .tuple(fc.oneof(text, context), fc.constantFrom('startsWith', 'endsWith', 'contains'), text)
        .map(([l, f, r]) => `${l}.${f}(${r})`),
      fc.tuple(context, small).map(([l, r]) => `${l} + ${r} > 1`),
      context.map((value) => `size(${value}) > 1`),
    ),
  };
});

const scalar = fc.oneof(
  fc.constantFrom(...TEXTS),
  fc.constantFrom(-1, 0, 1, 1.5, 2, 3),
  fc.boolean(),
  fc.constant(null),
);
const maybe = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(value, { nil: undefined, freq: 3 });
export const anyState: fc.Arbitrary<ProfileState> = fc.record({
  traits: fc.record({
    age: maybe(small),
    visits: maybe(small),
    spend: maybe(fc.constantFrom(-1.5, 0, 0.25, 1.5, 2, 1000)),
    city: maybe(fc.constantFrom(...TEXTS)),
    home: maybe(fc.constantFrom(...TEXTS)),
    loyalty: maybe(fc.constantFrom(...ENUM)),
    member: maybe(fc.boolean()),
    app: maybe(fc.boolean()),
  }),
  context: fc
    .record({ x: maybe(scalar), y: maybe(scalar), 'z w': maybe(scalar) })
    .map(
      (values) =>
        new Map(Object.entries(values).filter(([, value]) => value !== undefined)) as Map<
          string,
          string | number | boolean | null
        >,
    ), // undefined just removed
  events: fc.record({
    buy: fc.record({
      count: fc.integer({ min: 0, max: 4 }),
      sum: fc.constantFrom(0, 1.5, 20),
      lastSeenSeconds: fc.constantFrom(0, 3, 1000.5, 1e12),
    }),
  }),
  readings: fc.record({ count: small, distinct: small, streak: small }),
  tags: fc.tuple(maybe(fc.constantFrom(0, 1.5, 2)), maybe(fc.constant(1))).map(([loyal, silent]) => ({
    ...(loyal === undefined ? {} : { 0: loyal }),
    ...(silent === undefined ? {} : { 1: silent }),
  })),
  feed: fc
    .array(
      fc.tuple(
        fc.constantFrom(...TEXTS),
        fc.tuple(maybe(fc.constantFrom(-1.5, 0, 2, 30)), maybe(fc.boolean()), maybe(fc.constantFrom(...TEXTS))),
      ),
      { maxLength: 6 },
    )
    .chain((rows) =>
      maybe(fc.tuple(fc.constantFrom(0, 0.5, 1.1), fc.constantFrom(0.35, 1))).map(
        (usual): ReadonlyMap<string, readonly (string | number | boolean | undefined)[]> =>
          new Map<string, readonly (string | number | boolean | undefined)[]>([
            ...rows,
            ...(usual === undefined ? [] : [['buy 604800 s', usual] as const]),
          ]),
      ),
    ),
  allowed: fc.subarray(['personalisation', 'contact.push']),
  stages: fc.tuple(fc.integer({ min: -2, max: 1 }), fc.integer({ min: -2, max: 0 })),
  hour: fc.integer({ min: 0, max: 23 }),
  weekday: fc.integer({ min: 0, max: 6 }),
});
