import { Type } from 'typebox';
import { ConversationId, closed, MessageId } from '../../commands/fields.ts';
import { Refusal } from '../../kernel/errors.ts';
import { createConversationsView } from '../../projections/views/conversations.ts';
import { createMessagesView } from '../../projections/views/messages.ts';
import { conversationOf } from './access.ts';
import { principalOf } from '../request/authentication.ts';
import type { App, AppDeps } from '../deps.ts';
import { sendEntity } from '../request/preconditions.ts';
import { Cursor, ListOf, limitOf, readPage, sendPage } from './paging.ts';
import { MinPosition, untilVisible } from '../request/read-your-writes.ts';
import { ConversationShape, MemberShape, MessageShape } from '../shapes/conversations.ts';
import { toConversation, toMember, toMessage } from '../shapes/from-views.ts';

const LIMIT = 20;
const MESSAGES_LIMIT = 10;
/** What the conversations are shown from, and their messages. */
const ofConversations = ['conversations', 'memberships'];
const ofMessages = ['conversations', 'memberships', 'messages'];

const InConversation = closed({ id: ConversationId });
const InMessage = closed({ id: ConversationId, messageId: MessageId });
const One = Type.Object({ minPosition: MinPosition });
const Listing = Type.Object({ limit: limitOf(LIMIT), before: Cursor, minPosition: MinPosition });
const Members = Type.Object({ limit: limitOf(LIMIT), after: Cursor, minPosition: MinPosition });
const Sequence = (description: string) => Type.Optional(Type.Integer({ minimum: 0, description }));
const History = Type.Object({
  before: Sequence('Messages below this sequence number, newest first; this is the default, from the last one on'),
  after: Sequence('Messages above this sequence number, oldest first'),
  limit: limitOf(MESSAGES_LIMIT),
  minPosition: MinPosition,
});

/** Reading conversations: their members only, and from where they joined. */
export function addConversationQueries(app: App, { readModels }: Pick<AppDeps, 'readModels'>): void {
  const view = createConversationsView(readModels);
  const problems = ['not-yet-visible'] as const;

  app.get(
    '/api/v1/conversations',
    {
      schema: {
        summary: "One's conversations",
        tags: ['conversations'],
        querystring: Listing,
        response: { 200: ListOf(ConversationShape, 'Newest activity first') },
      },
      config: { problems },
    },
    async (request, reply) => {
      await untilVisible(request, readModels, ofConversations);
      const { limit = LIMIT, before } = request.query;
      const { userId } = principalOf(request);
      const { items, next } = await readPage('before', before, () => view.ofUser(userId, { limit, after: before }));
      const members = await view.firstMembers(items.map(({ conversation }) => conversation));
      const shown = items.map((own) => toConversation(own, members.get(own.conversation._id) ?? []));
      return sendPage(request, reply, 'before', { items: shown, next });
    },
  );

  app.get(
    '/api/v1/conversations/:id',
    {
      schema: {
        summary: 'A conversation',
        tags: ['conversations'],
        params: InConversation,
        querystring: One,
        response: { 200: ConversationShape },
      },
      config: { problems, revision: 'told' },
    },
    async (request, reply) => {
      await untilVisible(request, readModels, ofConversations);
      const own = await conversationOf(view, request.params.id, principalOf(request).userId);
      const members = await view.firstMembers([own.conversation]);
      const shown = toConversation(own, members.get(own.conversation._id) ?? []);
      return sendEntity(request, reply, own.conversation.revision, shown);
    },
  );

  app.get(
    '/api/v1/conversations/:id/members',
    {
      schema: {
        summary: 'The members of a conversation',
        tags: ['conversations'],
        params: InConversation,
        querystring: Members,
        response: { 200: ListOf(MemberShape, 'In the order of joining') },
      },
      config: { problems },
    },
    async (request, reply) => {
      await untilVisible(request, readModels, ofConversations);
      const { userId } = principalOf(request);
      const { conversation } = await conversationOf(view, request.params.id, userId);
      const { limit = LIMIT, after } = request.query;
      const page = await readPage('after', after, () => view.members(conversation._id, { limit, after }));
      const items = page.items.map((member) => toMember(member, conversation, userId));
      return sendPage(request, reply, 'after', { items, next: page.next });
    },
  );

  addMessageQueries(app, { readModels });
}

function addMessageQueries(app: App, { readModels }: Pick<AppDeps, 'readModels'>): void {
  const view = createConversationsView(readModels);
  const messages = createMessagesView(readModels);
  const problems = ['not-yet-visible'] as const;

  app.get(
    '/api/v1/conversations/:id/messages',
    {
      schema: {
        summary: 'The messages of a conversation',
        tags: ['messages'],
        params: InConversation,
        querystring: History,
        response: { 200: ListOf(MessageShape, 'Newest first, or oldest first with `after`') },
      },
      config: { problems },
    },
    async (request, reply) => {
      await untilVisible(request, readModels, ofMessages);
      const { before, after, limit = MESSAGES_LIMIT } = request.query;
      if (before !== undefined && after !== undefined) {
        const errors = [{ path: 'after', message: 'must not come with before' }];
        throw new Refusal('malformed', 'a page lies before or after something, not both', { errors });
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
        summary: 'A message',
        tags: ['messages'],
        params: InMessage,
        querystring: One,
        response: { 200: MessageShape },
      },
      config: { problems },
    },
    async (request, reply) => {
      await untilVisible(request, readModels, ofMessages);
      const { id, messageId } = request.params;
      const own = await conversationOf(view, id, principalOf(request).userId);
      const message = await messages.message(id, messageId);
      if (message === null || message.seq <= own.membership.joinedSeq) {
        throw new Refusal('not-found', 'there is no such message');
      }
      return reply.send(toMessage(message));
    },
  );
}
