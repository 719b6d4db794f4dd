import { createSystemClock } from '../../src/adapters/system/system-clock.ts';
import { silentLogger } from '../../src/kernel/logger.ts';
import type { Position } from '../../src/kernel/position.ts';
import { projections as catalogue } from '../../src/projections/models/catalogue.ts';
import { createProjections } from '../../src/projections/runner/projections.ts';
import { createdEvent, messageEvent, newTalk } from '../support/history.ts';
import { compareRates, type Row } from '../support/rounds.ts';
import { openStores, type Stores } from '../support/stores.ts';

const TALKS = 1_000;
const MESSAGES = 100;
const PAGE = 2_048;

/** Events a second from the log into documents, all projections, as in a rebuild; against reading and parsing them alone. */
export async function projectingFigures(): Promise<readonly Row[]> {
  const stores = await openStores();
  try {
    const total = await write(stores);
    const row = await compareRates({
      name: `projecting ${total.toLocaleString('en-US')} events of 1,000 conversations, all projections`,
      unit: 'events/s',
      bar: 0.1,
      baseline: { name: 'reading and parsing them, nothing else', run: () => perSecond(total, () => readAll(stores)) },
      run: () => project(stores, total),
    });
    return [row];
  } finally {
    await stores.remove();
  }
}

/** A message to each conversation in turn, as a busy day brings them. */
async function write({ events }: Stores): Promise<number> {
  const talks = Array.from({ length: TALKS }, newTalk);
  const stream = (index: number) => `conversation-${talks[index]?.conversationId}`;
  await Promise.all(talks.map((talk, i) => events.append(stream(i), [createdEvent(talk)], { expect: 'none' })));
  for (let seq = 1; seq <= MESSAGES; seq++) {
    const expect = BigInt(seq - 1);
    await Promise.all(talks.map((talk, i) => events.append(stream(i), [messageEvent(talk, seq)], { expect })));
  }
  return TALKS * (MESSAGES + 1);
}

async function readAll({ events }: Stores): Promise<void> {
  let from: Position | null = null;
  for (let end = false; !end; ) {
    const slice = await events.readAll({ direction: 'forwards', from, limit: PAGE });
    from = slice.next;
    end = slice.end;
  }
}

async function project(stores: Stores, total: number): Promise<number> {
  const documents = await stores.documents();
  const head = await stores.events.head();
  const options = { events: stores.events, documents, clock: createSystemClock(), logger: silentLogger };
  const projections = createProjections({ ...options, projections: catalogue, owner: 'bench', run: true });
  const rate = await perSecond(total, async () => {
    projections.start();
    const names = catalogue.map(({ name }) => name);
    if (head === null || !(await projections.readModels.waitFor(names, head, 600_000)))
      throw new Error('never got there');
  });
  await projections.close();
  await documents.close();
  return rate;
}

async function perSecond(count: number, work: () => Promise<void>): Promise<number> {
  const started = performance.now();
  await work();
  return (count / (performance.now() - started)) * 1_000;
}
