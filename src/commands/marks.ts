import { Type } from 'typebox';
import { type CommandsOf, ConversationId, closed, UserId } from './fields.ts';

/** Commands of the marks of one user. */
export const marksCommands = {
  /** The user has opened the conversation and read everything up to `seq`, which is at most the number of the conversation's last message. */
  OpenConversation: closed({
    userId: UserId,
    conversationId: ConversationId,
    seq: Type.Integer({ minimum: 0 }),
    /** Members that the conversation has at this time. */
    memberCount: Type.Integer({ minimum: 1 }),
  }),
  /** Repeats the oldest marks at the end of the stream, so that older events can be removed, and drops those of conversations that the user has left. */
  SummariseMarks: closed({
    userId: UserId,
    /** With the marks that the user had in them: a mark that has changed since is kept. */
    left: Type.Array(
      closed({ conversationId: ConversationId, readSeq: Type.Integer({ minimum: 0 }), openedAt: Type.String() }),
    ),
  }),
};

export type MarksCommand = CommandsOf<typeof marksCommands>;
