import { createSystemClock } from '../../src/adapters/system/system-clock.ts';
import { conversation } from '../../src/aggregates/conversation/decider.ts';
import type { CommandHandler } from '../../src/commands/command-handler.ts';
import { createCommandHandler } from '../../src/commands/handle-command.ts';
import { uuidv7 } from '../../src/kernel/ids.ts';
import { silentLogger } from '../../src/kernel/logger.ts';
import { seconds } from '../support/environment.ts';
import { newTalk, type Talk, writeTalk } from '../support/history.ts';
import { compareRates, type Row } from '../support/rounds.ts';
import { openStores } from '../support/stores.ts';

const LONG = Number(process.env.BENCH_LONG_STREAM ?? 1_000_000);
const SHORT = 10;
/** A short stream is left after so many commands: it would not be short any more. */
const COMMANDS_PER_SHORT = 40;
const SHORT_STREAMS = 1_000;

/** A command on a stream of a million events, warm, against one of ten. */
export async function longStreamFigures(): Promise<readonly Row[]> {
  const stores = await openStores();
  const documents = await stores.documents();
  const commands = await createCommandHandler({
    events: stores.events,
    documents,
    clock: createSystemClock(),
    logger: silentLogger,
    alone: true,
  });
  try {
    const long = newTalk();
    await writeTalk(stores.events, long, LONG);
    const short = Array.from({ length: SHORT_STREAMS }, newTalk);
    for (const talk of short) await writeTalk(stores.events, talk, SHORT);
    for (const talk of [long, ...short]) await commands.look(conversation, talk.conversationId, 'cached');
    let used = 0;
    const row = await compareRates({
      name: `command on a stream of ${LONG.toLocaleString('en-US')} events, warm, one caller`,
      unit: '/s',
      bar: 0.9,
      baseline: {
        name: `on one of ${SHORT}`,
        run: () => sendFor(commands, () => short[Math.floor(used++ / COMMANDS_PER_SHORT) % SHORT_STREAMS] ?? long),
      },
      run: () => sendFor(commands, () => long),
    });
    return [row];
  } finally {
    await commands.close();
    await documents.close();
    await stores.remove();
  }
}

async function sendFor(commands: CommandHandler, next: () => Talk): Promise<number> {
  const started = performance.now();
  const end = started + seconds() * 1_000;
  let sent = 0;
  for (; performance.now() < end; sent++) {
    const { conversationId, members } = next();
    const now = Date.now();
    const commandId = uuidv7(now);
    const metadata = {
      commandId,
      actor: members[0],
      at: new Date(now).toISOString(),
      correlationId: commandId,
      causationId: null,
    };
    const data = {
      conversationId,
      messageId: uuidv7(now),
      content: 'Shall we meet at noon?',
      replyTo: null,
      mentions: [],
    };
    await commands.handle(conversation, conversationId, { type: 'SendMessage', data, metadata });
  }
  return (sent / (performance.now() - started)) * 1_000;
}
