import { expect, it } from 'vitest';
import { eventRegistry } from '../../src/aggregates/registry.ts';
import type { JsonObject } from '../../src/kernel/json.ts';
import {
  conversationRoom,
  type Followed,
  followedTypes,
  type Notice,
  noticesOf,
  userRoom,
} from '../../src/push/notices.ts';

const conversationId = 'c'.repeat(24);
const ann = 'a'.repeat(24);
const bob = 'b'.repeat(24);
const at = '2026-01-01T00:00:00.000Z';
const messageId = '0197c0de-0000-7000-8000-000000000001';

const message = {
  conversationId,
  messageId,
  seq: 3,
  senderId: ann,
  content: 'hi',
  replyTo: null,
  mentions: [bob],
  sentAt: at,
};
const opened = { userId: ann, conversationId, readSeq: 3, receivedSeq: 3, openedAt: at };

type Case = readonly [type: Followed['type'], data: JsonObject, expected: readonly Notice[]];

const everybody = [conversationRoom(conversationId)];
const cases: readonly Case[] = [
  [
    'MessageSent',
    message,
    [
      {
        name: 'message:sent',
        rooms: everybody,
        payload: {
          message: {
            _id: messageId,
            conversationId,
            seq: 3,
            senderId: ann,
            content: 'hi',
            sentAt: at,
            editedAt: null,
            deletedAt: null,
            replyTo: null,
            mentions: [bob],
            reactions: {},
          },
        },
      },
    ],
  ],
  [
    'ConversationCreated',
    { conversationId, kind: 'group', name: 'team', ownerId: ann, members: [ann, bob], createdAt: at },
    [
      {
        name: 'conversation:created',
        rooms: everybody,
        payload: { conversation: { _id: conversationId, kind: 'group', name: 'team', ownerId: ann, createdAt: at } },
      },
    ],
  ],
  [
    'ConversationDeleted',
    { conversationId, deletedAt: at },
    [{ name: 'conversation:deleted', rooms: everybody, payload: { conversation: { _id: conversationId } } }],
  ],
  ...(
    [
      ['MemberAdded', { conversationId, userId: bob, joinedSeq: 2, addedAt: at }, 'conversation:member:added'],
      ['MemberRemoved', { conversationId, userId: bob, reason: 'left', removedAt: at }, 'conversation:member:removed'],
    ] as const
  ).map(([type, data, name]): Case => {
    // Also in the room of whom it is about: they may not be in the conversation's yet, or any more.
    const rooms = [...everybody, userRoom(bob)];
    return [type, data, [{ name, rooms, payload: { conversation: { _id: conversationId }, userId: bob } }]];
  }),
  [
    'ConversationOpened',
    { ...opened, memberCount: 200 },
    [
      {
        name: 'conversation:opened',
        rooms: everybody,
        payload: { conversationId, userId: ann, readSeq: 3, lastOpenedAt: at },
      },
    ],
  ],
  ['SessionEnded', { userId: ann, sessionId: messageId, reason: 'signed-out', endedAt: at }, []],
];

const recorded = (type: string, data: JsonObject): Followed =>
  // The registry below vouches for the data; of the envelope nothing is looked at.
  ({ type, data }) as unknown as Followed;

it.each(cases)('%s is told in the words of the contract', (type, data, expected) => {
  expect(eventRegistry.get(type)?.check(data)).toBeNull();
  expect(noticesOf(recorded(type, data))).toStrictEqual(expected);
});

it('every type that is followed is tried here', () => {
  expect([...new Set(cases.map(([type]) => type))].sort()).toStrictEqual([...followedTypes].sort());
});

it('above 200 members only oneself hears how far one has read', () => {
  const [notice] = noticesOf(recorded('ConversationOpened', { ...opened, memberCount: 201 }));
  expect(notice?.rooms).toStrictEqual([userRoom(ann)]);
});

it('what is not followed tells nothing', () => {
  expect(noticesOf(recorded('MarksSummarised', { userId: ann, marks: [] }))).toStrictEqual([]);
});
