/**
 * RFC 6455 case by case, numbered and grouped as the Autobahn test suite does (fuzzingclient, sections 1 to 7 and
 * 10; 9 is a measurement and 12, 13 are compression, which is not negotiated here). Each case is what a client
 * sends and what the standard wants an echoing server to answer. Sizes above a frame's limit of ours are cut to it.
 */
import { LIMITS } from '../../proto/limits.ts';
import { clientFrame, type FrameParts } from './transport-peer.ts';

export interface AutobahnCase {
  readonly id: string;
  readonly about: string;
  readonly bytes: Buffer;
  /** Bytes a write; 0: all at once. */
  readonly chop: number;
  /** Messages that come back, as opcode and payload; of a case that fails, those that may. */
  readonly echo: readonly Echo[];
  readonly pongs: readonly Buffer[];
  /** The server's close code, or one of several. */
  readonly close: readonly number[];
  /** The connection must be failed: what comes behind the fault is not answered. */
  readonly isFailure: boolean;
}

export interface Echo {
  readonly opcode: number;
  readonly payload: Buffer;
}

const CONTINUATION = 0;
const TEXT = 1;
const BINARY = 2;
const CLOSE = 8;
const PING = 9;
const PONG = 10;
const HELLO = Buffer.from('Hello, world!');
/** κόσμε, and what Autobahn sends as a whole valid text. */
const KOSME = Buffer.from('cebae1bdb9cf83cebcceb5', 'hex');
const VALID_TEXT = Buffer.from('Hello-µ@ßöäüàá-UTF-8!!');
const closeFrame = (code: number, reason = ''): FrameParts => {
  const payload = Buffer.concat([Buffer.from([code >> 8, code & 255]), Buffer.from(reason)]);
  return { opcode: CLOSE, payload };
};
const text = (payload: Uint8Array, isFinal = true): FrameParts => ({ opcode: TEXT, payload, isFinal });
const more = (payload: Uint8Array, isFinal: boolean): FrameParts => ({ opcode: CONTINUATION, payload, isFinal });
const ping = (payload: Uint8Array = Buffer.alloc(0)): FrameParts => ({ opcode: PING, payload });

const cases: AutobahnCase[] = [];

function add(id: string, about: string, frames: readonly FrameParts[], rest: Partial<AutobahnCase>): void {
  const isFailure = rest.isFailure ?? false;
  // A case that goes well is ended by the client, as the suite does.
  const all = isFailure || frames.some(({ opcode }) => opcode === CLOSE) ? frames : [...frames, closeFrame(1000)];
  const bytes = Buffer.concat(all.map(clientFrame));
  cases.push({ id, about, bytes, chop: 0, echo: [], pongs: [], close: [1000], ...rest, isFailure });
}

function good(id: string, about: string, frames: readonly FrameParts[], rest: Partial<AutobahnCase> = {}): void {
  add(id, about, frames, rest);
}

/** The connection must be failed with one of these codes. */
function bad(
  id: string,
  about: string,
  code: number,
  frames: readonly FrameParts[],
  rest: Partial<AutobahnCase> = {},
): void {
  add(id, about, frames, { ...rest, close: [code], isFailure: true });
}

const echoText = (payload: Uint8Array): Echo => ({ opcode: TEXT, payload: Buffer.from(payload) });

function addFraming(): void {
  const sizes = [0, 125, 126, 127, 128, 65_535, 65_536, 65_536];
  for (const [kind, opcode] of [TEXT, BINARY].entries()) {
    for (const [index, size] of sizes.entries()) {
      const payload = Buffer.alloc(size, opcode === TEXT ? '*' : 0xfe);
      const chop = index === 7 ? 997 : 0;
      const about = `${size} bytes of ${opcode === TEXT ? 'text' : 'binary'}${chop > 0 ? `, ${chop} at a time` : ''}`;
      good(`1.${kind + 1}.${index + 1}`, about, [{ opcode, payload }], { chop, echo: [{ opcode, payload }] });
    }
  }
}

