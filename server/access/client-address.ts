/**
 * The address of a client as limits count it. Transports and kernels spell one address in several ways, and
 * an IPv6 customer has a whole /64 to choose from, so that each of its addresses would begin with a full
 * bucket. Behind a proxy every client has the proxy's address: limit there instead.
 */
import { isIPv4 } from 'node:net';

/** `127.0.0.1`, or `2001:db8:0:1::/64`. What is no address is one caller of its own. */
export function clientAddress(text: string): string {
  const bare = text.toLowerCase().split('%', 1)[0] ?? '';
  if (isIPv4(bare)) return bare;
  const groups = groupsOf(bare);
  if (groups === null) return 'unknown';
  const isMapped = groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff;
  if (isMapped) {
    const [high = 0, low = 0] = groups.slice(6);
    return [high >> 8, high & 255, low >> 8, low & 255].join('.');
  }
  const prefix = groups.slice(0, 4).map((group) => group.toString(16));
  return `${prefix.join(':')}::/64`;
}

/** The eight groups of an IPv6 address, or null. */
function groupsOf(text: string): number[] | null {
  const plain = text.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_, a: string, b: string, c: string, d: string) =>
    [(Number(a) << 8) | Number(b), (Number(c) << 8) | Number(d)].map((group) => group.toString(16)).join(':'),
  );
  const halves = plain.split('::');
  if (halves.length > 2) return null;
  const [head = [], tail] = halves.map((half) => (half === '' ? [] : half.split(':')));
  const missing = 8 - head.length - (tail?.length ?? 0);
  if (tail === undefined ? missing !== 0 : missing < 1) return null;
  const groups = [...head, ...new Array<string>(tail === undefined ? 0 : missing).fill('0'), ...(tail ?? [])];
  return groups.every((group) => /^[0-9a-f]{1,4}$/.test(group))
    ? groups.map((group) => Number.parseInt(group, 16))
    : null;
}
