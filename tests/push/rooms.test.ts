import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { RecordedEvent } from '../../src/kernel/event.ts';
import { liveHandlers } from '../../src/push/notices/handlers.ts';
import { conversationRoom, userRoom } from '../../src/push/notices/notice.ts';
import { type Membership, Rooms } from '../../src/push/rooms.ts';

const at = (n: number): string => String(n).padStart(4, '0');

/** An event with the fields that change rooms. */
function event(
  position: number,
  type: 'created' | 'added' | 'removed' | 'deleted',
  conversationId: string,
  userId = '',
): RecordedEvent {
  const kinds = {
    created: { type: 'ConversationCreated', data: { conversationId, members: userId.split(' ') } },
    added: { type: 'MemberAdded', data: { conversationId, userId } },
    removed: { type: 'MemberRemoved', data: { conversationId, userId } },
    deleted: { type: 'ConversationDeleted', data: { conversationId } },
  } as const;
  // The handlers use no other fields for rooms.
  return { ...kinds[type], position: at(position) } as unknown as RecordedEvent;
}

/** Changes rooms as an event does before its notices are delivered. */
function enter(rooms: Rooms, one: RecordedEvent): void {
  const change = liveHandlers.get(one.type)?.enters?.(one);
  if (change !== undefined) rooms.enter(change, one.position);
}

/** Changes rooms as an event does after its notices were delivered. */
function leave(rooms: Rooms, one: RecordedEvent): void {
  const change = liveHandlers.get(one.type)?.leaves?.(one);
  if (change !== undefined) rooms.leave(change);
}

function apply(rooms: Rooms, ...events: readonly RecordedEvent[]): void {
  for (const one of events) {
    enter(rooms, one);
    leave(rooms, one);
  }
}

/** The conversations of a user, without their own room. */
const conversationsOf = (rooms: Rooms, userId: string): Record<string, string> =>
  Object.fromEntries([...rooms.of(userId)].filter(([room]) => room !== userRoom(userId)));

/** Rooms of connected users without memberships. */
function connected(...userIds: readonly string[]): Rooms {
  const rooms = new Rooms();
  for (const userId of userIds) {
    rooms.open(userId);
    rooms.load(userId, [], null);
  }
  return rooms;
}

describe('the members of a room', () => {
  it('are the connected users who were added to the conversation, or were in it from its creation', () => {
    const rooms = connected('ann', 'bob', 'eve');
    apply(rooms, event(1, 'created', 'x', 'ann zoe'), event(2, 'added', 'x', 'bob'), event(3, 'added', 'x', 'max'));
    expect([...rooms.members(conversationRoom('x'))]).toStrictEqual(['ann', 'bob']);
    expect(conversationsOf(rooms, 'bob')).toStrictEqual({ [conversationRoom('x')]: at(2) });
    expect(conversationsOf(rooms, 'eve')).toStrictEqual({});
    expect([...rooms.of('max')]).toStrictEqual([]);
  });

  it('include a user while the notices of their addition and removal are delivered', () => {
    const rooms = connected('ann');
    const [added, removed] = [event(1, 'added', 'x', 'ann'), event(2, 'removed', 'x', 'ann')];
    enter(rooms, added);
    expect(rooms.members(conversationRoom('x')).has('ann')).toBe(true);
    leave(rooms, added);
    enter(rooms, removed);
    expect(rooms.members(conversationRoom('x')).has('ann')).toBe(true);
    leave(rooms, removed);
    expect(rooms.members(conversationRoom('x')).has('ann')).toBe(false);
    expect(conversationsOf(rooms, 'ann')).toStrictEqual({});
  });

  it('are in it since they were last added', () => {
    const rooms = connected('ann');
    apply(rooms, event(1, 'added', 'x', 'ann'), event(2, 'removed', 'x', 'ann'), event(3, 'added', 'x', 'ann'));
    expect(conversationsOf(rooms, 'ann')).toStrictEqual({ [conversationRoom('x')]: at(3) });
  });

  it('stay in the room of a deleted conversation', () => {
    const rooms = connected('ann');
    apply(rooms, event(1, 'created', 'x', 'ann'), event(2, 'deleted', 'x'));
    expect(conversationsOf(rooms, 'ann')).toStrictEqual({ [conversationRoom('x')]: at(1) });
  });

  it('do not include users who have disconnected', () => {
    const rooms = connected('ann', 'bob');
    apply(rooms, event(1, 'created', 'x', 'ann bob'));
    rooms.close('ann');
    expect([...rooms.of('ann')]).toStrictEqual([]);
    expect([...rooms.members(userRoom('ann'))]).toStrictEqual([]);
    expect([...rooms.members(conversationRoom('x'))]).toStrictEqual(['bob']);
    apply(rooms, event(2, 'created', 'y', 'ann'));
    expect([...rooms.members(conversationRoom('y'))]).toStrictEqual([]);
  });
});

