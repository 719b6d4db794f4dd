import { conversation } from '../aggregates/conversation/decider.ts';
import type { LiveConversation } from '../aggregates/conversation/state.ts';
import { type Mark, type MarksState, marks, oldestMarks } from '../aggregates/marks/decider.ts';
import { activeAccountOf, user } from '../aggregates/user/decider.ts';
import type { Books, ToSummarise } from '../commands/books.ts';
import type { CommandHandler } from '../commands/command-handler.ts';
import type { ConversationCommand } from '../commands/conversation.ts';
import type { MarksCommand } from '../commands/marks.ts';
import { type EarlierOutcome, mainOptions, type RequestContext } from '../commands/request-context.ts';
import { Refusal } from '../kernel/errors.ts';
import { directConversationId } from '../kernel/ids.ts';
import type { Position } from '../kernel/position.ts';

/** Content of a 202 response: the id of what was created or changed, its conversation, and the position of the outcome in the log. */
export type Done = Readonly<{ _id: string; conversationId: string; position: Position }>;

/** A command of one conversation, before it is given its metadata. */
export type ConversationChange = WithoutMetadata<ConversationCommand>;
type WithoutMetadata<Each> = Each extends ConversationCommand ? Omit<Each, 'metadata'> : never;

/** A message to send. Without `messageId`, the id is made with the request. */
export type NewMessage = Readonly<{
  content: string;
  messageId?: string;
  replyTo?: string | null;
  mentions?: readonly string[];
}>;

/**
 * Commands of conversations, for REST and WebSockets. The actor is the one in the context's metadata, whose token was verified.
 * Each method throws what `CommandHandler.handle` throws, and `not-found` for a conversation that the actor is not a member of, and for other users
 * that do not exist or are not active.
 */
export interface Conversations {
  /** Creates a group that the actor owns. The new id is `context.ids.objectId('conversation')`. */
  create(input: { name: string; participants: readonly string[] }, context: RequestContext): Promise<Done>;
  /** Performs a command that needs nothing but the conversation itself. `expected`: the revisions that the caller accepts. */
  change(change: ConversationChange, context: RequestContext, expected?: readonly bigint[]): Promise<Done>;
  addMember(
    conversationId: string,
    userId: string,
    context: RequestContext,
    expected?: readonly bigint[],
  ): Promise<Done>;
  removeMember(
    conversationId: string,
    userId: string,
    context: RequestContext,
    expected?: readonly bigint[],
  ): Promise<Done>;
  leave(conversationId: string, context: RequestContext): Promise<Done>;
  send(conversationId: string, message: NewMessage, context: RequestContext): Promise<Done>;
  /** Sends to the 1-1 conversation with another user, which the first message creates. */
  sendTo(otherUserId: string, message: NewMessage, context: RequestContext): Promise<Done>;
  /** Marks the conversation as opened by the actor and read up to `seq`, by default up to its last message. A stale mark changes nothing. */
  open(conversationId: string, seq: number | undefined, context: RequestContext): Promise<Done>;
}

