/**
 * The words of a refusal. Looks again, with a second reader, at a request that the decoder refused:
 * finds its id and operation wherever they stand in the map, and names field, kind and bound. Off the
 * hot path; costs one more walk over the request. Values are described by kind and size only, except
 * the few integers that are options of the protocol itself: a message may end in a log.
 */
import { LIMITS } from './limits.ts';
import {
  EXPECTED,
  FIELD,
  FIELD_TABLE,
  type FieldName,
  nearestOperation,
  OP_NAMES,
  OP_TABLE,
  operationName,
} from './request-fields.ts';
import { FAULT, type Fault } from './statuses.ts';
import { KIND, READ_FAULT, type ReadFault, type ValueReader } from './value-reader.ts';

export interface Complaint {
  readonly id: number | null;
  readonly fault: Fault;
  readonly message: string;
}

interface Identity {
  /** null: missing or not an unsigned 32-bit integer. */
  readonly id: number | null;
  /** 0: missing or not known. */
  readonly op: number;
  /** What stood for `op`; undefined when it was missing or no string. */
  readonly opText: string | undefined;
  /** Where the value of `id` starts; -1 when it is missing. */
  readonly idStart: number;
}

const UINT32_MAX = 0xffff_ffff;
const READ_FAULT_WORDS: Partial<Record<ReadFault, { readonly fault: Fault; readonly words: string }>> = {
  [READ_FAULT.tooDeep]: { fault: FAULT.tooLarge, words: `at most ${LIMITS.nestingMax} levels of nesting, got more` },
  [READ_FAULT.tooManyItems]: {
    fault: FAULT.tooLarge,
    words: `at most ${LIMITS.containerItemsMax} entries in a map or array, got more`,
  },
  [READ_FAULT.stringTooLong]: {
    fault: FAULT.tooLarge,
    words: `strings of at most ${LIMITS.stringBytesMax} bytes, got a longer one`,
  },
  [READ_FAULT.invalidUtf8]: { fault: FAULT.invalidField, words: 'valid UTF-8, got a string that is not' },
  [READ_FAULT.extension]: { fault: FAULT.forbiddenValue, words: 'plain values, got a MessagePack extension' },
  [READ_FAULT.binary]: { fault: FAULT.forbiddenValue, words: 'plain values, got MessagePack binary' },
  [READ_FAULT.keyNotString]: { fault: FAULT.forbiddenValue, words: 'map keys that are strings, got another kind' },
  [READ_FAULT.duplicateKey]: { fault: FAULT.forbiddenValue, words: 'every key once, got a duplicate key' },
  [READ_FAULT.notFinite]: { fault: FAULT.forbiddenValue, words: 'finite numbers, got NaN, an infinity or too large' },
  [READ_FAULT.numberTooLarge]: {
    fault: FAULT.forbiddenValue,
    words: 'numbers within ±9007199254740991, got a larger one',
  },
};
/** Options of the protocol, not facts about a person: their numbers may be repeated. */
const SHOWN_NUMBERS: ReadonlySet<FieldName> = new Set(['id', 'count', 'deadlineMillis', 'minStateSeq']);

/** Finds id and operation of the request at `start`, past whatever is wrong with the rest. */
function identify(scanner: ValueReader, frame: Uint8Array, start: number): Identity {
  let id: number | null = null;
  let idStart = -1;
  let op = 0;
  let opText: string | undefined;
  scanner.open(frame);
  scanner.rewind(start);
  if (scanner.peekKind() !== KIND.map || !scanner.enterMap()) return { id, op, opText, idStart };
  while (scanner.hasNext()) {
    if (scanner.peekKind() !== KIND.string) {
      if (!scanner.skip() || !scanner.skip()) break;
      continue;
    }
    scanner.readKey();
    const field = FIELD_TABLE.find(scanner.spanBytes, scanner.spanStart, scanner.spanLength);
    const valueStart = scanner.position;
    if (field === FIELD.id && idStart < 0) {
      idStart = valueStart;
      if (scanner.peekKind() === KIND.number) {
        const value = scanner.readNumber();
        if (scanner.fault === READ_FAULT.none && Number.isInteger(value) && value >= 0 && value <= UINT32_MAX)
          id = value;
      }
    } else if (field === FIELD.op && opText === undefined && scanner.peekKind() === KIND.string) {
      scanner.readSpan();
      op = OP_TABLE.find(scanner.spanBytes, scanner.spanStart, scanner.spanLength) + 1;
      opText = scanner.spanText(false);
    }
    // Whatever kind it had, the value is passed by its structure, which is known to be whole.
    scanner.fault = READ_FAULT.none;
    scanner.position = valueStart;
    if (!scanner.skip()) break;
  }
  return { id, op, opText, idStart };
}

