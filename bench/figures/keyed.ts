import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openEventStoreDb } from '../../src/adapters/eventstoredb/event-store.ts';
import { conversation } from '../../src/aggregates/conversation/decider.ts';
import { createClaims } from '../../src/commands/claims.ts';
import { createCommandHandler } from '../../src/commands/handle-command.ts';
import type { EventStore } from '../../src/ports/event-store.ts';
import { type MemoryStores, openMemoryStores, system } from '../../tests/support/stores.ts';
import { measureCallers } from '../support/callers.ts';
import { claimEvent, createdEvent, newTalk, sendCommand, streamOf, type Talk } from '../support/history.ts';
import { compareRates, type Row, round } from '../support/rounds.ts';
import { startEventStore } from '../support/services.ts';
import { openLogOver } from '../support/stores.ts';

const CALLERS = 20;
const COUNTED = 200;

type Stores = Pick<MemoryStores, 'store' | 'keys' | 'documents'>;
type Kind = Readonly<{ name: string; isEmbedded: boolean }>;

/** Commands with an `Idempotency-Key` against commands without, by callers to streams of their own. */
export async function keyedFigures(): Promise<readonly Row[]> {
  return [...(await embedded()), ...(await overEventStoreDb())];
}

async function embedded(): Promise<Row[]> {
  const folder = await mkdtemp(join(tmpdir(), 'parley-bench-'));
  const stores = await openMemoryStores({ folder });
  try {
    return await compare({ name: 'embedded', isEmbedded: true }, stores);
  } finally {
    await stores.close();
    await rm(folder, { recursive: true });
  }
}

async function overEventStoreDb(): Promise<Row[]> {
  const server = await startEventStore();
  const stores = await openMemoryStores();
  const store = await openEventStoreDb({ ...system, url: server.url });
  try {
    return await compare({ name: 'EventStoreDB', isEmbedded: false }, { ...stores, store });
  } finally {
    await store.close();
    await stores.close();
    await server.stop();
  }
}

/**
 * Two baselines: commands without a key, and the least that a key needs where a store has no append to two streams: a claim that is durable before
 * the command is appended.
 */
async function compare(kind: Kind, stores: Stores): Promise<Row[]> {
  const sender = await openSender(kind, stores);
  try {
    const { plain, keyed, claimed } = sender;
    const [perPlain, perKeyed] = [await bytesOf(kind, stores, 'plain'), await bytesOf(kind, stores, 'keyed')];
    const figure = { unit: '/s', bar: 0.8, run: keyed };
    const name = `commands with a key, ${kind.name}, ${CALLERS} callers`;
    const against = await compareRates({ ...figure, name, baseline: { name: 'without a key', run: plain } });
    const least = { name: 'without a key, after the append of a claim', run: claimed };
    return [
      {
        ...against,
        measured: `${against.measured}, ${perKeyed}`,
        baseline: `${against.baseline}, ${perPlain}`,
      },
      await compareRates({ ...figure, name, baseline: least }),
    ];
  } finally {
    await sender.close();
  }
}

async function openSender({ isEmbedded }: Kind, { store, keys, documents }: Stores) {
  const log = openLogOver({ store, keys });
  const commands = await createCommandHandler({ ...system, log, documents, singleWriter: isEmbedded });
  const secret = Buffer.alloc(32, 1);
  const claims = createClaims({ ...system, log, commands, secret, forgetsStreams: isEmbedded });
  const talks = Array.from({ length: CALLERS }, newTalk);
  for (const talk of talks) await log.append(streamOf(talk), [createdEvent(talk)], { expect: 'none' });

  const sendPlain = (talk: Talk) => commands.handle(conversation, talk.conversationId, sendCommand(talk));
  const sendClaimed = async (talk: Talk) => {
    const { stream, event } = claimEvent(talk);
    await log.append(stream, [event], { expect: 'none' });
    return sendPlain(talk);
  };
  const sendKeyed = (talk: Talk) => {
    const { conversationId, members } = talk;
    const command = sendCommand(talk);
    const { commandId: key, correlationId } = command.metadata;
    const [owner] = members;
    const route = 'POST /api/v1/conversations/:id/messages';
    const claim = { owner, route, key, bodyHash: 'i'.repeat(43), actor: owner, correlationId };
    return claims.run(claim, { aggregate: conversation, id: () => conversationId }, async (claimed) => {
      const { ids, commandId, earlier, ...options } = claimed;
      if (earlier !== undefined) return earlier;
      const data = { ...command.data, messageId: ids.uuid('message', 0) };
      const metadata = { ...command.metadata, commandId };
      return commands.handle(conversation, conversationId, { ...command, data, metadata }, options);
    });
  };
  const run = (send: (talk: Talk) => Promise<unknown>) => () =>
    measureCallers(CALLERS, async (caller) => void (await send(talks[caller] ?? newTalk())));
  return {
    plain: run(sendPlain),
    keyed: run(sendKeyed),
    claimed: run(sendClaimed),
    first: talks[0] ?? newTalk(),
    sendPlain,
    sendKeyed,
    close: async () => {
      await claims.close();
      await commands.close();
    },
  };
}

/** Appends, and bytes of data, metadata and stream names, for each command. */
async function bytesOf(kind: Kind, stores: Stores, how: 'plain' | 'keyed'): Promise<string> {
  let [appends, bytes, isCounting] = [0, 0, false];
  const count = (stream: string, records: readonly object[]): void => {
    if (!isCounting) return;
    appends++;
    for (const record of records) bytes += stream.length + JSON.stringify(record).length;
  };
  const counting: Pick<EventStore, 'append' | 'setRetention'> = {
    append(stream, records, options) {
      count(
        stream,
        records.map(({ source: _, ...record }) => record),
      );
      return stores.store.append(stream, records, options);
    },
    setRetention(stream, retention) {
      count(stream, [retention]);
      return stores.store.setRetention(stream, retention);
    },
  };
  const store = new Proxy(stores.store, {
    get(target, name) {
      if (name === 'append' || name === 'setRetention') return counting[name];
      const member: unknown = Reflect.get(target, name);
      return typeof member === 'function' ? member.bind(target) : member;
    },
  });
  const sender = await openSender(kind, { ...stores, store });
  isCounting = true;
  const send = how === 'plain' ? sender.sendPlain : sender.sendKeyed;
  for (let i = 0; i < COUNTED; i++) await send(sender.first);
  await sender.close();
  return `${round(appends / COUNTED)} appends of ${round(bytes / COUNTED)} bytes in all`;
}
