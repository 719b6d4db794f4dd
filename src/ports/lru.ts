import { LRUCache } from 'lru-cache';

/**
 * A map of at most `max` entries, which drops the one used least recently. It takes memory for what it holds: an `LRUCache` that is made with `max`
 * takes that of `max` entries at once, so it is for small ones only.
 */
export function createLru<Value extends {}>(max: number): LRUCache<string, Value> {
  return new LRUCache<string, Value>({ maxSize: max, sizeCalculation: () => 1 });
}
