import type { NewEvent } from '../../src/kernel/event.ts';
import { eventId, randomIds, uuidv7 } from '../../src/kernel/ids.ts';
import type { EventStore } from '../../src/ports/event-store.ts';

const START = Date.parse('2026-01-01T00:00:00.000Z');

/** A conversation of two as its first event makes it. */
export type Talk = Readonly<{ conversationId: string; members: readonly [string, string] }>;

export function newTalk(): Talk {
  const members = [randomIds.objectId('a'), randomIds.objectId('b')].sort() as [string, string];
  return { conversationId: randomIds.objectId('conversation'), members };
}

function event(type: string, data: NewEvent['data'], actor: string): NewEvent {
  const commandId = uuidv7(START);
  return {
    id: eventId(commandId, 0),
    type,
    data,
    metadata: { actor, correlationId: commandId, causationId: null, commandId },
  };
}

export function createdEvent({ conversationId, members }: Talk): NewEvent {
  const createdAt = new Date(START).toISOString();
  const data = { conversationId, kind: 'group', name: 'bench', ownerId: members[0], members, createdAt };
  return event('ConversationCreated', data, members[0]);
}

/** The message with this number, each a millisecond behind the one before. */
export function messageEvent({ conversationId, members }: Talk, seq: number): NewEvent {
  const senderId = members[seq % 2] ?? members[0];
  const data = {
    conversationId,
    messageId: uuidv7(START + seq),
    seq,
    senderId,
    content: 'Shall we meet at noon?',
    replyTo: null,
    mentions: [],
    sentAt: new Date(START + seq).toISOString(),
  };
  return event('MessageSent', data, senderId);
}

/** Writes a conversation of so many messages into the log. */
export async function writeTalk(store: EventStore, talk: Talk, messages: number): Promise<void> {
  const stream = `conversation-${talk.conversationId}`;
  let { revision } = await store.append(stream, [createdEvent(talk)], { expect: 'none' });
  for (let seq = 1; seq <= messages; seq += 2_048) {
    const some = Array.from({ length: Math.min(2_048, messages - seq + 1) }, (_, i) => messageEvent(talk, seq + i));
    ({ revision } = await store.append(stream, some, { expect: revision }));
  }
}
