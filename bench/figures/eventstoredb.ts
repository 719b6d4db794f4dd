import { EventStoreDBClient, jsonEvent, NO_STREAM } from '@eventstore/db-client';
import { openEventStoreDb } from '../../src/adapters/eventstoredb/event-store.ts';
import { openSqliteDocuments } from '../../src/adapters/sqlite/documents.ts';
import { createSystemClock } from '../../src/adapters/system/system-clock.ts';
import { conversation } from '../../src/aggregates/conversation/decider.ts';
import { eventRegistry } from '../../src/aggregates/registry.ts';
import { createCommandHandler } from '../../src/commands/handle-command.ts';
import { uuidv7 } from '../../src/kernel/ids.ts';
import { silentLogger } from '../../src/kernel/logger.ts';
import { seconds } from '../support/environment.ts';
import { createdEvent, messageEvent, newTalk, type Talk } from '../support/history.ts';
import { compareRates, type Row } from '../support/rounds.ts';
import { startEventStore } from '../support/services.ts';

const CALLERS = 64;

/** Appends and commands through the adapter, against a bare loop with the same client and as many callers. */
export async function eventStoreDbFigures(): Promise<readonly Row[]> {
  const server = await startEventStore();
  const clock = createSystemClock();
  const options = { url: server.url, registry: eventRegistry, clock, logger: silentLogger };
  const store = await openEventStoreDb(options);
  const client = EventStoreDBClient.connectionString(server.url);
  const documents = await openSqliteDocuments({ path: ':memory:', clock, logger: silentLogger });
  const commands = await createCommandHandler({ events: store, documents, clock, logger: silentLogger, alone: false });

  const bare = () =>
    perSecond(async (talk, seq) => {
      const { id, type, data, metadata } = messageEvent(talk, seq);
      const event = jsonEvent({ id, type, data, metadata });
      const expectedRevision = seq === 1 ? NO_STREAM : BigInt(seq - 2);
      await client.appendToStream(`conversation-${talk.conversationId}`, event, { expectedRevision });
    });
  const appends = () =>
    perSecond(async (talk, seq) => {
      const expect = seq === 1 ? 'none' : BigInt(seq - 2);
      await store.append(`conversation-${talk.conversationId}`, [messageEvent(talk, seq)], { expect });
    });
  const handled = () =>
    perSecond(async (talk, seq) => {
      const { conversationId, members } = talk;
      if (seq === 1)
        return void (await store.append(`conversation-${conversationId}`, [createdEvent(talk)], { expect: 'none' }));
      const now = Date.now();
      const commandId = uuidv7(now);
      const at = new Date(now).toISOString();
      const metadata = { commandId, actor: members[0], at, correlationId: commandId, causationId: null };
      const message = { messageId: uuidv7(now), content: 'Shall we meet at noon?', replyTo: null, mentions: [] };
      const data = { conversationId, ...message };
      await commands.handle(conversation, conversationId, { type: 'SendMessage', data, metadata });
    });
  const baseline = { name: 'a bare loop with the same client', run: bare };
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
    await documents.close();
    await store.close();
    await client.dispose();
    await server.stop();
  }
}

/** Has each caller work on a new stream of its own, event after event. */
async function perSecond(work: (talk: Talk, seq: number) => Promise<void>): Promise<number> {
  const started = performance.now();
  const end = started + seconds() * 1_000;
  let done = 0;
  const caller = async (): Promise<void> => {
    const talk = newTalk();
    for (let seq = 1; performance.now() < end; seq++) {
      await work(talk, seq);
      done++;
    }
  };
  await Promise.all(Array.from({ length: CALLERS }, caller));
  return (done / (performance.now() - started)) * 1_000;
}
