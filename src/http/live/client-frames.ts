import { type Static, Type } from 'typebox';
import { CONTENT_MAX } from '../../commands/conversation.ts';
import { ClientMessageId, ConversationId, closed, MessageId, text, UserId } from '../../commands/fields.ts';
import { Refusal } from '../../kernel/errors.ts';
import { createValidator, type Validator } from '../request/validation.ts';

const ID_MAX = 64;

/** The client's name for a frame, echoed in its `ack`. Without one a frame is answered only when it fails. */
const Id = Type.Optional(Type.String({ minLength: 1, maxLength: ID_MAX }));

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

const validators: ReadonlyMap<unknown, Validator> = new Map(
  Object.entries(clientFrames).map(([type, schema]) => [type, createValidator(schema)]),
);

/** What a client sent: under which id it is to be answered, and the frame itself once it is checked. */
export type SentFrame = Readonly<{
  id: string | undefined;
  /** Throws `malformed` or `out-of-range`, as REST does for a body. */
  check(): ClientFrame;
}>;

/** Reads a message of the WebSocket. Throws `malformed` for one that is no JSON object in text. */
export function readClientFrame(data: Buffer, isBinary: boolean): SentFrame {
  const frame = isBinary ? null : parse(data.toString());
  if (typeof frame !== 'object' || frame === null || Array.isArray(frame)) {
    throw new Refusal('malformed', 'a frame is a JSON object in a text message');
  }
  const { id, type } = frame as Readonly<Record<string, unknown>>;
  return {
    id: typeof id === 'string' ? id.slice(0, ID_MAX) : undefined,
    check() {
      const validate = validators.get(type);
      if (validate === undefined) {
        const errors = [{ path: '/type', message: `must be one of ${[...validators.keys()].join(', ')}` }];
        throw new Refusal('malformed', 'this type of frame is not known', { errors });
      }
      validate(frame);
      // It is of the type whose validator has passed it.
      return frame as ClientFrame;
    },
  };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // It is told with everything else that is no frame.
    return null;
  }
}
