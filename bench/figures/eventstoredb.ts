import { EventStoreDBClient, jsonEvent, NO_STREAM } from '@eventstore/db-client';
import { openEventStoreDb } from '../../src/adapters/eventstoredb/event-store.ts';
import { conversation } from '../../src/aggregates/conversation/decider.ts';
import { createCommandHandler } from '../../src/commands/handle-command.ts';
import { openMemoryStores, system } from '../../tests/support/stores.ts';
import { measureCallers } from '../support/callers.ts';
import { createdEvent, messageEvent, newTalk, sendCommand, streamOf, type Talk } from '../support/history.ts';
import { compareRates, type Row } from '../support/rounds.ts';
import { startEventStore } from '../support/services.ts';
import { openLogOver } from '../support/stores.ts';

const CALLERS = 64;

/** Appends and commands through the event log over EventStoreDB, against a loop with the same client and as many callers. */
export async function eventStoreDbFigures(): Promise<readonly Row[]> {
  const server = await startEventStore();
  const store = await openEventStoreDb({ ...system, url: server.url });
  const { keys, documents, close } = await openMemoryStores();
  const log = openLogOver({ store, keys });
  const client = EventStoreDBClient.connectionString(server.url);
  const commands = await createCommandHandler({ ...system, log, documents, singleWriter: false });

  const bare = () =>
    measureTalks(async (talk, seq) => {
      const { id, type, data, metadata } = messageEvent(talk, seq);
      const event = jsonEvent({ id, type, data, metadata });
      const expectedRevision = seq === 1 ? NO_STREAM : BigInt(seq - 2);
      await client.appendToStream(streamOf(talk), event, { expectedRevision });
    });
  const appends = () =>
    measureTalks(async (talk, seq) => {
      const expect = seq === 1 ? 'none' : BigInt(seq - 2);
      await log.append(streamOf(talk), [messageEvent(talk, seq)], { expect });
    });
  const handled = () =>
    measureTalks(async (talk, seq) => {
      if (seq === 1) await log.append(streamOf(talk), [createdEvent(talk)], { expect: 'none' });
      else await commands.handle(conversation, talk.conversationId, sendCommand(talk));
    });
  const baseline = { name: 'a loop with the same client', run: bare };
  try {
    return [
      await compareRates({
        name: 'appends through the EventStoreDB adapter, 64 callers',
        unit: '/s',
        bar: 0.8,
        baseline,
        run: appends,
      }),
      await compareRates({
        name: 'commands through the EventStoreDB adapter, 64 callers',
        unit: '/s',
        bar: 0.8,
        baseline,
        run: handled,
      }),
    ];
  } finally {
    await commands.close();
    await log.close();
    await close();
    await client.dispose();
    await server.stop();
  }
}

/** Has each caller work on a new stream of its own, one event after the other. */
function measureTalks(work: (talk: Talk, seq: number) => Promise<void>) {
  const talks = Array.from({ length: CALLERS }, newTalk);
  return measureCallers(CALLERS, (caller, n) => work(talks[caller] ?? newTalk(), n + 1));
}
