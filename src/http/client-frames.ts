import { type Static, Type } from 'typebox';
import { CONTENT_MAX } from '../commands/conversation.ts';
import { ClientMessageId, ConversationId, closed, MessageId, text, UserId } from '../commands/fields.ts';

/** The client's name for a frame, echoed in its `ack`. Without one a frame is answered only when it fails. */
const Id = Type.Optional(Type.String({ minLength: 1, maxLength: 64 }));

/** An id of a server frame, as the client last saw one. */
const After = Type.String({ minLength: 1, maxLength: 128 });

const message = {
  content: text(1, CONTENT_MAX),
  messageId: Type.Optional(ClientMessageId),
  replyTo: Type.Optional(Type.Union([MessageId, Type.Null()])),
  mentions: Type.Optional(Type.Array(UserId, { maxItems: 100 })),
};

/** What a client may send over the WebSocket, by its `type` (spec, section 7). */
export const clientFrames = {
  /** Who speaks. The first frame, within 5 s; a later one renews the token. With `after`, delivery begins behind it. */
  auth: closed({
    type: Type.Literal('auth'),
    id: Id,
    token: Type.String({ minLength: 1, maxLength: 8_192 }),
    after: Type.Optional(After),
  }),
  /** Begin delivery behind `after`. Only as the first frame behind `auth`. */
  resume: closed({ type: Type.Literal('resume'), id: Id, after: After }),
  /** A message to a conversation, or to another user; exactly one of the two. */
  send: closed({
    type: Type.Literal('send'),
    id: Id,
    conversationId: Type.Optional(ConversationId),
    otherUserId: Type.Optional(UserId),
    ...message,
  }),
  /** The user has the conversation open, with everything up to `seq` (default: everything) before them. */
  open: closed({
    type: Type.Literal('open'),
    id: Id,
    conversationId: ConversationId,
    seq: Type.Optional(Type.Integer({ minimum: 0 })),
  }),
  /** Asks for an `ack`, to see that the connection lives. */
  ping: closed({ type: Type.Literal('ping'), id: Id }),
};

export type ClientFrame = {
  [Name in keyof typeof clientFrames]: Static<(typeof clientFrames)[Name]>;
}[keyof typeof clientFrames];
