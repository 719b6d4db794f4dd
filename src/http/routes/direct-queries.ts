import { type Static, Type } from 'typebox';
import { UserId } from '../../commands/fields.ts';
import { Refusal } from '../../kernel/errors.ts';
import { directConversationId } from '../../kernel/ids.ts';
import { createConversationsView, type OwnConversation } from '../../projections/views/conversations.ts';
import { createMessagesView } from '../../projections/views/messages.ts';
import { createUsersView } from '../../projections/views/users.ts';
import type { App, AppDeps } from '../deps.ts';
import { principalOf } from '../request/authentication.ts';
import { MinPosition, untilVisible } from '../request/read-your-writes.ts';
import {
  DirectConversationShape,
  emptyDirectConversation,
  MessageShape,
  toDirectConversation,
  toMessage,
} from '../shapes/conversations.ts';
import { ListOf, limitOf, sendPage } from './paging.ts';

const LIMIT = 10;
const tags = ['one-to-one'];
/** The projections that 1-1 conversations are read from. */
const projections = ['conversations', 'memberships', 'messages', 'users'];
const problems = ['not-found', 'not-yet-visible'] as const;
/** The API's own prefix, and that of the service that Parley replaces. */
const prefixes = ['/api/v1/conversations/one-to-one', '/api/v1/chat/convo/one-to-one'];

const Details = Type.Object({ otherUserId: UserId, minPosition: MinPosition });
const History = Type.Object({
  otherUserId: UserId,
  from: Type.Optional(
    Type.Integer({ minimum: 1, description: 'Sequence number of the newest message to show; the latest by default' }),
  ),
  limit: limitOf(LIMIT),
  minPosition: MinPosition,
});

/** Queries for the 1-1 conversation with another user. */
export function addDirectQueries(app: App, { readModels }: Pick<AppDeps, 'readModels'>): void {
  const view = createConversationsView(readModels);
  const messages = createMessagesView(readModels);
  const users = createUsersView(readModels);

  /** The conversation, or `null` before its first message. Throws `not-found` when there is no such other user. */
  const find = async (userId: string, otherUserId: string): Promise<OwnConversation | null> => {
    const own = await view.ofMember(directConversationId(userId, otherUserId), userId);
    if (own === null && (userId === otherUserId || (await users.byId(otherUserId))?.status !== 'active')) {
      throw new Refusal('not-found', 'there is no such other user');
    }
    return own;
  };

  for (const prefix of prefixes) {
    app.post(
      prefix,
      {
        schema: {
          summary: 'Get the conversation with another user',
          description: 'A query, although it is a POST: the first message creates the conversation.',
          tags,
          querystring: Details,
          response: { 200: DirectConversationShape },
        },
        config: { problems },
      },
      async (request): Promise<Static<typeof DirectConversationShape>> => {
        await untilVisible(request, readModels, projections);
        const { otherUserId } = request.query;
        const { userId } = principalOf(request);
        const own = await find(userId, otherUserId);
        if (own === null) return emptyDirectConversation(directConversationId(userId, otherUserId));
        const members = await view.firstMembers([own.conversation]);
        const { items } = await messages.range(own.conversation, { above: own.membership.joinedSeq, limit: LIMIT });
        return toDirectConversation(own, members.get(own.conversation._id) ?? [], items);
      },
    );

    app.get(
      `${prefix}/message`,
      {
        schema: {
          summary: 'List the messages with another user',
          tags,
          querystring: History,
          response: { 200: ListOf(MessageShape, 'Newest first; `next` is the `from` of the following page') },
        },
        config: { problems },
      },
      async (request, reply) => {
        await untilVisible(request, readModels, projections);
        const { otherUserId, from, limit = LIMIT } = request.query;
        const own = await find(principalOf(request).userId, otherUserId);
        if (own === null) return reply.send({ items: [], next: null });
        const range = { above: own.membership.joinedSeq, limit, before: from === undefined ? undefined : from + 1 };
        const { items, next } = await messages.range(own.conversation, range);
        // `from` includes the message that it names, unlike `before`.
        const page = { items: items.map(toMessage), next: next === null ? null : String(next - 1) };
        return sendPage(request, reply, 'from', page);
      },
    );
  }
}
