/**
 * A separate process, which the test kills: `node sqlite-documents.child.ts <path>`.
 * Writes batches of new and changed documents, each with a checkpoint as its last write, and prints the number of each batch once it is written.
 */
import { writeSync } from 'node:fs';
import { openSqliteDocuments } from '../../src/adapters/sqlite/documents.ts';
import { createSystemClock } from '../../src/adapters/system/system-clock.ts';
import { silentLogger } from '../../src/kernel/logger.ts';
import { BATCH, COLLECTIONS, positionOf } from './sqlite-documents.batches.ts';

const [path = ''] = process.argv.slice(2);
const store = await openSqliteDocuments({ path, clock: createSystemClock(), logger: silentLogger });
await store.define(COLLECTIONS);
for (let n = 1; ; n++) {
  const position = positionOf(n);
  const write = (collection: string, id: string, body: { n: number; tags: string[] }) =>
    ({ collection, id, position, guard: 'older', body }) as const;
  const fresh = Array.from({ length: BATCH }, (_, i) => write('items', `${n}-${i}`, { n, tags: [`batch-${n}`] }));
  const changed = write('items', 'hot', { n, tags: [`hot-${n}`] });
  await store.apply({ writes: [...fresh, changed], last: write('checkpoints', 'p', { n, tags: [] }) });
  writeSync(1, `${n}\n`);
}
