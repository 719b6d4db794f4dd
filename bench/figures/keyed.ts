import { openEventStoreDb } from '../../src/adapters/eventstoredb/event-store.ts';
import { conversation } from '../../src/aggregates/conversation/decider.ts';
import { type Claims, createClaims } from '../../src/commands/claims.ts';
import type { CommandHandler } from '../../src/commands/command-handler.ts';
import { createCommandHandler } from '../../src/commands/handle-command.ts';
import type { EventLog } from '../../src/log/event-log.ts';

import { openMemoryStores, system } from '../../tests/support/stores.ts';
import { measureCallers } from '../support/callers.ts';
import { createdEvent, newTalk, sendCommand, streamOf, type Talk } from '../support/history.ts';
import { compareRates, type Row, type Sample } from '../support/rounds.ts';
import { startEventStore } from '../support/services.ts';
import { openLogOver, openStores } from '../support/stores.ts';

const CALLERS = 20;

/** Commands with an `Idempotency-Key` against commands without, by callers to streams of their own, and by all of them to one stream. */
export async function keyedFigures(): Promise<readonly Row[]> {
  return [...(await embedded()), ...(await overEventStoreDb())];
}

async function embedded(): Promise<Row[]> {
  const stores = await openStores();
  const documents = await stores.documents();
  try {
    return await compare('embedded', stores.log, (log) =>
      createCommandHandler({ ...system, log, documents, singleWriter: true }),
    );
  } finally {
    await documents.close();
    await stores.remove();
  }
}

async function overEventStoreDb(): Promise<Row[]> {
  const server = await startEventStore();
  const { keys, documents, close } = await openMemoryStores();
  const store = await openEventStoreDb({ ...system, url: server.url });
  const log = openLogOver({ store, keys });
  try {
    return await compare('EventStoreDB', log, (counted) =>
      createCommandHandler({ ...system, log: counted, documents, singleWriter: false }),
    );
  } finally {
    await log.close();
    await close();
    await server.stop();
  }
}

async function compare(name: string, log: EventLog, open: (log: EventLog) => Promise<CommandHandler>): Promise<Row[]> {
  const commands = await open(log);
  const claims = createClaims({ ...system, log, commands, secret: Buffer.alloc(32, 1) });
  const rows: Row[] = [];
  try {
    for (const [talks, where] of [
      [CALLERS, 'streams of their own'],
      [1, 'one stream'],
    ] as const) {
      const made = Array.from({ length: talks }, newTalk);
      for (const talk of made) await log.append(streamOf(talk), [createdEvent(talk)], { expect: 'none' });
      const talkOf = (caller: number): Talk => made[caller % talks] ?? newTalk();
      const run = (send: (talk: Talk) => Promise<unknown>) => (): Promise<Sample> =>
        measureCallers(CALLERS, async (caller) => void (await send(talkOf(caller))));
      rows.push(
        await compareRates({
          name: `commands with a key, ${name}, ${CALLERS} callers to ${where}`,
          unit: '/s',
          bar: 0.8,
          baseline: { name: 'without a key', run: run((talk) => sendPlain(commands, talk)) },
          run: run((talk) => sendKeyed(commands, claims, talk)),
        }),
      );
    }
    return rows;
  } finally {
    await claims.close();
    await commands.close();
  }
}

function sendPlain(commands: CommandHandler, talk: Talk) {
  return commands.handle(conversation, talk.conversationId, sendCommand(talk));
}

function sendKeyed(commands: CommandHandler, claims: Claims, talk: Talk) {
  const { conversationId, members } = talk;
  const command = sendCommand(talk);
  const claim = {
    owner: members[0],
    route: 'POST /api/v1/conversations/:id/messages',
    key: command.metadata.commandId,
    bodyHash: 'i'.repeat(43),
    actor: members[0],
    correlationId: command.metadata.correlationId,
  };
  return claims.run(claim, { aggregate: conversation, id: () => conversationId }, async (claimed) => {
    const { ids, commandId, earlier, ...options } = claimed;
    if (earlier !== undefined) return earlier;
    const data = { ...command.data, messageId: ids.uuid('message', 0) };
    const metadata = { ...command.metadata, commandId };
    return commands.handle(conversation, conversationId, { ...command, data, metadata }, options);
  });
}
