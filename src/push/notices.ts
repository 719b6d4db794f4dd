import type { ConversationEvent } from '../aggregates/conversation/events.ts';
import { messageOf } from '../aggregates/conversation/message.ts';
import type { MarksEvent } from '../aggregates/marks/events.ts';
import type { SessionsEvent } from '../aggregates/sessions/events.ts';
import type { RecordedEvent } from '../kernel/event.ts';
import type { Json } from '../kernel/json.ts';

/** The events that push looks at; a recorded event of another type is passed over. */
export type Followed = RecordedEvent<ConversationEvent | MarksEvent | SessionsEvent>;

/** The types of events to subscribe to. */
export const followedTypes: readonly Followed['type'][] = [
  'ConversationCreated',
  'ConversationDeleted',
  'ConversationOpened',
  'MemberAdded',
  'MemberRemoved',
  'MessageSent',
  'SessionEnded',
];

/** Members of a conversation up to which each hears how far the others have read (spec, section 4). */
const MARKS_TOLD_MAX = 200;

/** What is told of an event, and in which rooms. The same for everybody who hears it. */
export type Notice = Readonly<{ name: string; rooms: readonly string[]; payload: Json }>;

/** The room of those who are in a conversation. */
export const conversationRoom = (conversationId: string): string => `conversation:${conversationId}`;

/** The room of one user's own connections. */
export const userRoom = (userId: string): string => `user:${userId}`;

/** What an event makes known (spec, section 7). In the order in which it is sent. */
export function noticesOf(event: Followed): readonly Notice[] {
  switch (event.type) {
    case 'MessageSent': {
      const rooms = [conversationRoom(event.data.conversationId)];
      return [{ name: 'message:sent', rooms, payload: { message: messageOf(event.data) } }];
    }
    case 'ConversationCreated': {
      const { conversationId, kind, name, ownerId, createdAt } = event.data;
      const conversation = { _id: conversationId, kind, name, ownerId, createdAt };
      return [{ name: 'conversation:created', rooms: [conversationRoom(conversationId)], payload: { conversation } }];
    }
    case 'ConversationDeleted':
      return [about('conversation:deleted', event.data.conversationId)];
    case 'MemberAdded':
      return [about('conversation:member:added', event.data.conversationId, event.data.userId)];
    case 'MemberRemoved':
      return [about('conversation:member:removed', event.data.conversationId, event.data.userId)];
    case 'ConversationOpened': {
      const { conversationId, userId, readSeq, openedAt, memberCount } = event.data;
      const room = memberCount > MARKS_TOLD_MAX ? userRoom(userId) : conversationRoom(conversationId);
      const payload = { conversationId, userId, readSeq, lastOpenedAt: openedAt };
      return [{ name: 'conversation:opened', rooms: [room], payload }];
    }
    default:
      return [];
  }
}

/** One who comes or goes hears of it in their own room too: their place in the conversation's may not be there yet, or any more. */
function about(name: string, conversationId: string, userId?: string): Notice {
  const rooms = [conversationRoom(conversationId), ...(userId === undefined ? [] : [userRoom(userId)])];
  const conversation = { _id: conversationId };
  return { name, rooms, payload: userId === undefined ? { conversation } : { conversation, userId } };
}
