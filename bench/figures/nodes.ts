import { openEventStoreDb } from '../../src/adapters/eventstoredb/event-store.ts';
import { openSqliteDocuments } from '../../src/adapters/sqlite/documents.ts';
import { createSystemClock } from '../../src/adapters/system/system-clock.ts';
import { conversation } from '../../src/aggregates/conversation/decider.ts';
import { eventRegistry } from '../../src/aggregates/registry.ts';
import { createCommandHandler } from '../../src/commands/handle-command.ts';
import { Refusal } from '../../src/kernel/errors.ts';
import { uuidv7 } from '../../src/kernel/ids.ts';
import { silentLogger } from '../../src/kernel/logger.ts';
import { seconds } from '../support/environment.ts';
import { newTalk, type Talk, writeTalk } from '../support/history.ts';
import { quantile, type Row, round } from '../support/rounds.ts';
import { startEventStore } from '../support/services.ts';

const NODES = 4;
const CALLERS_PER_NODE = 16;

/** Four command handlers, each over a connection of its own, that write to one conversation. */
export async function nodesFigures(): Promise<readonly Row[]> {
  const server = await startEventStore();
  try {
    const alone = await run(server.url, 1);
    const four = await run(server.url, NODES);
    return [
      {
        figure: `${NODES} nodes writing to one conversation, ${CALLERS_PER_NODE} callers each`,
        measured: `${round(four.rate)} /s, p50 ${round(four.p50)} ms, p99 ${round(four.p99)} ms, ${four.refused} refused`,
        baseline: `one node: ${round(alone.rate)} /s, p50 ${round(alone.p50)} ms, p99 ${round(alone.p99)} ms`,
        ratio: (four.rate / alone.rate).toFixed(2),
        bar: 'no 503',
        verdict: four.refused === 0 ? 'reached' : `missed: ${four.refused} times 503`,
      },
    ];
  } finally {
    await server.stop();
  }
}

async function run(url: string, nodes: number) {
  const clock = createSystemClock();
  const logger = silentLogger;
  const documents = await openSqliteDocuments({ path: ':memory:', clock, logger });
  const stores = await Promise.all(
    Array.from({ length: nodes }, () => openEventStoreDb({ url, registry: eventRegistry, clock, logger })),
  );
  const handlers = await Promise.all(
    stores.map((events) => createCommandHandler({ events, documents, clock, logger, alone: false })),
  );
  const talk = newTalk();
  await writeTalk(stores[0] ?? (await openEventStoreDb({ url, registry: eventRegistry, clock, logger })), talk, 10);
  const times: number[] = [];
  let refused = 0;
  const started = performance.now();
  const end = started + seconds() * 1_000;
  const callers = handlers.flatMap((commands) =>
    Array.from({ length: CALLERS_PER_NODE }, async () => {
      while (performance.now() < end) {
        const sent = performance.now();
        try {
          await commands.handle(conversation, talk.conversationId, message(talk));
          times.push(performance.now() - sent);
        } catch (error) {
          if (!(error instanceof Refusal && error.code === 'unavailable')) throw error;
          refused++;
        }
      }
    }),
  );
  await Promise.all(callers);
  const rate = (times.length / (performance.now() - started)) * 1_000;
  await Promise.all(handlers.map((commands) => commands.close()));
  await Promise.all(stores.map((store) => store.close()));
  await documents.close();
  return { rate, refused, p50: quantile(times, 0.5), p99: quantile(times, 0.99) };
}

function message({ conversationId, members }: Talk) {
  const now = Date.now();
  const commandId = uuidv7(now);
  const at = new Date(now).toISOString();
  const metadata = { commandId, actor: members[0], at, correlationId: commandId, causationId: null };
  const data = {
    conversationId,
    messageId: uuidv7(now),
    content: 'Shall we meet at noon?',
    replyTo: null,
    mentions: [],
  };
  return { type: 'SendMessage', data, metadata } as const;
}
