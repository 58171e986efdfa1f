/**
 * A file that says which process made it, by id, start and boot: so that what a process left behind that died
 * (kill -9, power loss, a container restarted under the same id) is known to be dead at once, without a timeout
 * and without an operator deleting files. The folder's lock and the leave to open a store are such files.
 *
 * It cannot tell processes of another machine, or of another container on the same volume: they count as dead.
 * Synchronous, because a store is opened within one call; it reads three small files of /proc.
 */
import { readFileSync } from 'node:fs';

export interface ProcessMark {
  readonly pid: number;
  /** Clock ticks between boot and the start of the process; null where the system does not tell. */
  readonly startTicks: string | null;
  readonly bootId: string | null;
  /** Tells this mark from every other one: 16 hex digits. */
  readonly nonce: string;
}

/** The text of a mark of this process. */
export function processMark(nonce: string): string {
  const { startTicks, bootId } = identityOf(process.pid);
  return `${JSON.stringify({ pid: process.pid, startTicks, bootId, nonce } satisfies ProcessMark)}\n`;
}

/** The mark in the file, or undefined where there is none. A file that is no mark of ours has nobody alive. */
export function readMark(file: string): ProcessMark | undefined {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined; // readFileSync throws errno errors only
    throw error;
  }
  try {
    const value = JSON.parse(text) as Partial<ProcessMark>; // checked field by field below
    if (Number.isInteger(value.pid) && typeof value.nonce === 'string' && /^[0-9a-f]{16}$/.test(value.nonce)) {
      const startTicks = typeof value.startTicks === 'string' ? value.startTicks : null;
      const bootId = typeof value.bootId === 'string' ? value.bootId : null;
      return { pid: value.pid as number, startTicks, bootId, nonce: value.nonce }; // an integer, checked above
    }
  } catch {
    // Not JSON: cut off by a power loss before it reached the disk.
  }
  return { pid: 0, startTicks: null, bootId: null, nonce: 'damaged' };
}

/** Whether the process that made the mark still runs. */
export function isAlive(mark: ProcessMark): boolean {
  if (mark.pid <= 0 || !exists(mark.pid)) return false;
  const now = identityOf(mark.pid);
  if (mark.bootId !== null && now.bootId !== null && mark.bootId !== now.bootId) return false;
  if (now.hasEnded) return false;
  // Not told, or hidden from this user: then the id must do.
  if (mark.startTicks === null || now.startTicks === null) return exists(mark.pid);
  // Same id, another start: the id was given to a new process, or is our own in a restarted container.
  return mark.startTicks === now.startTicks;
}

function exists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it exists and belongs to somebody else.
    return (error as NodeJS.ErrnoException).code !== 'ESRCH'; // kill throws errno errors only
  }
}

interface Identity {
  readonly startTicks: string | null;
  readonly bootId: string | null;
  /** A zombie: ended, and not yet collected by its parent. */
  readonly hasEnded: boolean;
}

/** What tells a process from a later one with the same id. */
function identityOf(pid: number): Identity {
  const bootId = readText('/proc/sys/kernel/random/boot_id')?.trim() ?? null;
  const stat = readText(`/proc/${pid}/stat`);
  if (stat === null) return { startTicks: null, bootId, hasEnded: false };
  // The name in parentheses may hold spaces; after it come the state (field 3) and, as field 22, the start.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return { startTicks: fields[19] ?? null, bootId, hasEnded: fields[0] === 'Z' || fields[0] === 'X' };
}

function readText(file: string): string | null {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return null;
  }
}
