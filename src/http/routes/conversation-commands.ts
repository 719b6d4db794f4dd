import { Type } from 'typebox';
import { conversation } from '../../aggregates/conversation/decider.ts';
import { marks } from '../../aggregates/marks/decider.ts';
import { conversationCommands } from '../../commands/conversation.ts';
import { ConversationId, closed, UserId } from '../../commands/fields.ts';
import { accepted } from './accepted.ts';
import { principalOf } from '../request/authentication.ts';
import type { App, AppDeps } from '../deps.ts';
import { expectedRevision } from '../request/preconditions.ts';
import { bodyTypes } from '../openapi.ts';
import { runCommand } from '../request/command-request.ts';
import { Accepted } from '../shapes/answers.ts';
import { OPTIONAL_BODY } from '../request/validation.ts';

const { name, participants } = conversationCommands.CreateGroup.properties;

const NewGroup = Type.Object(
  { name, participants: Type.Optional(participants) },
  {
    additionalProperties: false,
    examples: [{ name: 'Analytical engines', participants: ['65f1c0a4b7d2e83f9a104c11'] }],
  },
);
const NewMember = Type.Object(
  { participant_id: UserId },
  { additionalProperties: false, examples: [{ participant_id: '65f1c0a4b7d2e83f9a104c11' }] },
);
const Read = Type.Object(
  {
    seq: Type.Optional(
      Type.Integer({ minimum: 0, description: 'The last message read; if not said, the last there is' }),
    ),
  },
  { additionalProperties: false, examples: [{ seq: 12 }], [OPTIONAL_BODY]: true },
);
const InConversation = closed({ id: ConversationId });
const InConversationMember = closed({ id: ConversationId, userId: UserId });

const tags = ['conversations'];
const response = { 202: Accepted };
const pathOf = (id: string): string => `/api/v1/conversations/${id}`;

/** What is asked of groups, and that one has read: under the API's own paths, and under those of the service that came before it. */
export function addConversationCommands(app: App, deps: AppDeps): void {
  addGroups(app, deps, '/api/v1/conversations', '');
  addGroups(app, deps, '/conversations', '/');
  addMembers(app, deps, '/api/v1/conversations');
  addMembers(app, deps, '/conversations');
  addRead(app, deps);
}

function addGroups(app: App, deps: AppDeps, prefix: string, slash: string): void {
  const { conversations } = deps;

  app.post(
    `${prefix}${slash}`,
    { schema: { summary: 'Begin a group', tags, consumes: bodyTypes, body: NewGroup, response } },
    async (request, reply) => {
      const { userId } = principalOf(request);
      const target = {
        aggregate: conversation,
        id: (ids: { objectId(name: string): string }) => ids.objectId('conversation'),
      };
      const { name, participants = [] } = request.body;
      const done = await runCommand(deps, request, { owner: userId, target }, (context) =>
        conversations.create({ name, participants }, context),
      );
      return accepted(reply, done, pathOf(done._id));
    },
  );

  for (const path of [`${prefix}/:id`, `${prefix}/:id/delete`]) {
    app.delete(
      path,
      {
        schema: { summary: 'Delete a group; its owner only', tags, params: InConversation, response },
        config: { problems: ['forbidden', 'rule-broken'], revision: 'expected' },
      },
      async (request, reply) => {
        const { id } = request.params;
        const { userId } = principalOf(request);
        const expected = expectedRevision(request);
        const target = { aggregate: conversation, id: () => id };
        const done = await runCommand(deps, request, { owner: userId, target }, (context) =>
          conversations.delete(id, context, expected),
        );
        return accepted(reply, done, pathOf(id));
      },
    );
  }
}

function addMembers(app: App, deps: AppDeps, prefix: string): void {
  const { conversations } = deps;

  app.post(
    `${prefix}/:id/members`,
    {
      schema: { summary: 'Add a member', tags, params: InConversation, consumes: bodyTypes, body: NewMember, response },
      config: { problems: ['rule-broken'], revision: 'expected' },
    },
    async (request, reply) => {
      const { id } = request.params;
      const { userId } = principalOf(request);
      const expected = expectedRevision(request);
      const target = { aggregate: conversation, id: () => id };
      const done = await runCommand(deps, request, { owner: userId, target }, (context) =>
        conversations.addMember(id, request.body.participant_id, context, expected),
      );
      return accepted(reply, done, `${pathOf(id)}/members`);
    },
  );

  app.delete(
    `${prefix}/:id/members/:userId`,
    {
      schema: {
        summary: 'Remove a member; others by the owner only',
        tags,
        params: InConversationMember,
        response,
      },
      config: { problems: ['forbidden', 'rule-broken'], revision: 'expected' },
    },
    async (request, reply) => {
      const { id, userId: member } = request.params;
      const { userId } = principalOf(request);
      const expected = expectedRevision(request);
      const target = { aggregate: conversation, id: () => id };
      const done = await runCommand(deps, request, { owner: userId, target }, (context) =>
        conversations.removeMember(id, member, context, expected),
      );
      return accepted(reply, done, `${pathOf(id)}/members`);
    },
  );

  app.post(
    `${prefix}/:id/leave`,
    {
      schema: { summary: 'Leave a group', tags, params: InConversation, response },
      config: { problems: ['rule-broken'] },
    },
    async (request, reply) => {
      const { id } = request.params;
      const { userId } = principalOf(request);
      const target = { aggregate: conversation, id: () => id };
      const done = await runCommand(deps, request, { owner: userId, target }, (context) =>
        conversations.leave(id, context),
      );
      return accepted(reply, done, '/api/v1/conversations');
    },
  );
}

function addRead(app: App, deps: AppDeps): void {
  app.put(
    '/api/v1/conversations/:id/read',
    {
      schema: {
        summary: 'Say that one has read',
        description: 'One mark per user and conversation, which only moves forward; a stale one changes nothing.',
        tags,
        params: InConversation,
        consumes: bodyTypes,
        body: Read,
        response,
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      const { userId } = principalOf(request);
      const target = { aggregate: marks, id: () => userId };
      // No body at all passes the schema too, which its type does not know.
      const seq = (request.body as typeof request.body | undefined | null)?.seq;
      const done = await runCommand(deps, request, { owner: userId, target }, (context) =>
        deps.conversations.open(id, seq, context),
      );
      return accepted(reply, done, pathOf(id));
    },
  );
}
