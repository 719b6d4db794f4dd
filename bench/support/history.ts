import type { NewEvent } from '../../src/kernel/event.ts';
import { eventId } from '../../src/kernel/ids.ts';
import type { EventLog } from '../../src/log/event-log.ts';
import { system } from '../../tests/support/stores.ts';

/** Messages in one append: as many as it may hold, sealed. */
const BATCH = 1_024;
const START = Date.parse('2026-01-01T00:00:00.000Z');
const CONTENT = 'Shall we meet at noon?';
const { random, clock } = system;

/** A group of two, the first of them its owner. */
export type Talk = Readonly<{ conversationId: string; members: readonly [string, string] }>;

export function newTalk(): Talk {
  const members = [random.objectId(), random.objectId()].sort() as [string, string];
  return { conversationId: random.objectId(), members };
}

/** The stream of a conversation. */
export const streamOf = ({ conversationId }: Talk): string => `conversation-${conversationId}`;

function event(type: string, data: NewEvent['data'], actor: string): NewEvent {
  const commandId = random.uuid(START);
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

/** The message with this number, about 300 bytes of JSON. Each is sent a millisecond after the one before. */
export function messageEvent({ conversationId, members }: Talk, seq: number): NewEvent {
  const senderId = members[seq % 2] ?? members[0];
  const data = {
    conversationId,
    messageId: random.uuid(START + seq),
    seq,
    senderId,
    content: CONTENT,
    replyTo: null,
    mentions: [],
    sentAt: new Date(START + seq).toISOString(),
  };
  return event('MessageSent', data, senderId);
}

/** A command of the owner to send a message now. */
export function sendCommand({ conversationId, members }: Talk) {
  const now = clock.now();
  const commandId = random.uuid(now);
  const at = new Date(now).toISOString();
  const metadata = { commandId, actor: members[0], at, correlationId: commandId, causationId: null };
  const data = { conversationId, messageId: random.uuid(now), content: CONTENT, replyTo: null, mentions: [] };
  return { type: 'SendMessage', data, metadata } as const;
}

/** A claim of a key for a command to a conversation, and its stream. */
export function claimEvent(talk: Talk): Readonly<{ stream: string; event: NewEvent }> {
  const data = { bodyHash: 'i'.repeat(43), stream: streamOf(talk), revision: '1000', seed: 'a'.repeat(32) };
  return { stream: `command-${random.uuid(clock.now())}`, event: event('CommandClaimed', data, talk.members[0]) };
}

/** Writes a conversation with so many messages into the log. */
export async function writeTalk(log: EventLog, talk: Talk, messages: number): Promise<void> {
  let { revision } = await log.append(streamOf(talk), [createdEvent(talk)], { expect: 'none' });
  for (let seq = 1; seq <= messages; seq += BATCH) {
    const some = Array.from({ length: Math.min(BATCH, messages - seq + 1) }, (_, i) => messageEvent(talk, seq + i));
    ({ revision } = await log.append(streamOf(talk), some, { expect: revision }));
  }
}

/** Writes conversations with one message to each in turn, as on a busy day. Returns the number of events. */
export async function writeTalks(log: EventLog, count: number, messages: number): Promise<number> {
  const talks = Array.from({ length: count }, newTalk);
  await Promise.all(talks.map((talk) => log.append(streamOf(talk), [createdEvent(talk)], { expect: 'none' })));
  for (let seq = 1; seq <= messages; seq++) {
    const expect = BigInt(seq - 1);
    await Promise.all(talks.map((talk) => log.append(streamOf(talk), [messageEvent(talk, seq)], { expect })));
  }
  return count * (messages + 1);
}
