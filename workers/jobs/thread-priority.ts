/**
 * The CPU priority of one thread. A thread of the job pool competes with the shards for processors as an
 * equal unless it is told not to; at nice 19, the lowest, it weighs 15 against a shard's 1,024, so it runs in
 * what the shards leave and still never starves: on a machine without any idle time a job takes longer.
 *
 * Linux only, where a nice value is a thread's own: elsewhere it is the whole process's, shards included,
 * and the thread is left as it is. It holds within a session of the system's scheduler: a job in a process
 * of another terminal or service (`opportune replay`) is weighed as that session. What a thread starts
 * inherits its value, hence `JobPool` sees to it that Node's own pool is there before any job thread.
 * V8's collector borrows the process's helper threads, which stay as they are: jobs make little garbage.
 */
import { readlinkSync } from 'node:fs';
import { constants, setPriority } from 'node:os';

/** Lowers the calling thread for good: raising it again takes a privilege. A failure is a warning, the thread goes on. */
export function lowerThreadPriority(): void {
  if (process.platform !== 'linux') return;
  try {
    // "PID/task/TID". Node has no call for a thread's own id, and 0 would mean the process's first thread's.
    const threadId = Number(readlinkSync('/proc/thread-self').split('/')[2]);
    setPriority(threadId, constants.priority.PRIORITY_LOW);
  } catch (error) {
    process.emitWarning(`jobs run at normal CPU priority: ${error instanceof Error ? error.message : String(error)}`);
  }
}
