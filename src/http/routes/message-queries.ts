import { Type } from 'typebox';
import { ConversationId, closed, MessageId } from '../../commands/fields.ts';
import { Refusal } from '../../kernel/errors.ts';
import { createConversationsView } from '../../projections/views/conversations.ts';
import { createMessagesView } from '../../projections/views/messages.ts';
import type { App, AppDeps } from '../deps.ts';
import { principalOf } from '../request/authentication.ts';
import { MinPosition, untilVisible } from '../request/read-your-writes.ts';
import { MessageShape, toMessage } from '../shapes/conversations.ts';
import { conversationOf } from './access.ts';
import { ListOf, limitOf, sendPage } from './paging.ts';

const LIMIT = 10;
const tags = ['messages'];
/** The projections that messages are read from. */
const projections = ['conversations', 'memberships', 'messages'];
const problems = ['not-yet-visible'] as const;

const Sequence = (description: string) => Type.Optional(Type.Integer({ minimum: 0, description }));
const History = Type.Object({
  before: Sequence('Messages before this sequence number, newest first; by default from the latest one on'),
  after: Sequence('Messages after this sequence number, oldest first'),
  limit: limitOf(LIMIT),
  minPosition: MinPosition,
});

/** Queries for messages. Members read them from the point where they joined. */
export function addMessageQueries(app: App, { readModels }: Pick<AppDeps, 'readModels'>): void {
  const view = createConversationsView(readModels);
  const messages = createMessagesView(readModels);

  app.get(
    '/api/v1/conversations/:id/messages',
    {
      schema: {
        summary: 'List the messages of a conversation',
        tags,
        params: closed({ id: ConversationId }),
        querystring: History,
        response: { 200: ListOf(MessageShape, 'Newest first, or oldest first with `after`') },
      },
      config: { problems },
    },
    async (request, reply) => {
      await untilVisible(request, readModels, projections);
      const { before, after, limit = LIMIT } = request.query;
      if (before !== undefined && after !== undefined) {
        const errors = [{ path: 'after', message: 'cannot be combined with before' }];
        throw new Refusal('malformed', 'before and after cannot be combined', { errors });
      }
      const own = await conversationOf(view, request.params.id, principalOf(request).userId);
      const range = { above: own.membership.joinedSeq, limit };
      const { items, next } = await messages.range(
        own.conversation,
        after === undefined ? { ...range, before } : { ...range, after },
      );
      const page = { items: items.map(toMessage), next: next === null ? null : String(next) };
      return sendPage(request, reply, after === undefined ? 'before' : 'after', page);
    },
  );

  app.get(
    '/api/v1/conversations/:id/messages/:messageId',
    {
      schema: {
        summary: 'Get a message',
        tags,
        params: closed({ id: ConversationId, messageId: MessageId }),
        querystring: Type.Object({ minPosition: MinPosition }),
        response: { 200: MessageShape },
      },
      config: { problems },
    },
    async (request, reply) => {
      await untilVisible(request, readModels, projections);
      const { id, messageId } = request.params;
      const own = await conversationOf(view, id, principalOf(request).userId);
      const message = await messages.message(own.conversation, messageId);
      if (message === null || message.seq <= own.membership.joinedSeq) {
        throw new Refusal('not-found', 'there is no such message');
      }
      return reply.send(toMessage(message));
    },
  );
}
