import { openSqliteDocuments } from '../../src/adapters/sqlite/documents.ts';
import { openSqliteEventStore } from '../../src/adapters/sqlite/event-store.ts';
import { createSystemClock } from '../../src/adapters/system/system-clock.ts';
import { conversation } from '../../src/aggregates/conversation/decider.ts';
import type { ConversationEvent } from '../../src/aggregates/conversation/events.ts';
import { eventRegistry } from '../../src/aggregates/registry.ts';
import { type Claims, createClaims } from '../../src/commands/claims.ts';
import type { CommandHandler, HandleOptions } from '../../src/commands/command-handler.ts';
import type { ConversationCommand } from '../../src/commands/conversation.ts';
import { createCommandHandler } from '../../src/commands/handle-command.ts';
import type { RecordedEvent } from '../../src/kernel/event.ts';
import { randomIds, uuidv7 } from '../../src/kernel/ids.ts';
import { silentLogger } from '../../src/kernel/logger.ts';
import type { Clock } from '../../src/ports/clock.ts';
import type { DocumentStore } from '../../src/ports/documents.ts';
import type { EventStore } from '../../src/ports/event-store.ts';
import { type FaultyEventStore, faulty } from '../support/faulty-event-store.ts';

/** One event log and its documents, on which several nodes may work. */
export type Shared = Readonly<{ log: EventStore; documents: DocumentStore; close: () => Promise<void> }>;

export async function openShared(): Promise<Shared> {
  const clock = createSystemClock();
  const log = await openSqliteEventStore({ path: ':memory:', registry: eventRegistry, clock, logger: silentLogger });
  const documents = await openSqliteDocuments({ path: ':memory:', clock, logger: silentLogger });
  return {
    log,
    documents,
    close: async () => {
      await log.close();
      await documents.close();
    },
  };
}

/** A command handler over its own view of the shared log, as another process would have it. */
export type TestNode = Readonly<{ events: FaultyEventStore; commands: CommandHandler; claims: Claims }>;

export async function startNode(shared: Shared, clock: Clock = createSystemClock()): Promise<TestNode> {
  const events = faulty(shared.log);
  const deps = { events, documents: shared.documents, clock, logger: silentLogger, alone: false };
  const commands = await createCommandHandler(deps);
  const claims = createClaims({ events, commands, clock, logger: silentLogger, secret: Buffer.alloc(32, 7) });
  return { events, commands, claims };
}

/** What a command says, without what surrounds it. */
export type Asked = { [C in ConversationCommand as C['type']]: Pick<C, 'type' | 'data'> }[ConversationCommand['type']];

/** Has a conversation do something in the name of a user. */
export function ask(node: TestNode, actor: string, asked: Asked, options: HandleOptions & { commandId?: string } = {}) {
  const { commandId = uuidv7(Date.now()), ...handleOptions } = options;
  const at = new Date().toISOString();
  const metadata = { commandId, actor, at, correlationId: commandId, causationId: null };
  const command = { ...asked, metadata } as ConversationCommand;
  return node.commands.handle(conversation, asked.data.conversationId, command, handleOptions);
}

export const newId = (): string => randomIds.objectId('test');
export const newUuid = (): string => uuidv7(Date.now());

/** A message to a conversation. */
export function message(conversationId: string, content = 'hello', messageId = newUuid()): Asked {
  return { type: 'SendMessage', data: { conversationId, messageId, content, replyTo: null, mentions: [] } };
}

/** A new group of these members, the first of them its owner. */
export async function group(node: TestNode, owner: string, ...participants: string[]): Promise<string> {
  const conversationId = newId();
  await ask(node, owner, { type: 'CreateGroup', data: { conversationId, name: 'team', participants } });
  return conversationId;
}

/** The whole stream of a conversation. */
export async function history(
  shared: Shared,
  conversationId: string,
): Promise<readonly RecordedEvent<ConversationEvent>[]> {
  const events: RecordedEvent[] = [];
  for (let end = false; !end; ) {
    const slice = await shared.log.readStream(`conversation-${conversationId}`, { from: BigInt(events.length) });
    events.push(...slice.events);
    end = slice.end;
  }
  return events as unknown as RecordedEvent<ConversationEvent>[];
}

/** The messages of a conversation in order. */
export async function messagesOf(shared: Shared, conversationId: string) {
  return (await history(shared, conversationId)).flatMap((event) => (event.type === 'MessageSent' ? [event.data] : []));
}
