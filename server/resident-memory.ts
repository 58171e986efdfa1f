/** Resident memory of the process, in bytes. Reading it opens a file; without a descriptor left it is as it was before. */
let lastBytes = 0;

export function residentMemoryBytes(): number {
  try {
    lastBytes = process.memoryUsage.rss();
  } catch {
    // As said above: a process without descriptors goes on with what it has open.
  }
  return lastBytes;
}
