/**
 * A separate process, for tests that need one: `node sqlite-event-store.child.ts <task> <path>`.
 * - `open`: opens the store and prints `opened` or the error;
 * - `load`: appends two records at a time to 16 streams until it is killed, and prints `<stream> <revision> <position>` for each resolved append;
 * - `fill`: appends large records until three were rejected, then a small one, and prints the outcomes and the number of readable records.
 */
import { openSqliteEventStore, type SqliteEventStore } from '../../src/adapters/sqlite/event-store.ts';
import { createSystemClock } from '../../src/adapters/system/system-clock.ts';
import { createSystemRandom } from '../../src/adapters/system/system-random.ts';
import { isStoreError } from '../../src/kernel/errors.ts';
import { silentLogger } from '../../src/kernel/logger.ts';
import { note } from '../contracts/events.ts';
import { readStream } from '../contracts/following.ts';

const CALLERS = 16;

/** Resolves once the line was written to the pipe. */
const print = (line: string): Promise<unknown> => new Promise((resolve) => process.stdout.write(`${line}\n`, resolve));

async function load(store: SqliteEventStore): Promise<void> {
  const caller = async (stream: string) => {
    const { records } = await readStream(store, stream, { direction: 'backwards', limit: 1 });
    let revision = records[0]?.revision ?? -1n;
    for (;;) {
      const pair = [note(`${revision + 1n}`), note(`${revision + 2n}`)];
      const appended = await store.append(stream, pair, { expect: revision < 0n ? 'none' : revision });
      revision = appended.revision;
      await print(`${stream} ${revision} ${appended.position}`);
    }
  };
  await Promise.all(Array.from({ length: CALLERS }, (_, n) => caller(`load-${n}`)));
}

async function fill(store: SqliteEventStore): Promise<void> {
  const large = 'x'.repeat(900_000);
  const append = (text: string) => store.append('fill-1', [note(text)], { expect: 'any' });
  let written = 0;
  const outcomes: string[] = [];
  while (outcomes.length < 3) {
    const [outcome] = await Promise.allSettled([append(large)]);
    if (outcome.status === 'fulfilled') written++;
    else outcomes.push(isStoreError(outcome.reason) ? outcome.reason.code : String(outcome.reason));
  }
  const { revision, position } = await append('small');
  let readable = 0;
  for (let end = false; !end; ) {
    const slice = await readStream(store, 'fill-1', { from: BigInt(readable) });
    readable += slice.records.length;
    end = slice.end;
  }
  await print(JSON.stringify({ written, outcomes, readable, revision: Number(revision), place: Number(position) }));
}

const [task, path = ''] = process.argv.slice(2);
try {
  const store = await openSqliteEventStore({
    path,
    clock: createSystemClock(),
    random: createSystemRandom(),
    logger: silentLogger,
  });
  if (task === 'load') await load(store);
  if (task === 'fill') await fill(store);
  if (task === 'open') await print('opened');
  await store.close();
} catch (error) {
  await print(isStoreError(error) ? `${error.code}: ${error.message}` : String(error));
}