/** The value at `start` by kind and size, as the end of "got …". */
function describe(scanner: ValueReader, start: number, field: FieldName): string {
  scanner.rewind(start);
  switch (scanner.peekKind()) {
    case KIND.null:
      return 'null';
    case KIND.boolean:
      return 'a boolean';
    case KIND.number: {
      const value = scanner.readNumber();
      if (!SHOWN_NUMBERS.has(field) || scanner.fault !== READ_FAULT.none) return 'a number';
      return Number.isInteger(value) ? `the integer ${value}` : `the number ${value}`;
    }
    case KIND.string: {
      scanner.readSpan();
      if (scanner.spanLength === 0) return 'an empty string';
      const text = field === 'profile' ? undefined : scanner.spanText(false);
      const size = text === undefined ? scanner.spanLength : text.length;
      const unit = text === undefined ? 'byte' : 'character';
      return `a string of ${size} ${unit}${size === 1 ? '' : 's'}`;
    }
    case KIND.array:
      return field === 'want' || field === 'actions' ? 'another array' : 'an array';
    case KIND.map:
      return 'a map';
    case KIND.extension:
      return 'a MessagePack extension';
    case KIND.binary:
      return 'MessagePack binary';
    default:
      return 'nothing';
  }
}

/**
 * Words the complaint about the request at `start`, in the order id, operation, field.
 * @param scanner holds the frame; its place is lost.
 * @param valueStart where the refused value starts.
 * @param fault what the reader met; `none` for a wrong type or bound.
 * @param field the field concerned; undefined: the request as a whole, or a field not known.
 */
function about(
  scanner: ValueReader,
  start: number,
  valueStart: number,
  fault: ReadFault,
  field: FieldName | undefined,
  isMissing: boolean,
): Complaint {
  scanner.rewind(start);
  if (scanner.peekKind() !== KIND.map) {
    const kind = describe(scanner, start, 'op');
    return { id: null, fault: FAULT.invalidField, message: `request: expected a map, got ${kind}` };
  }
  const { id, op, opText, idStart } = identify(scanner, scanner.bytes, start);
  if (id === null) {
    const got = idStart < 0 ? 'nothing' : describe(scanner, idStart, 'id');
    return { id, fault: FAULT.invalidId, message: `request.id: expected ${EXPECTED.id}, got ${got}` };
  }
  if (op === 0) return { id, fault: FAULT.unknownOperation, message: `request.op: ${unknownOperation(opText)}` };
  const path = field === undefined ? operationName(op) : `${operationName(op)}.${field}`;
  const found = READ_FAULT_WORDS[fault];
  if (found !== undefined) return { id, fault: found.fault, message: `${path}: expected ${found.words}` };
  const expected = field === undefined ? 'a valid request' : EXPECTED[field];
  const got = isMissing || field === undefined ? 'nothing' : describe(scanner, valueStart, field);
  scanner.rewind(valueStart);
  const kind = isMissing ? KIND.null : scanner.peekKind();
  const isForbidden = kind === KIND.extension || kind === KIND.binary;
  return {
    id,
    fault: isForbidden ? FAULT.forbiddenValue : FAULT.invalidField,
    message: `${path}: expected ${expected}, got ${got}`,
  };
}

function unknownOperation(opText: string | undefined): string {
  if (opText === undefined) return `expected the name of an operation, got none; known are ${OP_NAMES.join(', ')}`;
  const nearest = nearestOperation(opText);
  const hint = nearest === '' ? `known are ${OP_NAMES.join(', ')}` : `did you mean ${nearest}?`;
  return `unknown operation of ${opText.length} characters; ${hint}`;
}

function batchTooLarge(count: number): Complaint {
  const message = `batch: expected at most ${LIMITS.batchItemsMax} requests, got ${count}`;
  return { id: null, fault: FAULT.tooLarge, message };
}

export const complain = { about, identify, batchTooLarge } as const;