function addPings(): void {
  const binary = Buffer.from([0, 0xff, 0xfe, 0xfd, 0xfc, 0xfb, 0, 0xff]);
  const full = Buffer.alloc(125, 0xfe);
  const ten = Array.from({ length: 10 }, (_, index) => Buffer.from(`payload-${index}`));
  good('2.1', 'ping without payload', [ping()], { pongs: [Buffer.alloc(0)] });
  good('2.2', 'ping with text', [ping(HELLO)], { pongs: [HELLO] });
  good('2.3', 'ping with bytes that are no UTF-8', [ping(binary)], { pongs: [binary] });
  good('2.4', 'ping of 125 bytes', [ping(full)], { pongs: [full] });
  bad('2.5', 'ping of 126 bytes', 1002, [ping(Buffer.alloc(126, 0xfe))]);
  good('2.6', 'ping of 125 bytes, one at a time', [ping(full)], { pongs: [full], chop: 1 });
  good('2.7', 'pong nobody asked for', [{ opcode: PONG }]);
  good('2.8', 'pong nobody asked for, with payload', [{ opcode: PONG, payload: HELLO }]);
  good('2.9', 'pong nobody asked for, then ping', [{ opcode: PONG, payload: HELLO }, ping(HELLO)], { pongs: [HELLO] });
  good('2.10', 'ten pings', ten.map(ping), { pongs: ten });
  good('2.11', 'ten pings, one byte at a time', ten.map(ping), { pongs: ten, chop: 1 });
}

function addReserved(): void {
  const hello = text(HELLO);
  const echo = [echoText(HELLO)];
  bad('3.1', 'text with RSV 1', 1002, [{ ...hello, reservedBits: 1 }]);
  bad('3.2', 'text, then text with RSV 2, then ping', 1002, [hello, { ...hello, reservedBits: 2 }, ping()], { echo });
  bad('3.3', 'the same with RSV 3, ten bytes at a time', 1002, [hello, { ...hello, reservedBits: 3 }, ping()], {
    echo,
    chop: 10,
  });
  bad('3.4', 'the same with RSV 4, one byte at a time', 1002, [hello, { ...hello, reservedBits: 4 }, ping()], {
    echo,
    chop: 1,
  });
  bad('3.5', 'binary with RSV 5', 1002, [{ opcode: BINARY, payload: HELLO, reservedBits: 5 }]);
  bad('3.6', 'ping with RSV 6', 1002, [{ ...ping(HELLO), reservedBits: 6 }]);
  bad('3.7', 'close with RSV 7', 1002, [{ opcode: CLOSE, reservedBits: 7 }]);
  for (const [group, first] of [3, 11].entries()) {
    for (let index = 0; index < 5; index++) {
      const frame = { opcode: first + index, ...(index % 2 === 1 || index === 4 ? { payload: HELLO } : {}) };
      const frames = index < 2 ? [frame] : [hello, frame, ping()];
      bad(`4.${group + 1}.${index + 1}`, `opcode ${first + index}`, 1002, frames, { echo: index < 2 ? [] : echo });
    }
  }
}

