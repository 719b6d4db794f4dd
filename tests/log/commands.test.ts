import { describe, expect, it, onTestFinished } from 'vitest';
import type { CommandHandler } from '../../src/commands/command-handler.ts';
import { createCommandHandler } from '../../src/commands/handle-command.ts';
import type { Command } from '../../src/kernel/command.ts';
import type { Aggregate } from '../../src/kernel/decider.ts';
import { StoreError } from '../../src/kernel/errors.ts';
import type { Event } from '../../src/kernel/event.ts';
import type { Json } from '../../src/kernel/json.ts';
import type { EventStore } from '../../src/ports/event-store.ts';
import type { KeyStore } from '../../src/ports/keys.ts';
import { memoryDocuments } from '../projections/support.ts';
import { system } from '../support/stores.ts';
import { openTestStores, type TestLog, withoutSources } from './fixtures.ts';

type Write = Command<'Write', Event>;

/** An aggregate that makes the event in the command, and counts events. */
const box: Aggregate<number, Write, Event> = {
  category: 'box',
  snapshotVersion: 1,
  initialState: 0,
  decide: ({ data }) => [data],
  evolve: (count) => count + 1,
  freeze: (count) => count,
  thaw: (frozen: Json) => Number(frozen),
  weight: () => 1,
};

const letter = (senderId: string, text: string): Event => ({
  type: 'LetterSent',
  data: { senderId, receiverId: null, stamp: 1, text },
});

const noteOf = (text: Json): Event => ({ type: 'NoteTaken', data: { text } });

function write(commands: CommandHandler, event: Event) {
  const commandId = system.random.uuid(system.clock.now());
  const at = new Date(system.clock.now()).toISOString();
  const metadata = { commandId, actor: null, at, correlationId: commandId, causationId: null };
  return commands.handle(box, '1', { type: 'Write', data: event, metadata });
}

async function startCommands({ log }: TestLog): Promise<CommandHandler> {
  const commands = await createCommandHandler({
    ...system,
    log,
    documents: await memoryDocuments(),
    singleWriter: true,
  });
  onTestFinished(() => commands.close());
  return commands;
}

/** A store that counts its appends. */
function counting(store: EventStore) {
  const appends: number[] = [];
  const counted: EventStore = {
    ...withoutSources(store),
    append(stream, records, options) {
      appends.push(records.length);
      return store.append(stream, records, options);
    },
  };
  return { store: counted, appends };
}

const contents = async ({ log }: TestLog) => (await log.readStream('box-1')).events.map(({ data }) => data.text);

describe('commands that are handled together', () => {
  it('fail alone when their own event is not allowed by its schema', async () => {
    const stores = await openTestStores();
    const { store, appends } = counting(stores.store);
    const node = stores.another({ store });
    const commands = await startCommands(node);
    const outcomes = await Promise.allSettled([
      write(commands, noteOf('first')),
      write(commands, noteOf(7)),
      write(commands, noteOf('third')),
    ]);
    expect(outcomes).toMatchObject([
      { status: 'fulfilled', value: { revision: 0n, events: [noteOf('first')] } },
      { status: 'rejected', reason: { code: 'INVALID', message: expect.stringContaining('/text must be a string') } },
      { status: 'fulfilled', value: { revision: 1n, events: [noteOf('third')] } },
    ]);
    expect(appends).toEqual([2]);
    expect(await contents(node)).toEqual(['first', 'third']);
  });

  it('fail alone when their event has an unknown type', async () => {
    const node = await openTestStores();
    const commands = await startCommands(node);
    const outcomes = await Promise.allSettled([
      write(commands, { type: 'NeverDefined', data: {} }),
      write(commands, noteOf('second')),
    ]);
    expect(outcomes).toMatchObject([{ status: 'rejected', reason: { code: 'INVALID' } }, { status: 'fulfilled' }]);
    expect(await contents(node)).toEqual(['second']);
  });

  it('are handled at once when the personal key of one cannot be read, and that one is refused as unavailable', async () => {
    const stores = await openTestStores();
    const gate = Promise.withResolvers<void>();
    const keys: KeyStore = {
      get: (name) => stores.keys.get(name),
      getMany: (names) => stores.keys.getMany(names),
      async create(name, secret) {
        if (!name.endsWith('bob')) return stores.keys.create(name, secret);
        await gate.promise;
        throw new StoreError('UNAVAILABLE', 'unavailable, as the test wants it');
      },
      destroy: (name) => stores.keys.destroy(name),
      list: (prefix) => stores.keys.list(prefix),
      close: () => stores.keys.close(),
    };
    const node = stores.another({ keys });
    const commands = await startCommands(node);
    let outcome: unknown = 'waiting';
    const refused = write(commands, letter('bob', 'of bob')).then(
      () => 'handled',
      (error: unknown) => {
        outcome = error;
        return error;
      },
    );
    await write(commands, letter('ann', 'of ann'));
    await write(commands, letter('ann', 'more of ann'));
    expect(outcome).toBe('waiting');
    gate.resolve();
    expect(await refused).toMatchObject({ name: 'Refusal', code: 'unavailable' });
    expect(await contents(node)).toEqual(['of ann', 'more of ann']);
    const { records } = await stores.store.readStream('box-1', { from: null, direction: 'forwards', limit: 10 });
    expect(records).toHaveLength(2);
  });

  it('are refused as unauthenticated when their person was erased', async () => {
    const node = await openTestStores();
    const commands = await startCommands(node);
    await write(commands, letter('ann', 'before'));
    await node.personalKeys.destroy('ann');
    const outcomes = await Promise.allSettled([
      write(commands, letter('ann', 'after')),
      write(commands, letter('bob', 'of bob')),
    ]);
    expect(outcomes).toMatchObject([{ reason: { code: 'unauthenticated' } }, { status: 'fulfilled' }]);
    expect(await contents(node.another())).toEqual([null, 'of bob']);
  });
});
