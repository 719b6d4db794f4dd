import { conversation } from '../aggregates/conversation/decider.ts';
import type { LiveConversation } from '../aggregates/conversation/state.ts';
import { marks } from '../aggregates/marks/decider.ts';
import { user } from '../aggregates/user/decider.ts';
import type { CommandHandler, Handled, HandleOptions } from '../commands/command-handler.ts';
import type { ConversationCommand } from '../commands/conversation.ts';
import type { RequestContext } from '../commands/request-context.ts';
import type { CommandMetadata } from '../kernel/command.ts';
import { Refusal } from '../kernel/errors.ts';
import { directConversationId, uuidv5 } from '../kernel/ids.ts';
import type { Logger } from '../kernel/logger.ts';
import type { Position } from '../kernel/position.ts';
import type { EventStore } from '../ports/event-store.ts';

/** What a 202 tells: what came into being or was changed, in which conversation, and where in the log that stands. */
export type Done = Readonly<{ _id: string; conversationId: string; position: Position }>;

/** A message as its sender asks for it. `messageId`: made by the client, or else with the request. */
export type NewMessage = Readonly<{
  content: string;
  messageId?: string;
  replyTo?: string | null;
  mentions?: readonly string[];
}>;

/**
 * Everything that is asked of conversations, for REST and sockets alike. The actor is the one in the context's metadata, whose token was verified.
 * Each method throws what `CommandHandler.handle` throws, and `not-found` for a conversation that the actor is not in.
 */
export interface Conversations {
  /** A group with its actor as owner. The new id is `context.ids.objectId('conversation')`. */
  create(input: { name: string; participants: readonly string[] }, context: RequestContext): Promise<Done>;
  /** Owner only. `expected`: the revision the caller saw. */
  delete(conversationId: string, context: RequestContext, expected?: bigint): Promise<Done>;
  addMember(conversationId: string, userId: string, context: RequestContext, expected?: bigint): Promise<Done>;
  removeMember(conversationId: string, userId: string, context: RequestContext, expected?: bigint): Promise<Done>;
  leave(conversationId: string, context: RequestContext): Promise<Done>;
  send(conversationId: string, message: NewMessage, context: RequestContext): Promise<Done>;
  /** To the 1-1 conversation with another user, which begins with its first message. */
  sendTo(otherUserId: string, message: NewMessage, context: RequestContext): Promise<Done>;
  /** The actor has the conversation open with everything up to `seq` before them; without it, everything. A stale one changes nothing. */
  open(conversationId: string, seq: number | undefined, context: RequestContext): Promise<Done>;
}

/** Marks of one user between two summaries, in events: what lies before the newest summary may be forgotten. */
const MARKS_BETWEEN_SUMMARIES = 500;