function addFragments(): void {
  const [one, two] = [Buffer.from('fragment1'), Buffer.from('fragment2')];
  const echo = [echoText(Buffer.concat([one, two]))];
  const halves = [text(one, false), more(two, true)];
  const around = [text(one, false), ping(HELLO), more(two, true)];
  bad('5.1', 'ping in two fragments', 1002, [{ ...ping(one), isFinal: false }, more(two, true)]);
  bad('5.2', 'pong in two fragments', 1002, [{ opcode: PONG, payload: one, isFinal: false }, more(two, true)]);
  for (const [index, chop] of [0, 10, 1].entries()) {
    const pace = chop === 0 ? '' : `, ${chop} bytes at a time`;
    good(`5.${3 + index}`, `text in two fragments${pace}`, halves, { echo, chop });
    good(`5.${6 + index}`, `text in two fragments around a ping${pace}`, around, { echo, pongs: [HELLO], chop });
    bad(`5.${9 + index}`, `continuation of nothing, final${pace}`, 1002, [more(HELLO, true), text(HELLO)], { chop });
    bad(`5.${12 + index}`, `continuation of nothing, not final${pace}`, 1002, [more(HELLO, false), text(HELLO)], {
      chop,
    });
  }
  bad('5.15', 'fragments, then a continuation of nothing', 1002, [...halves, more(one, false), text(HELLO)], { echo });
  const twice = (isFinal: boolean): FrameParts[] => [more(one, isFinal), text(one, false), more(two, true)];
  bad('5.16', 'continuation of nothing before fragments, twice', 1002, [...twice(false), ...twice(false)]);
  bad('5.17', 'the same, final', 1002, [...twice(true), ...twice(true)]);
  bad('5.18', 'text inside a fragmented text', 1002, [text(one, false), text(two)]);
  const five = Array.from({ length: 5 }, (_, index) => Buffer.from(`fragment${index + 1}`));
  const pinged = five.flatMap((payload, index): FrameParts[] => [
    index === 0 ? text(payload, false) : more(payload, index === 4),
    ...(index === 1 || index === 3 ? [ping(Buffer.from(`pongme ${index}!`))] : []),
  ]);
  const expected = {
    echo: [echoText(Buffer.concat(five))],
    pongs: [Buffer.from('pongme 1!'), Buffer.from('pongme 3!')],
  };
  good('5.19', 'text in five fragments among pings, in pieces', pinged, { ...expected, chop: 40 });
  good('5.20', 'text in five fragments among pings, at once', pinged, expected);
}

/** A payload as one frame of one byte each. */
function byteFrames(payload: Uint8Array): FrameParts[] {
  return [...payload].map((byte, index) => {
    const isFinal = index === payload.length - 1;
    return index === 0 ? text(Uint8Array.of(byte), isFinal) : more(Uint8Array.of(byte), isFinal);
  });
}

function addUtf8(): void {
  const empty = Buffer.alloc(0);
  good('6.1.1', 'empty text', [text(empty)], { echo: [echoText(empty)] });
  good('6.1.2', 'three empty fragments', [text(empty, false), more(empty, false), more(empty, true)], {
    echo: [echoText(empty)],
  });
  good('6.1.3', 'an empty fragment on each side', [text(empty, false), more(HELLO, false), more(empty, true)], {
    echo: [echoText(HELLO)],
  });
  const whole = { echo: [echoText(VALID_TEXT)] };
  good('6.2.1', 'valid UTF-8', [text(VALID_TEXT)], whole);
  good(
    '6.2.2',
    'valid UTF-8 in two fragments',
    [text(VALID_TEXT.subarray(0, 8), false), more(VALID_TEXT.subarray(8), true)],
    whole,
  );
  good('6.2.3', 'valid UTF-8, a fragment a byte', byteFrames(VALID_TEXT), whole);
  good('6.2.4', 'κόσμε, a fragment a byte', byteFrames(KOSME), { echo: [echoText(KOSME)] });
  const broken = Buffer.concat([KOSME, Buffer.from('eda080', 'hex'), Buffer.from('edited')]);
  bad('6.3.1', 'invalid UTF-8', 1007, [text(broken)]);
  bad('6.3.2', 'invalid UTF-8, a fragment a byte', 1007, byteFrames(broken));
  const [head, late] = [KOSME, Buffer.from('f4908080', 'hex')];
  const tail = Buffer.from('edited');
  bad('6.4.1', 'invalid UTF-8 in the middle fragment', 1007, [text(head, false), more(late, false), more(tail, true)]);
  bad('6.4.2', 'the same, cut inside the character', 1007, [
    text(Buffer.concat([head, late.subarray(0, 1)]), false),
    more(late.subarray(1), false),
    more(tail, true),
  ]);
  bad('6.4.3', 'invalid UTF-8 in one frame, in pieces', 1007, [text(Buffer.concat([head, late, tail]))], { chop: 12 });
  bad('6.4.4', 'the same, one byte at a time', 1007, [text(Buffer.concat([head, late, tail]))], { chop: 1 });
  for (const [id, about, hex, isValid] of utf8Table()) {
    const payload = Buffer.from(hex, 'hex');
    if (isValid) good(id, about, [text(payload)], { echo: [echoText(payload)] });
    else bad(id, about, 1007, [text(payload)]);
  }
}

