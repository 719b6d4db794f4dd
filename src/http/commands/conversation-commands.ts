import { Type } from 'typebox';
import { conversation } from '../../aggregates/conversation/decider.ts';
import { marks } from '../../aggregates/marks/decider.ts';
import { conversationCommands } from '../../commands/conversation.ts';
import { ConversationId, closed, UserId } from '../../commands/fields.ts';
import { type CommandDescription, describeCommand } from './command-description.ts';

const { name, participants } = conversationCommands.CreateGroup.properties;
const SOME_USER = '65f1c0a4b7d2e83f9a104c11';

/** Parameters of paths, with the fields that they give. */
const inConversation = { id: 'conversationId' } as const;
const inMember = { id: 'conversationId', userId: 'userId' } as const;
/** In bodies, the new member is called `participant_id`. */
const memberBody = { participant_id: 'userId' } as const;

/** The conversation in the path. */
const target = {
  aggregate: conversation,
  id: ({ conversationId }: { conversationId: string }) => conversationId,
};

const pathOf = (conversationId: string): string => `/api/v1/conversations/${conversationId}`;
const membersPath = (conversationId: string): string => `${pathOf(conversationId)}/members`;

/** Commands of conversations and their members. */
export const conversationDescriptions: readonly CommandDescription[] = [
  describeCommand({
    name: 'CreateGroup',
    summary: 'Create a group',
    description: 'The caller becomes its owner.',
    tag: 'conversations',
    input: closed({ name, participants: Type.Optional(participants) }),
    example: { name: 'Analytical engines', participants: [SOME_USER] },
    paths: [
      { method: 'POST', path: '/api/v1/conversations' },
      { method: 'POST', path: '/conversations/' },
    ],
    target: { aggregate: conversation, id: (_input, { ids }) => ids.objectId('conversation') },
    perform: ({ conversations }, { name, participants = [] }, { context }) =>
      conversations.create({ name, participants }, context),
    location: ({ conversationId }) => pathOf(conversationId),
  }),

  describeCommand({
    name: 'DeleteConversation',
    summary: 'Delete a group',
    description: 'Owner only.',
    tag: 'conversations',
    input: closed({ conversationId: ConversationId }),
    paths: [
      { method: 'DELETE', path: '/api/v1/conversations/:id', params: inConversation },
      { method: 'DELETE', path: '/api/v1/conversations/:id/delete', params: inConversation },
      { method: 'DELETE', path: '/conversations/:id', params: inConversation },
      { method: 'DELETE', path: '/conversations/:id/delete', params: inConversation },
    ],
    problems: ['forbidden', 'rule-broken'],
    ifMatch: true,
    target,
    perform: ({ conversations }, { conversationId }, { context, expected }) =>
      conversations.change({ type: 'DeleteConversation', data: { conversationId } }, context, expected),
    location: ({ conversationId }) => pathOf(conversationId),
  }),

  describeCommand({
    name: 'AddMember',
    summary: 'Add a member',
    tag: 'conversations',
    input: closed({ conversationId: ConversationId, userId: UserId }),
    example: { userId: SOME_USER },
    paths: [
      { method: 'POST', path: '/api/v1/conversations/:id/members', params: inConversation, body: memberBody },
      { method: 'POST', path: '/conversations/:id/members', params: inConversation, body: memberBody },
    ],
    problems: ['rule-broken'],
    ifMatch: true,
    target,
    perform: ({ conversations }, { conversationId, userId }, { context, expected }) =>
      conversations.addMember(conversationId, userId, context, expected),
    location: ({ conversationId }) => membersPath(conversationId),
  }),

  describeCommand({
    name: 'RemoveMember',
    summary: 'Remove a member',
    description: 'Members can remove themselves; only the owner can remove others.',
    tag: 'conversations',
    input: closed({ conversationId: ConversationId, userId: UserId }),
    paths: [
      { method: 'DELETE', path: '/api/v1/conversations/:id/members/:userId', params: inMember },
      { method: 'DELETE', path: '/conversations/:id/members/:userId', params: inMember },
    ],
    problems: ['forbidden', 'rule-broken'],
    ifMatch: true,
    target,
    perform: ({ conversations }, { conversationId, userId }, { context, expected }) =>
      conversations.removeMember(conversationId, userId, context, expected),
    location: ({ conversationId }) => membersPath(conversationId),
  }),

  describeCommand({
    name: 'LeaveConversation',
    summary: 'Leave a group',
    tag: 'conversations',
    input: closed({ conversationId: ConversationId }),
    paths: [
      { method: 'POST', path: '/api/v1/conversations/:id/leave', params: inConversation },
      { method: 'POST', path: '/conversations/:id/leave', params: inConversation },
    ],
    problems: ['rule-broken'],
    target,
    perform: ({ conversations }, { conversationId }, { context }) => conversations.leave(conversationId, context),
    location: () => '/api/v1/conversations',
  }),

  describeCommand({
    name: 'OpenConversation',
    summary: 'Mark a conversation as read',
    description: 'One mark per user and conversation, which only moves forward: an older one changes nothing.',
    tag: 'conversations',
    input: closed({
      conversationId: ConversationId,
      seq: Type.Optional(
        Type.Integer({
          minimum: 0,
          description: 'Sequence number of the last message that was read; by default the latest',
        }),
      ),
    }),
    example: { seq: 12 },
    paths: [{ method: 'PUT', path: '/api/v1/conversations/:id/read', params: inConversation }],
    frame: { type: 'open' },
    // Events of marks are removed once they were summarised.
    target: { aggregate: marks, id: (_input, { owner }) => owner, noted: true },
    perform: ({ conversations }, { conversationId, seq }, { context }) =>
      conversations.open(conversationId, seq, context),
    location: ({ conversationId }) => pathOf(conversationId),
  }),
];
