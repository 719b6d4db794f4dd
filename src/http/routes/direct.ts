import { type Static, Type } from 'typebox';
import { conversation } from '../../aggregates/conversation/decider.ts';
import { UserId } from '../../commands/fields.ts';
import { Refusal } from '../../kernel/errors.ts';
import { directConversationId } from '../../kernel/ids.ts';
import { type ConversationsView, createConversationsView } from '../../projections/views/conversations.ts';
import { createMessagesView } from '../../projections/views/messages.ts';
import { createUsersView } from '../../projections/views/users.ts';
import { accepted } from './accepted.ts';
import { charge, principalOf } from '../request/authentication.ts';
import type { App, AppDeps } from '../deps.ts';
import { bodyTypes } from '../openapi.ts';
import { ListOf, limitOf, sendPage } from './paging.ts';
import type { RateLimits } from '../request/rate-limits.ts';
import { MinPosition, untilVisible } from '../request/read-your-writes.ts';
import { runCommand } from '../request/command-request.ts';
import { Accepted } from '../shapes/answers.ts';
import { DirectConversationShape, MessageShape } from '../shapes/conversations.ts';
import { toConversation, toMessage } from '../shapes/from-views.ts';
import { messagePath, NewMessageShape } from './messages.ts';

const LIMIT = 10;
const tags = ['one-to-one'];
const Other = Type.Object({ otherUserId: UserId });
const Details = Type.Object({ otherUserId: UserId, minPosition: MinPosition });
const History = Type.Object({
  otherUserId: UserId,
  from: Type.Optional(
    Type.Integer({
      minimum: 1,
      description: 'The sequence number of the newest to show; if not said, the last there is',
    }),
  ),
  limit: limitOf(LIMIT),
  minPosition: MinPosition,
});
const projections = ['conversations', 'memberships', 'messages', 'users'];

type Details = Static<typeof DirectConversationShape>;

/** The 1-1 conversation with another user: under the paths of the service that came before, and under the API's own. */
export function addDirectRoutes(app: App, deps: AppDeps, limits: RateLimits): void {
  for (const prefix of ['/api/v1/chat/convo/one-to-one', '/api/v1/conversations/one-to-one']) {
    addReading(app, deps, prefix);
    addWriting(app, deps, limits, prefix);
  }
}

function addWriting(app: App, deps: AppDeps, limits: RateLimits, prefix: string): void {
  app.post(
    `${prefix}/message`,
    {
      schema: {
        summary: 'Send the other user a message',
        description: 'The first one begins the conversation.',
        tags,
        querystring: Other,
        consumes: bodyTypes,
        body: NewMessageShape,
        response: { 202: Accepted },
      },
      config: { problems: ['not-found', 'already-exists', 'rule-broken', 'send-uncertain'] },
    },
    async (request, reply) => {
      const { otherUserId } = request.query;
      const { userId } = principalOf(request);
      charge(limits.message, userId);
      const id = directConversationId(userId, otherUserId);
      const done = await runCommand(
        deps,
        request,
        { owner: userId, target: { aggregate: conversation, id: () => id } },
        (context) => deps.conversations.sendTo(otherUserId, request.body, context),
      );
      return accepted(reply, done, messagePath(id, done._id));
    },
  );
}

function addReading(app: App, { readModels }: Pick<AppDeps, 'readModels'>, prefix: string): void {
  const view = createConversationsView(readModels);
  const messages = createMessagesView(readModels);
  const users = createUsersView(readModels);

  /** The conversation, `null` before its first message. Refused with `not-found` when there is no such other user. */
  const find = async (userId: string, otherUserId: string): ReturnType<ConversationsView['ofMember']> => {
    const own = await view.ofMember(directConversationId(userId, otherUserId), userId);
    if (own === null && (userId === otherUserId || (await users.byId(otherUserId))?.status !== 'active')) {
      throw new Refusal('not-found', 'there is no such other user');
    }
    return own;
  };

  app.post(
    prefix,
    {
      schema: {
        summary: 'The conversation with another user',
        description: 'It asks, and changes nothing: the conversation begins with its first message.',
        tags,
        querystring: Details,
        response: { 200: DirectConversationShape },
      },
      config: { problems: ['not-found', 'not-yet-visible'] },
    },
    async (request): Promise<Details> => {
      await untilVisible(request, readModels, projections);
      const { otherUserId } = request.query;
      const { userId } = principalOf(request);
      const own = await find(userId, otherUserId);
      if (own === null) return notYet(directConversationId(userId, otherUserId));
      const members = await view.firstMembers([own.conversation]);
      const { items } = await messages.range(own.conversation, { above: own.membership.joinedSeq, limit: LIMIT });
      const shown = toConversation(own, members.get(own.conversation._id) ?? []);
      return { ...shown, exists: true, messages: items.map(toMessage) };
    },
  );

  app.get(
    `${prefix}/message`,
    {
      schema: {
        summary: 'The messages with another user',
        tags,
        querystring: History,
        response: { 200: ListOf(MessageShape, 'Newest first; `next` is the `from` of the following page') },
      },
      config: { problems: ['not-found', 'not-yet-visible'] },
    },
    async (request, reply) => {
      await untilVisible(request, readModels, projections);
      const { otherUserId, from, limit = LIMIT } = request.query;
      const own = await find(principalOf(request).userId, otherUserId);
      if (own === null) return reply.send({ items: [], next: null });
      const range = { above: own.membership.joinedSeq, limit, before: from === undefined ? undefined : from + 1 };
      const { items, next } = await messages.range(own.conversation, range);
      // Here a page begins with the message that is named, not below it.
      const page = { items: items.map(toMessage), next: next === null ? null : String(next - 1) };
      return sendPage(request, reply, 'from', page);
    },
  );
}

function notYet(_id: string): Details {
  return {
    _id,
    kind: 'direct',
    name: null,
    ownerId: null,
    memberCount: 0,
    members: [],
    lastSeq: 0,
    lastMessage: null,
    unread: 0,
    createdAt: null,
    updatedAt: null,
    exists: false,
    messages: [],
  };
}