type Utf8Row = readonly [id: string, about: string, hex: string, isValid: boolean];

function utf8Table(): Utf8Row[] {
  const rows: Utf8Row[] = [];
  const group = (section: string, about: string, isValid: boolean, hexes: readonly string[], first = 1): void => {
    for (const [index, hex] of hexes.entries())
      rows.push([`6.${section}.${first + index}`, `${about}: ${hex}`, hex, isValid]);
  };
  group('5', 'valid text', true, [
    'cebae1bdb9cf83cebcceb5',
    '48656c6c6f2d',
    'c2b5',
    'c39fc3b6c3a4c3bcc3a0c3a1',
    '2d5554462d382121',
  ]);
  for (let length = 1; length <= KOSME.length; length++) {
    const hex = KOSME.toString('hex', 0, length);
    rows.push([`6.6.${length}`, `the first ${length} bytes of κόσμε`, hex, [2, 5, 7, 9, 11].includes(length)]);
  }
  group('7', 'first of its length', true, ['00', 'c280', 'e0a080', 'f0908080']);
  group('8', 'first of 5 and 6 bytes', false, ['f888808080', 'fc8480808080']);
  group('9', 'last of its length', true, ['7f', 'dfbf', 'efbfbf', 'f48fbfbf']);
  group('10', 'last of 4, 5 and 6 bytes', false, ['f7bfbfbf', 'fbbfbfbfbf', 'fdbfbfbfbfbf']);
  group('11', 'border', true, ['ed9fbf', 'ee8080', 'efbfbd', 'f48fbfbf']);
  group('11', 'beyond the last character', false, ['f4908080'], 5);
  const continuations = Array.from({ length: 5 }, (_, count) => '80bf80bf80bf80'.slice(0, 4 + 2 * count));
  group('12', 'continuation bytes alone', false, ['80', 'bf', ...continuations, hexRange(0x80, 0xbf)]);
  group('13', 'first bytes, a space behind each', false, [
    hexRange(0xc0, 0xdf, '20'),
    hexRange(0xe0, 0xef, '20'),
    hexRange(0xf0, 0xf7, '20'),
    hexRange(0xf8, 0xfb, '20'),
    hexRange(0xfc, 0xfd, '20'),
  ]);
  const cut = ['c0', 'e080', 'f08080', 'f8808080', 'fc80808080', 'df', 'efbf', 'f7bfbf', 'fbbfbfbf', 'fdbfbfbfbf'];
  group('14', 'last byte missing', false, cut);
  group('15', 'all of them together', false, [cut.join('')]);
  group('16', 'bytes that never occur', false, ['fe', 'ff', 'fefeffff']);
  group('17', 'overlong slash', false, ['c0af', 'e080af', 'f08080af', 'f8808080af', 'fc80808080af']);
  group('18', 'overlong, the largest', false, ['c1bf', 'e09fbf', 'f08fbfbf', 'f887bfbfbf', 'fc83bfbfbfbf']);
  group('19', 'overlong zero', false, ['c080', 'e08080', 'f0808080', 'f880808080', 'fc8080808080']);
  const high = ['eda080', 'edadbf', 'edae80', 'edafbf'];
  group('20', 'surrogate alone', false, [...high, 'edb080', 'edbe80', 'edbfbf']);
  group(
    '21',
    'surrogates in pairs',
    false,
    high.flatMap((first) => [`${first}edb080`, `${first}edbfbf`]),
  );
  const planes = Array.from({ length: 16 }, (_, plane) => [
    (plane + 1) * 0x10000 + 0xfffe,
    (plane + 1) * 0x10000 + 0xffff,
  ]);
  const nonCharacters = [0xfffe, 0xffff, ...planes.flat()].map((point) =>
    Buffer.from(String.fromCodePoint(point)).toString('hex'),
  );
  group('22', 'no character, and valid', true, nonCharacters);
  group('23', 'special character', true, ['efbfb9', 'efbfba', 'efbfbb', 'efbfbc', 'efbfbd', 'efbfbe', 'efbfbf']);
  return rows;
}

