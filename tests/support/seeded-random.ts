import { createHash } from 'node:crypto';
import { uuidv7 } from '../../src/kernel/ids.ts';
import type { Random } from '../../src/ports/random.ts';

/** Randomness that follows from a seed: the same calls give the same results. */
export function seededRandom(seed: string): Random {
  let block = 0;
  let pool = Buffer.alloc(0);

  const bytes = (count: number): Buffer => {
    while (pool.length < count) {
      const next = createHash('sha256').update(`${seed} ${block++}`).digest();
      pool = Buffer.concat([pool, next]);
    }
    const taken = Buffer.from(pool.subarray(0, count));
    pool = pool.subarray(count);
    return taken;
  };
  const uuid = (atMs: number): string => uuidv7(atMs, bytes(10));
  const objectId = (): string => bytes(12).toString('hex');
  return {
    bytes,
    fraction: () => bytes(4).readUInt32BE() / 2 ** 32,
    uuid,
    objectId,
    ids: { objectId, uuid: (_name, atMs) => uuid(atMs) },
  };
}
