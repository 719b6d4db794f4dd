import type { ConversationEvent } from '../../aggregates/conversation/events.ts';
import { messageOf } from '../../aggregates/conversation/message.ts';
import type { MarksEvent } from '../../aggregates/marks/events.ts';
import type { JsonObject } from '../../kernel/json.ts';
import { conversationRoom, type LiveHandlers, type Notice, type PersonalPayload, userRoom } from './notice.ts';

/** Members of a conversation up to which the others receive how far each has read (spec, section 4). */
const SHARED_MARKS_MAX = 200;

/** What members of conversations are sent. */
export const conversationHandlers: LiveHandlers<ConversationEvent | MarksEvent> = {
  MessageSent: {
    notices: ({ data }) => [
      {
        name: 'message:sent',
        rooms: [conversationRoom(data.conversationId)],
        payload: { message: messageOf(data) },
        personal: { personId: data.senderId, redact: withoutContent },
      },
    ],
  },
  ConversationCreated: {
    notices: ({ data: { conversationId, kind, name, ownerId, createdAt } }) => [
      {
        name: 'conversation:created',
        rooms: [conversationRoom(conversationId)],
        payload: { conversation: { _id: conversationId, kind, name, ownerId, createdAt } },
        personal: ownerId === null ? undefined : { personId: ownerId, redact: withoutName },
      },
    ],
    enters: ({ data }) => ({ room: conversationRoom(data.conversationId), userIds: data.members }),
  },
  ConversationDeleted: {
    notices: ({ data }) => [about('conversation:deleted', data.conversationId)],
    // The room stays: members who were away are still sent its end.
    closes: ({ data }) => conversationRoom(data.conversationId),
  },
  MemberAdded: {
    notices: ({ data }) => [about('conversation:member:added', data.conversationId, data.userId)],
    enters: ({ data }) => ({ room: conversationRoom(data.conversationId), userIds: [data.userId] }),
  },
  MemberRemoved: {
    notices: ({ data }) => [about('conversation:member:removed', data.conversationId, data.userId, data.nextOwnerId)],
    leaves: ({ data }) => ({ room: conversationRoom(data.conversationId), userIds: [data.userId] }),
  },
  ConversationOpened: {
    notices: ({ data: { conversationId, userId, readSeq, openedAt, memberCount } }) => [
      {
        name: 'conversation:opened',
        rooms: [memberCount > SHARED_MARKS_MAX ? userRoom(userId) : conversationRoom(conversationId)],
        payload: { conversationId, userId, readSeq, lastOpenedAt: openedAt },
      },
    ],
  },
};

/** A user who enters or leaves receives it in their own room too: they may not be in the conversation's yet, or any more. */
function about(name: string, conversationId: string, userId?: string, ownerId?: string): Notice {
  const rooms = [conversationRoom(conversationId), ...(userId === undefined ? [] : [userRoom(userId)])];
  const conversation = { _id: conversationId, ...(ownerId === undefined ? {} : { ownerId }) };
  return { name, rooms, payload: userId === undefined ? { conversation } : { conversation, userId } };
}

const withoutContent: PersonalPayload['redact'] = (payload) => without(payload, 'message', 'content');
const withoutName: PersonalPayload['redact'] = (payload) => without(payload, 'conversation', 'name');

function without(payload: JsonObject, object: string, field: string): JsonObject {
  return { ...payload, [object]: { ...(payload[object] as JsonObject), [field]: null } };
}