function hexRange(from: number, to: number, between = ''): string {
  let hex = '';
  for (let byte = from; byte <= to; byte++) hex += byte.toString(16) + between;
  return hex;
}

function addClosing(): void {
  const echo = [echoText(HELLO)];
  const big = Buffer.alloc(LIMITS.frameBytesMax, 'BAsd7&jh23');
  good('7.1.1', 'a message, then close', [text(HELLO), closeFrame(1000)], { echo });
  good('7.1.2', 'close twice', [closeFrame(1000), closeFrame(1000)]);
  good('7.1.3', 'ping behind close', [closeFrame(1000), ping()]);
  good('7.1.4', 'text behind close', [closeFrame(1000), text(HELLO)]);
  good('7.1.5', 'close inside a fragmented text', [text(HELLO, false), closeFrame(1000), more(HELLO, true)]);
  good('7.1.6', 'a large message and a small one before close', [text(big), text(HELLO), closeFrame(1000), ping()], {
    echo: [echoText(big), ...echo],
  });
  good('7.3.1', 'close without payload', [{ opcode: CLOSE }], { close: [1000, 1005] });
  bad('7.3.2', 'close of one byte', 1002, [{ opcode: CLOSE, payload: Buffer.from('a') }]);
  good('7.3.3', 'close with a code', [closeFrame(1000)]);
  good('7.3.4', 'close with a reason', [closeFrame(1000, 'Hello World!')]);
  good('7.3.5', 'close with a reason of 123 bytes', [closeFrame(1000, '*'.repeat(123))]);
  bad('7.3.6', 'close with a reason of 124 bytes', 1002, [closeFrame(1000, '*'.repeat(124))]);
  const reason = Buffer.concat([Buffer.from([3, 232]), KOSME, Buffer.from('eda080', 'hex')]);
  bad('7.5.1', 'close with a reason that is no UTF-8', 1007, [{ opcode: CLOSE, payload: reason }]);
  const codes = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999];
  for (const [index, code] of codes.entries()) {
    good(`7.7.${index + 1}`, `close with ${code}`, [closeFrame(code)], { close: [code, 1000] });
  }
  for (const [index, code] of [0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999].entries()) {
    bad(`7.9.${index + 1}`, `close with ${code}, which may not be sent`, 1002, [closeFrame(code)]);
  }
  for (const [index, code] of [5000, 65_535].entries()) {
    bad(`7.13.${index + 1}`, `close with ${code}, which means nothing`, 1002, [closeFrame(code)]);
  }
  const parts = Array.from({ length: Math.ceil(LIMITS.frameBytesMax / 1300) }, (_, index) =>
    big.subarray(1300 * index, 1300 * (index + 1)),
  );
  const frames = parts.map((part, index) => (index === 0 ? text(part, false) : more(part, index === parts.length - 1)));
  good('10.1.1', 'a large text in fragments of 1,300 bytes', frames, { echo: [echoText(big)] });
}

addFraming();
addPings();
addReserved();
addFragments();
addUtf8();
addClosing();

export const AUTOBAHN_CASES: readonly AutobahnCase[] = cases;