export function createConversations(deps: {
  commands: CommandHandler;
  events: EventStore;
  logger: Logger;
}): Conversations {
  const { commands } = deps;

  /** Who is named must exist and be active: a message to nobody would wait for ever. */
  async function requireUser(userId: string): Promise<void> {
    const { state } = await commands.look(user, userId, 'cached');
    if (state.status === 'active') return;
    const { state: now } = await commands.look(user, userId, 'fresh');
    if (now.status !== 'active') throw new Refusal('not-found', 'there is no such user');
  }

  async function ask(command: ConversationCommand, context: RequestContext, expected?: bigint): Promise<Handled> {
    const { conversationId } = command.data;
    return commands.handle(conversation, conversationId, command, {
      ...(expected === undefined ? {} : { expected }),
      ...repeated(context),
    });
  }

  function messageData(message: NewMessage, context: RequestContext) {
    const { content, replyTo = null, mentions = [] } = message;
    const messageId = message.messageId ?? context.ids.uuid('message', Date.parse(context.metadata.at));
    return { messageId, content, replyTo, mentions: [...mentions] };
  }

  return {
    async create({ name, participants }, context) {
      await Promise.all(participants.map(requireUser));
      const conversationId = context.ids.objectId('conversation');
      const data = { conversationId, name, participants: [...participants] };
      const handled = await ask({ type: 'CreateGroup', data, metadata: context.metadata }, context);
      return done(conversationId, conversationId, handled);
    },

    async delete(conversationId, context, expected) {
      const { metadata } = context;
      const handled = await ask({ type: 'DeleteConversation', data: { conversationId }, metadata }, context, expected);
      return done(conversationId, conversationId, handled);
    },

    async addMember(conversationId, userId, context, expected) {
      await requireUser(userId);
      const { metadata } = context;
      const handled = await ask({ type: 'AddMember', data: { conversationId, userId }, metadata }, context, expected);
      return done(userId, conversationId, handled);
    },

    async removeMember(conversationId, userId, context, expected) {
      const { metadata } = context;
      const handled = await ask(
        { type: 'RemoveMember', data: { conversationId, userId }, metadata },
        context,
        expected,
      );
      return done(userId, conversationId, handled);
    },

    async leave(conversationId, context) {
      const { metadata } = context;
      const handled = await ask({ type: 'LeaveConversation', data: { conversationId }, metadata }, context);
      return done(metadata.actor ?? '', conversationId, handled);
    },

    async send(conversationId, message, context) {
      const data = { conversationId, ...messageData(message, context) };
      const handled = await ask({ type: 'SendMessage', data, metadata: context.metadata }, context);
      return done(data.messageId, conversationId, handled);
    },

    async sendTo(otherUserId, message, context) {
      await requireUser(otherUserId);
      const conversationId = directConversationId(context.metadata.actor ?? '', otherUserId);
      const data = { conversationId, otherUserId, ...messageData(message, context) };
      const handled = await ask({ type: 'SendDirectMessage', data, metadata: context.metadata }, context);
      return done(data.messageId, conversationId, handled);
    },

    async open(conversationId, seq, context) {
      const { metadata } = context;
      const userId = metadata.actor ?? '';
      const { lastSeq, members } = await membersOnly(conversationId, userId, seq ?? 0);
      const data = { userId, conversationId, seq: seq ?? lastSeq, memberCount: members.size };
      if (data.seq > lastSeq)
        throw new Refusal('out-of-range', `the last message has number ${lastSeq}`, seqError(lastSeq));
      const command = { type: 'OpenConversation' as const, data, metadata };
      const handled = await commands.handle(marks, userId, command, repeated(context));
      await closeBooks(userId, metadata).catch((error: unknown) => {
        deps.logger.warn({ err: error, userId }, 'marks not summarised; the next one tries again');
      });
      return done(conversationId, conversationId, handled);
    },
  };

  /** The conversation, looked at and not decided on: marks are kept in the reader's own stream. */
  async function membersOnly(conversationId: string, userId: string, seq: number): Promise<LiveConversation> {
    for (const how of ['cached', 'fresh'] as const) {
      const { state } = await commands.look(conversation, conversationId, how);
      if (state.status === 'live' && state.members.has(userId) && (seq <= state.lastSeq || how === 'fresh'))
        return state;
    }
    throw new Refusal('not-found', 'there is no such conversation');
  }

  /** Sums the marks up now and then, and lets the stream forget what the sum covers. */
  async function closeBooks(userId: string, metadata: CommandMetadata): Promise<void> {
    const { state } = await commands.look(marks, userId, 'cached');
    if (state.sinceSummary < MARKS_BETWEEN_SUMMARIES) return;
    const own = { ...metadata, commandId: uuidv5(metadata.commandId, 'summary') };
    const { events, revision } = await commands.handle(marks, userId, {
      type: 'SummariseMarks',
      data: { userId },
      metadata: own,
    });
    if (revision === null || events.length === 0) return;
    await deps.events.setRetention(`marks-${userId}`, { truncateBefore: revision - BigInt(events.length - 1) });
  }
}

/** What tells the handler that the command may have been handled before. */
function repeated({ handledSince }: RequestContext): Pick<HandleOptions, 'handledSince'> {
  return handledSince === undefined ? {} : { handledSince };
}

function seqError(lastSeq: number): { errors: readonly { path: string; message: string }[] } {
  return { errors: [{ path: '/seq', message: `must be at most ${lastSeq}` }] };
}

function done(_id: string, conversationId: string, handled: Handled): Done {
  if (handled.position === null) throw new Error(`a command left conversation ${conversationId} without events`);
  return { _id, conversationId, position: handled.position };
}
