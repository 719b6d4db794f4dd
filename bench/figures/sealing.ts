import { conversation } from '../../src/aggregates/conversation/decider.ts';
import { eventRegistry } from '../../src/aggregates/registry.ts';
import { createCommandHandler } from '../../src/commands/handle-command.ts';
import { system } from '../../tests/support/stores.ts';
import { measure, measureCallers } from '../support/callers.ts';
import { createdEvent, messageEvent, newTalk, sendCommand, streamOf, writeTalks } from '../support/history.ts';
import { project } from '../support/projecting.ts';
import { compareRates, type Row, type Sample } from '../support/rounds.ts';
import { openStores, type Stores, UNSEALED } from '../support/stores.ts';

const CALLERS = 64;
const TALKS = 1_000;
const MESSAGES = 100;

/** What sealing costs: the same work with sealed personal fields, and without. */
export async function sealingFigures(): Promise<readonly Row[]> {
  const figures = [
    { name: `durable appends with sealed fields, ${CALLERS} callers`, unit: '/s', bar: 0.9, prepare: appends },
    {
      name: `commands with sealed fields, ${CALLERS} callers to ${CALLERS} streams`,
      unit: '/s',
      bar: 0.9,
      prepare: commands,
    },
    {
      name: `projecting ${(TALKS * (MESSAGES + 1)).toLocaleString('en-US')} events with sealed fields, all projections`,
      unit: 'events/s',
      bar: 0.85,
      prepare: projecting,
    },
  ];
  const rows: Row[] = [];
  for (const { prepare, ...rate } of figures) {
    const [sealed, unsealed] = [await openStores(eventRegistry), await openStores(UNSEALED)];
    const [run, runUnsealed] = [await prepare(sealed), await prepare(unsealed)];
    try {
      rows.push(await compareRates({ ...rate, baseline: { name: 'without sealing', run: runUnsealed }, run }));
    } finally {
      await Promise.all([sealed.remove(), unsealed.remove()]);
    }
  }
  return rows;
}

type Run = () => Promise<Sample>;

/** Appends of one message each, by callers to streams of their own, with personal keys that are in memory. */
async function appends({ log }: Stores): Promise<Run> {
  const talks = Array.from({ length: CALLERS }, () => ({ ...newTalk(), seq: 0 }));
  const append = async (talk: (typeof talks)[number]): Promise<void> => {
    const expect = talk.seq === 0 ? 'none' : BigInt(talk.seq - 1);
    await log.append(streamOf(talk), [messageEvent(talk, ++talk.seq)], { expect });
  };
  // Both members write once, which makes their keys.
  for (const talk of [...talks, ...talks]) await append(talk);
  return () =>
    measureCallers(CALLERS, async (caller) => {
      const talk = talks[caller];
      if (talk !== undefined) await append(talk);
    });
}

/** Commands that send one message each: decided and appended. */
async function commands({ log, documents }: Stores): Promise<Run> {
  const talks = Array.from({ length: CALLERS }, newTalk);
  for (const talk of talks) await log.append(streamOf(talk), [createdEvent(talk)], { expect: 'none' });
  return async () => {
    const store = await documents();
    const handler = await createCommandHandler({ ...system, log, documents: store, singleWriter: true });
    for (const { conversationId } of talks) await handler.load(conversation, conversationId, 'cached');
    const sample = await measureCallers(CALLERS, async (caller) => {
      const talk = talks[caller] ?? newTalk();
      await handler.handle(conversation, talk.conversationId, sendCommand(talk));
    });
    await handler.close();
    await store.close();
    return sample;
  };
}

/** All projections over a history, as in a rebuild after a restart: the personal keys are read too. */
async function projecting({ log, openLog, documents }: Stores): Promise<Run> {
  const total = await writeTalks(log, TALKS, MESSAGES);
  return async () => {
    const store = await documents();
    const sample = await project(openLog(), store, (work) => measure(work, () => total));
    await store.close();
    return sample;
  };
}
