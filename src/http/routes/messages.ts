import { Type } from 'typebox';
import { conversation } from '../../aggregates/conversation/decider.ts';
import { CONTENT_MAX } from '../../commands/conversation.ts';
import { ClientMessageId, ConversationId, closed, MessageId, text, UserId } from '../../commands/fields.ts';
import { accepted } from './accepted.ts';
import { charge, principalOf } from '../request/authentication.ts';
import type { App, AppDeps } from '../deps.ts';
import { bodyTypes } from '../openapi.ts';
import type { RateLimits } from '../request/rate-limits.ts';
import { runCommand } from '../request/command-request.ts';
import { Accepted, nullable } from '../shapes/answers.ts';

/** A message to send. */
export const NewMessageShape = Type.Object(
  {
    content: text(1, CONTENT_MAX),
    messageId: Type.Optional(ClientMessageId),
    replyTo: Type.Optional(nullable(MessageId)),
    mentions: Type.Optional(Type.Array(UserId, { maxItems: 100 })),
  },
  { additionalProperties: false, examples: [{ content: 'Hello!' }] },
);

/** The same in the words of the service that came before. */
const OldMessage = Type.Object(
  { message_content: text(1, CONTENT_MAX) },
  { additionalProperties: false, examples: [{ message_content: 'Hello!' }] },
);

const InConversation = closed({ id: ConversationId });
const response = { 202: Accepted };
const config = { problems: ['already-exists', 'rule-broken', 'send-uncertain'] } as const;

/** Where to read a message. */
export const messagePath = (conversationId: string, messageId: string): string =>
  `/api/v1/conversations/${conversationId}/messages/${messageId}`;

/** Writing to a conversation. */
export function addMessageRoutes(app: App, deps: AppDeps, limits: RateLimits): void {
  const { conversations } = deps;
  const schema = {
    summary: 'Send a message',
    tags: ['messages'],
    params: InConversation,
    consumes: bodyTypes,
    response,
  };

  app.post(
    '/api/v1/conversations/:id/messages',
    {
      schema: {
        ...schema,
        description: 'A `messageId` that the client made (UUIDv7) makes sending it again harmless.',
        body: NewMessageShape,
      },
      config,
    },
    async (request, reply) => {
      const { id } = request.params;
      const { userId } = principalOf(request);
      charge(limits.message, userId);
      const target = { aggregate: conversation, id: () => id };
      const done = await runCommand(deps, request, { owner: userId, target }, (context) =>
        conversations.send(id, request.body, context),
      );
      return accepted(reply, done, messagePath(id, done._id));
    },
  );

  for (const path of ['/conversations/:id', '/api/v1/conversations/:id']) {
    app.post(path, { schema: { ...schema, body: OldMessage }, config }, async (request, reply) => {
      const { id } = request.params;
      const { userId } = principalOf(request);
      charge(limits.message, userId);
      const target = { aggregate: conversation, id: () => id };
      const message = { content: request.body.message_content };
      const done = await runCommand(deps, request, { owner: userId, target }, (context) =>
        conversations.send(id, message, context),
      );
      return accepted(reply, done, messagePath(id, done._id));
    });
  }
}
