import type { Position } from '../../src/kernel/position.ts';
import type { EventLog } from '../../src/log/event-log.ts';
import { measure } from '../support/callers.ts';
import { writeTalks } from '../support/history.ts';
import { project } from '../support/projecting.ts';
import { compareRates, type Row } from '../support/rounds.ts';
import { openStores } from '../support/stores.ts';

const TALKS = 1_000;
const MESSAGES = 100;
const PAGE = 2_048;

/** Events per second from the log into documents, all projections, as in a rebuild; against only reading and decoding them. */
export async function projectingFigures(): Promise<readonly Row[]> {
  const stores = await openStores();
  try {
    const total = await writeTalks(stores.log, TALKS, MESSAGES);
    const row = await compareRates({
      name: `projecting ${total.toLocaleString('en-US')} events of 1,000 conversations, all projections`,
      unit: 'events/s',
      bar: 0.1,
      baseline: {
        name: 'only reading and decoding them',
        run: () =>
          measure(
            () => readAll(stores.log),
            () => total,
          ),
      },
      run: async () => {
        const documents = await stores.documents();
        const sample = await project(stores.log, documents, (work) => measure(work, () => total));
        await documents.close();
        return sample;
      },
    });
    return [row];
  } finally {
    await stores.remove();
  }
}

async function readAll(log: EventLog): Promise<void> {
  let from: Position | null = null;
  for (let end = false; !end; ) {
    const slice = await log.readAll({ direction: 'forwards', from, limit: PAGE });
    from = slice.next;
    end = slice.end;
  }
}
