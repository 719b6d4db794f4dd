import { openEventStoreDb } from '../../src/adapters/eventstoredb/event-store.ts';
import { createSystemClock } from '../../src/adapters/system/system-clock.ts';
import { createSystemRandom } from '../../src/adapters/system/system-random.ts';
import { isStoreError } from '../../src/kernel/errors.ts';
import { silentLogger } from '../../src/kernel/logger.ts';
import { note } from '../contracts/events.ts';

/**
 * Uses and closes a store: `node eventstoredb-close.child.ts <connection string> <ms to wait for a connection>`. Prints `used` or `unavailable`, then
 * `closed`; nothing but what the store left behind keeps the process running after that.
 */
const [url = '', connectMs] = process.argv.slice(2);
const alive = setInterval(() => {}, 60_000);
const clock = createSystemClock();
const store = await openEventStoreDb({
  url,
  clock,
  random: createSystemRandom(),
  logger: silentLogger,
  timeouts: { connectMs: Number(connectMs) },
});
try {
  await store.append('a-1', [note('a')], { expect: 'any' });
  await store.readStream('a-1', { from: null, direction: 'forwards', limit: 10 });
  for await (const { caughtUp } of store.subscribe({ after: null, batchSize: 10 })) if (caughtUp) break;
  // One more, so that the append call is in use at the end.
  await store.append('a-1', [note('b')], { expect: 'any' });
  console.log('used');
} catch (error) {
  if (!isStoreError(error, 'UNAVAILABLE')) throw error;
  console.log('unavailable');
}
await store.close();
clearInterval(alive);
console.log('closed');
