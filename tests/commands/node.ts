import { conversation } from '../../src/aggregates/conversation/decider.ts';
import type { ConversationEvent } from '../../src/aggregates/conversation/events.ts';
import { eventRegistry } from '../../src/aggregates/registry.ts';
import { type Claims, createClaims } from '../../src/commands/claims.ts';
import type { CommandHandler, HandleOptions } from '../../src/commands/command-handler.ts';
import type { ConversationCommand } from '../../src/commands/conversation.ts';
import { createCommandHandler } from '../../src/commands/handle-command.ts';
import type { RecordedEvent } from '../../src/kernel/event.ts';
import { createEventLog } from '../../src/log/create-event-log.ts';
import type { EventLog } from '../../src/log/event-log.ts';
import { PersonalKeys } from '../../src/log/personal-keys.ts';
import type { Clock } from '../../src/ports/clock.ts';
import { type FaultyEventLog, faulty } from '../support/faulty-event-log.ts';
import { type MemoryStores, system } from '../support/stores.ts';

/** A command handler over an event log of its own, as another process would have it. The stores are shared. */
export type TestNode = Readonly<{ log: FaultyEventLog; commands: CommandHandler; claims: Claims }>;

export async function startNode(
  stores: MemoryStores,
  clock: Clock = system.clock,
  { forgetsStreams = true }: { forgetsStreams?: boolean } = {},
): Promise<TestNode> {
  const log = faulty(openLog(stores));
  const { documents } = stores;
  const deps = { ...system, clock, log };
  const commands = await createCommandHandler({ ...deps, documents, singleWriter: false });
  const claims = createClaims({ ...deps, commands, secret: Buffer.alloc(32, 7), forgetsStreams });
  return { log, commands, claims };
}

/** An event log over shared stores, with personal keys cached in its own memory. */
export function openLog({ store, keys }: Pick<MemoryStores, 'store' | 'keys'>): EventLog {
  const { random } = system;
  return createEventLog({ store, registry: eventRegistry, keys: new PersonalKeys({ keys, random }), random });
}

/** A command to a conversation, without its metadata. */
export type CommandBody = {
  [C in ConversationCommand as C['type']]: Pick<C, 'type' | 'data'>;
}[ConversationCommand['type']];

/** Handles a command to a conversation in the name of a user. */
export function execute(
  node: TestNode,
  actor: string,
  body: CommandBody,
  options: HandleOptions & { commandId?: string } = {},
) {
  const { commandId = newUuid(), ...handleOptions } = options;
  const command = { ...body, metadata: commandMetadata(actor, commandId) } as ConversationCommand;
  return node.commands.handle(conversation, body.data.conversationId, command, handleOptions);
}

/** Metadata of a command that is sent now. */
export function commandMetadata(actor: string, commandId = newUuid()) {
  const at = new Date(system.clock.now()).toISOString();
  return { commandId, actor, at, correlationId: commandId, causationId: null };
}

export const newId = (): string => system.random.objectId();
export const newUuid = (): string => system.random.uuid(system.clock.now());

/** A message to a conversation. */
export function message(conversationId: string, content = 'hello', messageId = newUuid()): CommandBody {
  return { type: 'SendMessage', data: { conversationId, messageId, content, replyTo: null, mentions: [] } };
}

/** Creates a group of these members, the first of them its owner, and returns its id. */
export async function group(node: TestNode, owner: string, ...participants: string[]): Promise<string> {
  const conversationId = newId();
  await execute(node, owner, { type: 'CreateGroup', data: { conversationId, name: 'team', participants } });
  return conversationId;
}

/** Erases a person as the erasure does it: the key is destroyed, then `UserErased` is appended. By another node, with an event log of its own. */
export async function erase(stores: MemoryStores, userId: string): Promise<void> {
  await stores.keys.destroy(`person/${userId}`);
  const id = newUuid();
  const metadata = { actor: userId, correlationId: 'test', causationId: null, commandId: id };
  const data = { userId, erasedAt: new Date(system.clock.now()).toISOString() };
  await openLog(stores).append(`user-${userId}`, [{ id, type: 'UserErased', data, metadata }], { expect: 'any' });
}

/** All events of a conversation. */
export async function history(
  { log }: Pick<MemoryStores, 'log'>,
  conversationId: string,
): Promise<readonly RecordedEvent<ConversationEvent>[]> {
  const events: RecordedEvent[] = [];
  for (let end = false; !end; ) {
    const slice = await log.readStream(`conversation-${conversationId}`, { from: BigInt(events.length) });
    events.push(...slice.events);
    end = slice.end;
  }
  // The streams of conversations have events of conversations only.
  return events as unknown as RecordedEvent<ConversationEvent>[];
}

/** The messages of a conversation in order. */
export async function messagesOf(stores: Pick<MemoryStores, 'log'>, conversationId: string) {
  return (await history(stores, conversationId)).flatMap((event) => (event.type === 'MessageSent' ? [event.data] : []));
}
