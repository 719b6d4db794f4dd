import { describe, expect, it } from 'vitest';
import type { ConversationEvent } from '../../src/aggregates/conversation/events.ts';
import type { MarksEvent } from '../../src/aggregates/marks/events.ts';
import { eventRegistry } from '../../src/aggregates/registry.ts';
import type { SessionsEvent } from '../../src/aggregates/sessions/events.ts';
import type { UserEvent } from '../../src/aggregates/user/events.ts';
import type { RecordedEvent } from '../../src/kernel/event.ts';
import type { JsonObject } from '../../src/kernel/json.ts';
import { liveHandlers, liveTypes } from '../../src/push/notices/handlers.ts';
import { conversationRoom, type Notice, userRoom } from '../../src/push/notices/notice.ts';

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
const created = { conversationId, kind: 'group', name: 'team', ownerId: ann, members: [ann, bob], createdAt: at };
const opened = { userId: ann, conversationId, readSeq: 3, receivedSeq: 3, openedAt: at };

type Type = (ConversationEvent | MarksEvent | SessionsEvent | UserEvent)['type'];
type Expected = Omit<Notice, 'personal'>;
type Case = readonly [type: Type, data: JsonObject, expected: readonly Expected[]];

const members = [conversationRoom(conversationId)];
const shownMessage = {
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
};
const shownConversation = { _id: conversationId, kind: 'group', name: 'team', ownerId: ann, createdAt: at };
const cases: readonly Case[] = [
  ['MessageSent', message, [{ name: 'message:sent', rooms: members, payload: { message: shownMessage } }]],
  [
    'ConversationCreated',
    created,
    [{ name: 'conversation:created', rooms: members, payload: { conversation: shownConversation } }],
  ],
  [
    'ConversationDeleted',
    { conversationId, deletedAt: at },
    [{ name: 'conversation:deleted', rooms: members, payload: { conversation: { _id: conversationId } } }],
  ],
  ...(
    [
      ['MemberAdded', { conversationId, userId: bob, joinedSeq: 2, addedAt: at }, 'conversation:member:added'],
      ['MemberRemoved', { conversationId, userId: bob, reason: 'left', removedAt: at }, 'conversation:member:removed'],
    ] as const
  ).map(([type, data, name]): Case => {
    // Also in the user's own room: they may not be in the conversation's yet, or any more.
    const rooms = [...members, userRoom(bob)];
    return [type, data, [{ name, rooms, payload: { conversation: { _id: conversationId }, userId: bob } }]];
  }),
  [
    'ConversationOpened',
    { ...opened, memberCount: 200 },
    [
      {
        name: 'conversation:opened',
        rooms: members,
        payload: { conversationId, userId: ann, readSeq: 3, lastOpenedAt: at },
      },
    ],
  ],
  ['SessionEnded', { userId: ann, sessionId: messageId, reason: 'signed-out', endedAt: at }, []],
  ['ErasureRequested', { userId: ann, names: [], requestedAt: at }, []],
  ['UserErased', { userId: ann, erasedAt: at }, []],
];

/** An event with this data. */
function recorded(type: string, data: JsonObject): RecordedEvent {
  expect(eventRegistry.get(type)?.check(data)).toBeNull();
  // The handlers use no field of the envelope.
  return { type, data } as unknown as RecordedEvent;
}

const handlerOf = (type: Type) => liveHandlers.get(type);
const noticesOf = (type: Type, data: JsonObject) => handlerOf(type)?.notices?.(recorded(type, data)) ?? [];

describe('notices', () => {
  it.each(cases)('%s has the name, rooms and payload of the contract', (type, data, expected) => {
    const notices = noticesOf(type, data).map(({ personal: _, ...notice }) => notice);
    expect(notices).toStrictEqual(expected);
  });

  it('are tested for every type that push subscribes to', () => {
    expect([...new Set(cases.map(([type]) => type))].sort()).toStrictEqual([...liveTypes].sort());
  });

  it('of what a member has read go to that member only in conversations with more than 200 members', () => {
    const [notice] = noticesOf('ConversationOpened', { ...opened, memberCount: 201 });
    expect(notice?.rooms).toStrictEqual([userRoom(ann)]);
  });

  it('do not exist for other types', () => {
    expect(handlerOf('MarksSummarised')).toBeUndefined();
    expect(handlerOf('UserRegistered')).toBeUndefined();
  });
});

describe('personal text in a notice', () => {
  it('of a message is its content', () => {
    const [notice] = noticesOf('MessageSent', message);
    expect(notice?.personal?.personId).toBe(ann);
    const expected = { message: { ...shownMessage, content: null } };
    expect(notice?.personal?.redact(notice.payload)).toStrictEqual(expected);
    expect(notice?.payload).toStrictEqual({ message: shownMessage });
  });

  it('of a new group is its name, which is text of the owner', () => {
    const [notice] = noticesOf('ConversationCreated', created);
    expect(notice?.personal?.personId).toBe(ann);
    const expected = { conversation: { ...shownConversation, name: null } };
    expect(notice?.personal?.redact(notice.payload)).toStrictEqual(expected);
  });

  it('does not exist in other notices', () => {
    const direct = { ...created, kind: 'direct', name: null, ownerId: null };
    expect(noticesOf('ConversationCreated', direct)[0]?.personal).toBeUndefined();
    for (const [type, data] of cases) {
      if (type === 'MessageSent' || type === 'ConversationCreated') continue;
      for (const { personal } of noticesOf(type, data)) expect(personal).toBeUndefined();
    }
  });

  it('is declared for each personal field of the events that push handles', () => {
    const types = [...liveHandlers.keys()].filter(
      (type) => Object.keys(eventRegistry.get(type)?.personal ?? {}).length > 0,
    );
    expect(types.sort()).toStrictEqual(['ConversationCreated', 'MessageSent']);
  });
});

describe('the removal of an erased owner', () => {
  it('also says who owns the group from now on', () => {
    const data = { conversationId, userId: bob, reason: 'erased', nextOwnerId: ann, removedAt: at };
    const [notice] = noticesOf('MemberRemoved', data);
    expect(notice?.payload).toStrictEqual({ conversation: { _id: conversationId, ownerId: ann }, userId: bob });
  });
});

describe('what else an event does to connections', () => {
  it('is a change of rooms, the end of a room, the end of a session, or an erasure', () => {
    const effects = cases.map(([type, data]) => {
      const event = recorded(type, data);
      const { notices: _, ...handler } = handlerOf(type) ?? {};
      return [type, Object.fromEntries(Object.entries(handler).map(([name, effect]) => [name, effect(event)]))];
    });
    const room = conversationRoom(conversationId);
    expect(Object.fromEntries(effects)).toStrictEqual({
      MessageSent: {},
      ConversationCreated: { enters: { room, userIds: [ann, bob] } },
      ConversationDeleted: { closes: room },
      MemberAdded: { enters: { room, userIds: [bob] } },
      MemberRemoved: { leaves: { room, userIds: [bob] } },
      ConversationOpened: {},
      SessionEnded: { endsSession: { userId: ann, sessionId: messageId } },
      ErasureRequested: { erases: ann },
      UserErased: { erases: ann },
    });
  });
});
