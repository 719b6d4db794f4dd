/**
 * A process of its own, for what one process cannot show: `node sqlite-event-store.child.ts <task> <path>`.
 * - `open`: opens the log and says how that went;
 * - `load`: appends two events at a time to 16 streams until it is killed, and prints `<stream> <revision> <position>` for each answer;
 * - `fill`: appends large events until the store has refused three, then a small one, and prints how that went and what can be read.
 */
import { openSqliteEventStore, type SqliteEventStore } from '../../src/adapters/sqlite/event-store.ts';
import { isStoreError } from '../../src/kernel/errors.ts';
import { silentLogger } from '../../src/kernel/logger.ts';
import { note, testRegistry } from '../contracts/events.ts';

const CALLERS = 16;

/** Resolves once the line has left the process. */
const print = (line: string): Promise<unknown> => new Promise((resolve) => process.stdout.write(`${line}\n`, resolve));

async function load(store: SqliteEventStore): Promise<void> {
  const caller = async (stream: string) => {
    const { events } = await store.readStream(stream, { direction: 'backwards', limit: 1 });
    let revision = events[0]?.revision ?? -1n;
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
  let taken = 0;
  const outcomes: string[] = [];
  while (outcomes.length < 3) {
    const [outcome] = await Promise.allSettled([append(large)]);
    if (outcome.status === 'fulfilled') taken++;
    else outcomes.push(isStoreError(outcome.reason) ? outcome.reason.code : String(outcome.reason));
  }
  const { revision, position } = await append('small');
  let readable = 0;
  for (let end = false; !end; ) {
    const slice = await store.readStream('fill-1', { from: BigInt(readable) });
    readable += slice.events.length;
    end = slice.end;
  }
  await print(JSON.stringify({ taken, outcomes, readable, revision: Number(revision), place: Number(position) }));
}

const [task, path = ''] = process.argv.slice(2);
try {
  const store = await openSqliteEventStore({ path, registry: testRegistry, logger: silentLogger });
  if (task === 'load') await load(store);
  if (task === 'fill') await fill(store);
  if (task === 'open') await print('opened');
  await store.close();
} catch (error) {
  await print(isStoreError(error) ? `${error.code}: ${error.message}` : String(error));
}
