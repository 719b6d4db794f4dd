import { conversation } from '../../src/aggregates/conversation/decider.ts';
import { createCommandHandler } from '../../src/commands/handle-command.ts';
import { system } from '../../tests/support/stores.ts';
import { measureCallers } from '../support/callers.ts';
import { newTalk, sendCommand, type Talk, writeTalk } from '../support/history.ts';
import { compareRates, type Row } from '../support/rounds.ts';
import { openStores } from '../support/stores.ts';

const LONG = Number(process.env.BENCH_LONG_STREAM ?? 1_000_000);
const SHORT = 10;
/** Commands to a short stream before the next one is used: it would not be short any more. */
const COMMANDS_PER_SHORT = 40;
const SHORT_STREAMS = 1_000;

/** A command on a stream of a million events with a cached state, against one on a stream of ten. */
export async function longStreamFigures(): Promise<readonly Row[]> {
  const stores = await openStores();
  const { log } = stores;
  const documents = await stores.documents();
  const commands = await createCommandHandler({ ...system, log, documents, singleWriter: true });
  const sendTo = (next: () => Talk) =>
    measureCallers(1, async () => {
      const talk = next();
      await commands.handle(conversation, talk.conversationId, sendCommand(talk));
    });
  try {
    const long = newTalk();
    await writeTalk(log, long, LONG);
    const short = Array.from({ length: SHORT_STREAMS }, newTalk);
    for (const talk of short) await writeTalk(log, talk, SHORT);
    for (const talk of [long, ...short]) await commands.load(conversation, talk.conversationId, 'cached');
    let used = 0;
    const row = await compareRates({
      name: `command on a stream of ${LONG.toLocaleString('en-US')} events, cached, one caller`,
      unit: '/s',
      bar: 0.9,
      baseline: {
        name: `on one of ${SHORT}`,
        run: () => sendTo(() => short[Math.floor(used++ / COMMANDS_PER_SHORT) % SHORT_STREAMS] ?? long),
      },
      run: () => sendTo(() => long),
    });
    return [row];
  } finally {
    await commands.close();
    await documents.close();
    await stores.remove();
  }
}
