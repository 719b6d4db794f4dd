/** Index of the first element that the test does not hold for, where it holds for all before and for none after: the length when it holds for all. */
export function partitionPoint<Element>(sorted: readonly Element[], holds: (element: Element) => boolean): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (holds(sorted[middle] as Element)) low = middle + 1;
    else high = middle;
  }
  return low;
}
