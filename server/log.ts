/**
 * The node's log: lifecycle and errors as JSON lines on standard error, never one a decision, never a
 * profile key or a trait. The only importer of pino.
 */
import { type DestinationStream, destination, type Logger, pino } from 'pino';

export type Log = Logger;

/** @param level least severe level written; `silent` writes nothing. */
export function createLog(level: string, to: DestinationStream = destination({ fd: 2, sync: true })): Log {
  return pino({ level, base: { pid: process.pid }, timestamp: pino.stdTimeFunctions.isoTime }, to);
}