type Change = Readonly<{ type: 'added' | 'removed'; conversation: string }>;

/** The memberships of the user after the first `count` changes; the `n`-th has position `n + 1`. */
function membershipsAfter(changes: readonly Change[], count: number): readonly Membership[] {
  const since = new Map<string, string>();
  for (const [n, { type, conversation }] of changes.slice(0, count).entries()) {
    if (type === 'removed') since.delete(conversation);
    else if (!since.has(conversation)) since.set(conversation, at(n + 1));
  }
  return [...since].map(([conversationId, position]) => ({ conversationId, since: position }));
}

it('the rooms of a user become the current ones, whenever they are loaded, and from whichever later position of the read model', () => {
  const change = fc.record({
    type: fc.constantFrom('added' as const, 'removed' as const),
    conversation: fc.constantFrom('x', 'y', 'z'),
  });
  const scene = fc.record({
    changes: fc.array(change, { maxLength: 30 }),
    opened: fc.nat(30),
    during: fc.nat(30),
    ahead: fc.nat(30),
  });
  fc.assert(
    fc.property(scene, ({ changes, opened, during, ahead }) => {
      // A member is not added again.
      const log = changes.filter(({ type, conversation }, n) => {
        const isIn = membershipsAfter(changes, n).some(({ conversationId }) => conversationId === conversation);
        return type === 'removed' || !isIn;
      });
      const rooms = new Rooms();
      const applyEvents = (from: number, to: number): void => {
        for (const [n, { type, conversation }] of [...log.entries()].slice(from, to)) {
          apply(rooms, event(n + 1, type, conversation, 'ann'));
        }
      };
      const open = Math.min(opened, log.length);
      const loaded = Math.min(open + during, log.length);
      applyEvents(0, open);
      rooms.open('ann');
      applyEvents(open, loaded);
      // The read model is at the position of `open` or at any later one, also one that this node has not reached.
      const seen = membershipsAfter(log, Math.min(open + ahead, log.length));
      rooms.load('ann', seen, loaded === 0 ? null : at(loaded));
      applyEvents(loaded, log.length);

      const expected = membershipsAfter(log, log.length);
      expect(conversationsOf(rooms, 'ann')).toStrictEqual(
        Object.fromEntries(expected.map(({ conversationId, since }) => [conversationRoom(conversationId), since])),
      );
      for (const conversation of ['x', 'y', 'z']) {
        const isIn = expected.some(({ conversationId }) => conversationId === conversation);
        expect(rooms.members(conversationRoom(conversation)).has('ann')).toBe(isIn);
      }
    }),
  );
});

it('a user does not enter a room before the event of the addition has come, although the read model is ahead', () => {
  const rooms = new Rooms();
  rooms.open('ann');
  rooms.load('ann', [{ conversationId: 'x', since: at(5) }], at(3));
  expect(conversationsOf(rooms, 'ann')).toStrictEqual({});
  apply(rooms, event(5, 'added', 'x', 'ann'));
  expect(conversationsOf(rooms, 'ann')).toStrictEqual({ [conversationRoom('x')]: at(5) });
});
