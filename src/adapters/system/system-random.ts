import { randomFillSync } from 'node:crypto';
import { uuidv7 } from '../../kernel/ids.ts';
import type { Random } from '../../ports/random.ts';

/** Bytes requested from the system at once: each request costs as much as making an id. */
const POOL_BYTES = 4_096;

/** Randomness from the secure generator of this machine. No byte is used twice. */
export function createSystemRandom(): Random {
  const pool = Buffer.alloc(POOL_BYTES);
  let used = POOL_BYTES;

  /** A view that is valid until the next call. */
  const take = (count: number): Buffer => {
    if (used + count > POOL_BYTES) {
      randomFillSync(pool);
      used = 0;
    }
    used += count;
    return pool.subarray(used - count, used);
  };

  const bytes = (count: number): Buffer =>
    count > POOL_BYTES ? randomFillSync(Buffer.alloc(count)) : Buffer.from(take(count));
  const uuid = (atMs: number): string => uuidv7(atMs, take(10));
  const objectId = (): string => take(12).toString('hex');
  return {
    bytes,
    fraction: () => Math.random(),
    uuid,
    objectId,
    ids: { objectId, uuid: (_name, atMs) => uuid(atMs) },
  };
}
