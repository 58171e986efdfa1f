/**
 * The name somebody probably meant. Levenshtein distance over UTF-16 units, case ignored, bounded to a
 * third of the longer name (at least 2 edits) so that a suggestion is never a wild guess.
 */

/** Edits (insert, delete, replace) that turn `left` into `right`. O(length × length), one row of memory. */
export function editDistance(left: string, right: string): number {
  let previous = Array.from({ length: right.length + 1 }, (_, index) => index);
  for (let i = 1; i <= left.length; i += 1) {
    const current = [i];
    for (let j = 1; j <= right.length; j += 1) {
      const replace = (previous[j - 1] ?? 0) + (left[i - 1] === right[j - 1] ? 0 : 1);
      current.push(Math.min(replace, (previous[j] ?? 0) + 1, (current[j - 1] ?? 0) + 1));
    }
    previous = current;
  }
  return previous[right.length] ?? 0;
}

/** The closest of `candidates` to `name`, the first of equals; undefined when none is close enough. */
export function nearestMatch(name: string, candidates: Iterable<string>): string | undefined {
  const wanted = name.slice(0, 128).toLowerCase();
  let best: string | undefined;
  let bestDistance = Number.POSITIVE_INFINITY;
  for (const candidate of candidates) {
    const allowed = Math.max(2, Math.ceil(Math.max(wanted.length, candidate.length) / 3));
    if (Math.abs(candidate.length - wanted.length) > allowed) continue;
    const distance = editDistance(wanted, candidate.toLowerCase());
    // Two edits inside a two-letter name leave nothing of it: such a match says nothing.
    if (distance <= allowed && distance < Math.max(wanted.length, candidate.length) && distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}
