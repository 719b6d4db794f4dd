import { Type } from 'typebox';
import { ConversationId, closed } from '../../commands/fields.ts';
import { createConversationsView } from '../../projections/views/conversations.ts';
import type { App, AppDeps } from '../deps.ts';
import { principalOf } from '../request/authentication.ts';
import { sendEntity } from '../request/preconditions.ts';
import { MinPosition, untilVisible } from '../request/read-your-writes.ts';
import { ConversationShape, MemberShape, toConversation, toMember } from '../shapes/conversations.ts';
import { conversationOf } from './access.ts';
import { Cursor, ListOf, limitOf, readPage, sendPage } from './paging.ts';

const LIMIT = 20;
const tags = ['conversations'];
/** The projections that conversations are read from. */
const projections = ['conversations', 'memberships'];
const problems = ['not-yet-visible'] as const;

const InConversation = closed({ id: ConversationId });
const One = Type.Object({ minPosition: MinPosition });
const Listing = Type.Object({ limit: limitOf(LIMIT), before: Cursor, minPosition: MinPosition });
const Members = Type.Object({ limit: limitOf(LIMIT), after: Cursor, minPosition: MinPosition });

/** Queries for conversations and their members. Only members can read them. */
export function addConversationQueries(app: App, { readModels }: Pick<AppDeps, 'readModels'>): void {
  const view = createConversationsView(readModels);

  app.get(
    '/api/v1/conversations',
    {
      schema: {
        summary: 'List your conversations',
        tags,
        querystring: Listing,
        response: { 200: ListOf(ConversationShape, 'Newest activity first') },
      },
      config: { problems },
    },
    async (request, reply) => {
      await untilVisible(request, readModels, projections);
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
        summary: 'Get a conversation',
        tags,
        params: InConversation,
        querystring: One,
        response: { 200: ConversationShape },
      },
      config: { problems, precondition: 'if-none-match' },
    },
    async (request, reply) => {
      await untilVisible(request, readModels, projections);
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
        summary: 'List the members of a conversation',
        tags,
        params: InConversation,
        querystring: Members,
        response: { 200: ListOf(MemberShape, 'In the order of joining') },
      },
      config: { problems },
    },
    async (request, reply) => {
      await untilVisible(request, readModels, projections);
      const { userId } = principalOf(request);
      const { conversation } = await conversationOf(view, request.params.id, userId);
      const { limit = LIMIT, after } = request.query;
      const page = await readPage('after', after, () => view.members(conversation, { limit, after }));
      const items = page.items.map((member) => toMember(member, conversation, userId));
      return sendPage(request, reply, 'after', { items, next: page.next });
    },
  );
}
