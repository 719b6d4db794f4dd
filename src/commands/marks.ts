import { Type } from 'typebox';
import { type CommandsOf, ConversationId, closed, UserId } from './fields.ts';

/** What may be asked of a user's marks. */
export const marksCommands = {
  /** The user has the conversation open, with everything up to `seq` before them. `seq` is not above the conversation's last. */
  OpenConversation: closed({
    userId: UserId,
    conversationId: ConversationId,
    seq: Type.Integer({ minimum: 0 }),
    /** Of the conversation as it is looked at. */
    memberCount: Type.Integer({ minimum: 1 }),
  }),
  /** Writes all marks down at once, so that older ones may be forgotten. */
  SummariseMarks: closed({ userId: UserId }),
};

export type MarksCommand = CommandsOf<typeof marksCommands>;
