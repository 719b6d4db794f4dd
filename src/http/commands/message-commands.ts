import { Type } from 'typebox';
import { conversation } from '../../aggregates/conversation/decider.ts';
import { conversationCommands } from '../../commands/conversation.ts';
import { ClientMessageId, ConversationId, closed, MessageId, UserId } from '../../commands/fields.ts';
import type { Done } from '../../conversations/conversations.ts';
import { directConversationId } from '../../kernel/ids.ts';
import { nullable } from '../shapes/common.ts';
import { type CommandDescription, describeCommand } from './command-description.ts';

const { content, mentions } = conversationCommands.SendMessage.properties;

/** The fields of a message that its sender sets. */
const message = {
  content,
  messageId: Type.Optional(
    Type.String({
      ...ClientMessageId,
      description: 'A UUIDv7 in lower case, made by the client: it makes repeating the request harmless',
    }),
  ),
  replyTo: Type.Optional(nullable(MessageId)),
  mentions: Type.Optional(mentions),
};

const inConversation = { id: 'conversationId' } as const;
const toUser = { otherUserId: 'otherUserId' } as const;
/** The legacy body has only the content. */
const legacyBody = { message_content: 'content' } as const;

const messagePath = ({ conversationId, _id }: Done): string =>
  `/api/v1/conversations/${conversationId}/messages/${_id}`;

/** Commands that send messages. */
export const messageDescriptions: readonly CommandDescription[] = [
  describeCommand({
    name: 'SendMessage',
    summary: 'Send a message',
    tag: 'messages',
    input: closed({ conversationId: ConversationId, ...message }),
    example: { content: 'Hello!' },
    paths: [
      { method: 'POST', path: '/api/v1/conversations/:id/messages', params: inConversation },
      { method: 'POST', path: '/api/v1/conversations/:id', params: inConversation, body: legacyBody },
      { method: 'POST', path: '/conversations/:id', params: inConversation, body: legacyBody },
    ],
    frame: { type: 'send', selectedBy: 'conversationId' },
    limits: ['message'],
    problems: ['already-exists', 'rule-broken', 'send-uncertain'],
    target: { aggregate: conversation, id: ({ conversationId }) => conversationId },
    perform: ({ conversations }, { conversationId, ...message }, { context }) =>
      conversations.send(conversationId, message, context),
    location: messagePath,
  }),

  describeCommand({
    name: 'SendDirectMessage',
    summary: 'Send a message to another user',
    description: 'The first message creates the conversation.',
    tag: 'one-to-one',
    input: closed({ otherUserId: UserId, ...message }),
    example: { content: 'Hello!' },
    paths: [
      { method: 'POST', path: '/api/v1/conversations/one-to-one/message', query: toUser },
      { method: 'POST', path: '/api/v1/chat/convo/one-to-one/message', query: toUser },
    ],
    frame: { type: 'send', selectedBy: 'otherUserId' },
    limits: ['message'],
    problems: ['not-found', 'already-exists', 'rule-broken', 'send-uncertain'],
    target: { aggregate: conversation, id: ({ otherUserId }, { owner }) => directConversationId(owner, otherUserId) },
    perform: ({ conversations }, { otherUserId, ...message }, { context }) =>
      conversations.sendTo(otherUserId, message, context),
    location: messagePath,
  }),
];