export function createConversations({ commands, books }: { commands: CommandHandler; books: Books }): Conversations {
  /** Throws `not-found` unless the account is active: other accounts could never read a message. Not asked again for an answered request. */
  async function requireUser(userId: string, { earlier }: RequestContext): Promise<void> {
    if (earlier !== undefined) return;
    for (const how of ['cached', 'fresh'] as const) {
      const { state } = await commands.load(user, userId, how);
      if (activeAccountOf(state) !== null) return;
    }
    throw new Refusal('not-found', 'there is no such user');
  }

  async function handle(
    command: ConversationCommand,
    context: RequestContext,
    expected?: readonly bigint[],
  ): Promise<EarlierOutcome> {
    if (context.earlier !== undefined) return context.earlier;
    const { conversationId } = command.data;
    return commands.handle(conversation, conversationId, command, { expected, ...mainOptions(context) });
  }

  function messageData(message: NewMessage, context: RequestContext) {
    const { content, replyTo = null, mentions = [] } = message;
    const messageId = message.messageId ?? context.ids.uuid('message', Date.parse(context.metadata.at));
    return { messageId, content, replyTo, mentions: [...mentions] };
  }

  return {
    async create({ name, participants }, context) {
      await Promise.all(participants.map((userId) => requireUser(userId, context)));
      const conversationId = context.ids.objectId('conversation');
      const data = { conversationId, name, participants: [...participants] };
      const handled = await handle({ type: 'CreateGroup', data, metadata: context.metadata }, context);
      return done(conversationId, conversationId, handled);
    },

    async change(change, context, expected) {
      const handled = await handle({ ...change, metadata: context.metadata }, context, expected);
      const { conversationId } = change.data;
      return done(conversationId, conversationId, handled);
    },

    async addMember(conversationId, userId, context, expected) {
      await requireUser(userId, context);
      const { metadata } = context;
      const handled = await handle(
        { type: 'AddMember', data: { conversationId, userId }, metadata },
        context,
        expected,
      );
      return done(userId, conversationId, handled);
    },

    async removeMember(conversationId, userId, context, expected) {
      const { metadata } = context;
      const handled = await handle(
        { type: 'RemoveMember', data: { conversationId, userId }, metadata },
        context,
        expected,
      );
      return done(userId, conversationId, handled);
    },

    async leave(conversationId, context) {
      const { metadata } = context;
      const handled = await handle({ type: 'LeaveConversation', data: { conversationId }, metadata }, context);
      return done(metadata.actor ?? '', conversationId, handled);
    },

    async send(conversationId, message, context) {
      const data = { conversationId, ...messageData(message, context) };
      const handled = await handle({ type: 'SendMessage', data, metadata: context.metadata }, context);
      return done(data.messageId, conversationId, handled);
    },

    async sendTo(otherUserId, message, context) {
      await requireUser(otherUserId, context);
      const conversationId = directConversationId(context.metadata.actor ?? '', otherUserId);
      const data = { conversationId, otherUserId, ...messageData(message, context) };
      const handled = await handle({ type: 'SendDirectMessage', data, metadata: context.metadata }, context);
      return done(data.messageId, conversationId, handled);
    },

    async open(conversationId, seq, context) {
      const { metadata, earlier } = context;
      if (earlier !== undefined) return done(conversationId, conversationId, earlier);
      const userId = metadata.actor ?? '';
      const { lastSeq, members } = await conversationOf(conversationId, userId, seq ?? 0);
      if (seq !== undefined && seq > lastSeq) throw seqTooHigh(lastSeq);
      // Messages up to the joining cannot be read, so a mark before it is always one of an earlier membership.
      const readSeq = Math.max(seq ?? lastSeq, members.get(userId) ?? 0);
      const data = { userId, conversationId, seq: readSeq, memberCount: members.size };
      const command = { type: 'OpenConversation' as const, data, metadata };
      const handled = await commands.handle(marks, userId, command, mainOptions(context));
      books.consider(handled, { aggregate: marks, id: userId, metadata, summarise: (from) => summary(userId, from) });
      return done(conversationId, conversationId, handled);
    },
  };

  /** The conversation for one of its members, from its state only: marks are stored in the user's own stream. */
  async function conversationOf(conversationId: string, userId: string, seq: number): Promise<LiveConversation> {
    for (const how of ['cached', 'fresh'] as const) {
      const { state } = await commands.load(conversation, conversationId, how);
      if (state.status === 'live' && state.members.has(userId) && (seq <= state.lastSeq || how === 'fresh'))
        return state;
    }
    throw new Refusal('not-found', 'there is no such conversation');
  }

  /** The summary of the oldest marks, without those of conversations that the user has left. */
  async function summary(
    userId: string,
    { loaded, metadata, signal }: ToSummarise<MarksState>,
  ): Promise<MarksCommand | null> {
    const left: { conversationId: string; readSeq: number; openedAt: string }[] = [];
    for (const mark of oldestMarks(loaded.state)) {
      if (signal.aborted) return null;
      const { conversationId, readSeq, openedAt } = mark;
      if (await hasLeft(userId, mark)) left.push({ conversationId, readSeq, openedAt });
    }
    return { type: 'SummariseMarks', data: { userId, left }, metadata };
  }

  async function hasLeft(
    userId: string,
    { conversationId, readSeq }: Mark & { conversationId: string },
  ): Promise<boolean> {
    for (const how of ['cached', 'fresh'] as const) {
      const { state } = await commands.load(conversation, conversationId, how);
      const joinedSeq = state.status === 'live' ? state.members.get(userId) : undefined;
      // A user who left and was added again has a mark of before.
      if (joinedSeq !== undefined && joinedSeq <= readSeq) return false;
    }
    return true;
  }
}

function seqTooHigh(lastSeq: number): Refusal {
  const errors = [{ path: '/seq', message: `must be at most ${lastSeq}` }];
  return new Refusal('out-of-range', `the last message of the conversation has number ${lastSeq}`, { errors });
}

function done(_id: string, conversationId: string, { position }: EarlierOutcome): Done {
  if (position === null) throw new Error(`a command left conversation ${conversationId} without events`);
  return { _id, conversationId, position };
}
