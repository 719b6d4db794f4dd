import { openEventStoreDb } from '../../src/adapters/eventstoredb/event-store.ts';
import { conversation } from '../../src/aggregates/conversation/decider.ts';
import { createCommandHandler } from '../../src/commands/handle-command.ts';
import { Refusal } from '../../src/kernel/errors.ts';
import { openMemoryStores, system } from '../../tests/support/stores.ts';
import { measureCallers } from '../support/callers.ts';
import { newTalk, sendCommand, writeTalk } from '../support/history.ts';
import { quantile, type Row, round } from '../support/rounds.ts';
import { startEventStore } from '../support/services.ts';
import { openLogOver } from '../support/stores.ts';

const NODES = 4;
const CALLERS_PER_NODE = 16;

/** Four command handlers, each with its own connection, that write to one conversation, against one of them. */
export async function nodesFigures(): Promise<readonly Row[]> {
  const server = await startEventStore();
  try {
    const one = await run(server.url, 1);
    const four = await run(server.url, NODES);
    return [
      {
        figure: `${NODES} nodes writing to one conversation, ${CALLERS_PER_NODE} callers each`,
        measured: `${round(four.rate)} /s, p50 ${round(four.p50)} ms, p99 ${round(four.p99)} ms, ${four.refused} refused`,
        baseline: `one node: ${round(one.rate)} /s, p50 ${round(one.p50)} ms, p99 ${round(one.p99)} ms`,
        ratio: (four.rate / one.rate).toFixed(2),
        bar: 'no 503',
        verdict: four.refused === 0 ? 'reached' : `missed: ${four.refused} times 503`,
      },
    ];
  } finally {
    await server.stop();
  }
}

async function run(url: string, nodes: number) {
  const { documents, keys, close } = await openMemoryStores();
  const logs = await Promise.all(
    Array.from({ length: nodes }, async () => openLogOver({ store: await openEventStoreDb({ ...system, url }), keys })),
  );
  const handlers = await Promise.all(
    logs.map((log) => createCommandHandler({ ...system, log, documents, singleWriter: false })),
  );
  const talk = newTalk();
  for (const log of logs.slice(0, 1)) await writeTalk(log, talk, 10);
  const times: number[] = [];
  let refused = 0;
  const { rate } = await measureCallers(nodes * CALLERS_PER_NODE, async (caller) => {
    const sentAt = performance.now();
    try {
      await handlers[caller % nodes]?.handle(conversation, talk.conversationId, sendCommand(talk));
      times.push(performance.now() - sentAt);
    } catch (error) {
      if (!(error instanceof Refusal && error.code === 'unavailable')) throw error;
      refused++;
    }
  });
  await Promise.all(handlers.map((commands) => commands.close()));
  await Promise.all(logs.map((log) => log.close()));
  await close();
  const handled = (rate * times.length) / (times.length + refused);
  return { rate: handled, refused, p50: quantile(times, 0.5), p99: quantile(times, 0.99) };
}
