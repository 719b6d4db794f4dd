import { conversation } from '../../src/aggregates/conversation/decider.ts';
import { marks } from '../../src/aggregates/marks/decider.ts';
import type { MarksEvent } from '../../src/aggregates/marks/events.ts';
import { type Books, createBooks } from '../../src/commands/books.ts';
import type { CommandHandler } from '../../src/commands/command-handler.ts';
import { createCommandHandler } from '../../src/commands/handle-command.ts';
import type { RequestContext } from '../../src/commands/request-context.ts';
import { type Conversations, createConversations } from '../../src/conversations/conversations.ts';
import { fold } from '../../src/kernel/decider.ts';
import type { RecordedEvent } from '../../src/kernel/event.ts';
import { silentLogger } from '../../src/kernel/logger.ts';
import { type FaultyEventLog, faulty } from '../support/faulty-event-log.ts';
import type { ManualClock } from '../support/manual-clock.ts';
import { type MemoryStores, system } from '../support/stores.ts';
import { type CommandBody, newUuid, openLog } from './node.ts';

export const HOUR_MS = 60 * 60_000;
export const DAY_MS = 24 * HOUR_MS;

/** A node whose clock a test moves: its commands, the books of its streams, and the warnings that it logged. */
export type ClosingNode = Readonly<{
  log: FaultyEventLog;
  commands: CommandHandler;
  books: Books;
  conversations: Conversations;
  warnings: string[];
}>;

export async function startClosingNode(stores: MemoryStores, clock: ManualClock): Promise<ClosingNode> {
  const log = faulty(openLog(stores));
  const warnings: string[] = [];
  const logger = { ...silentLogger, warn: (_fields: object, text: string) => void warnings.push(text) };
  const deps = { ...system, clock, logger, log };
  const commands = await createCommandHandler({ ...deps, documents: stores.documents, singleWriter: false });
  const books = createBooks({ ...deps, commands });
  return { log, commands, books, conversations: createConversations({ commands, books }), warnings };
}

/** The context of a request of this user, `afterMs` after the time of the clock. */
export function requestOf(clock: ManualClock, actor: string, afterMs = 0): RequestContext {
  const at = new Date(clock.now() + afterMs).toISOString();
  const metadata = { commandId: newUuid(), actor, at, correlationId: 'test', causationId: null };
  return { ids: system.random.ids, metadata };
}

/** Sends a command to a conversation in the name of a user. */
export function change(node: ClosingNode, clock: ManualClock, actor: string, body: CommandBody) {
  const { metadata } = requestOf(clock, actor);
  return node.commands.handle(conversation, body.data.conversationId, { ...body, metadata });
}

/** All events of a stream that retention has left. */
export async function leftOf(stores: MemoryStores, stream: string): Promise<readonly RecordedEvent[]> {
  const events: RecordedEvent[] = [];
  for (let end = false; !end; ) {
    const from = (events.at(-1)?.revision ?? -1n) + 1n;
    const slice = await stores.log.readStream(stream, { from, limit: 4_096 });
    events.push(...slice.events);
    end = slice.end;
  }
  return events;
}

/** The marks of a user as they are read from the stream, by conversation. */
export async function marksOf(stores: MemoryStores, userId: string): Promise<Record<string, number>> {
  // The streams of marks have events of marks only.
  const events = (await leftOf(stores, `marks-${userId}`)) as unknown as readonly MarksEvent[];
  return Object.fromEntries([...fold(marks, events).marks].map(([id, { readSeq }]) => [id, readSeq]));
}
