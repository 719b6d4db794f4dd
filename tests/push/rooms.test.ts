import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { conversationRoom, type Followed, userRoom } from '../../src/push/notices.ts';
import { type Membership, Rooms } from '../../src/push/rooms.ts';

const at = (n: number): string => String(n).padStart(4, '0');

/** An event as `Rooms` looks at it. */
function event(
  position: number,
  type: 'created' | 'added' | 'removed' | 'deleted',
  conversationId: string,
  userId = '',
): Followed {
  const kinds = {
    created: { type: 'ConversationCreated', data: { conversationId, members: userId.split(' ') } },
    added: { type: 'MemberAdded', data: { conversationId, userId } },
    removed: { type: 'MemberRemoved', data: { conversationId, userId } },
    deleted: { type: 'ConversationDeleted', data: { conversationId } },
  } as const;
  // Only what it looks at is there.
  return { ...kinds[type], position: at(position) } as unknown as Followed;
}

function take(rooms: Rooms, ...events: readonly Followed[]): void {
  for (const one of events) {
    rooms.before(one);
    rooms.after(one);
  }
}

/** The conversations of a user, without their own room. */
const conversationsOf = (rooms: Rooms, userId: string): Record<string, string> =>
  Object.fromEntries([...rooms.of(userId)].filter(([room]) => room !== userRoom(userId)));

/** Connected, and loaded with nothing. */
function connected(...userIds: readonly string[]): Rooms {
  const rooms = new Rooms();
  for (const userId of userIds) {
    rooms.open(userId);
    rooms.load(userId, [], null);
  }
  return rooms;
}

describe('who is in a room', () => {
  it('are those connected users whom its creation names, and who are added', () => {
    const rooms = connected('ann', 'bob', 'eve');
    take(rooms, event(1, 'created', 'x', 'ann zoe'), event(2, 'added', 'x', 'bob'), event(3, 'added', 'x', 'max'));
    expect([...rooms.members(conversationRoom('x'))]).toStrictEqual(['ann', 'bob']);
    expect(conversationsOf(rooms, 'bob')).toStrictEqual({ [conversationRoom('x')]: at(2) });
    expect(conversationsOf(rooms, 'eve')).toStrictEqual({});
    expect([...rooms.of('max')]).toStrictEqual([]);
  });

  it('hears of its own coming and going, and of nothing behind that', () => {
    const rooms = connected('ann');
    const [added, removed] = [event(1, 'added', 'x', 'ann'), event(2, 'removed', 'x', 'ann')];
    rooms.before(added);
    expect(rooms.members(conversationRoom('x')).has('ann')).toBe(true);
    rooms.after(added);
    rooms.before(removed);
    expect(rooms.members(conversationRoom('x')).has('ann')).toBe(true);
    rooms.after(removed);
    expect(rooms.members(conversationRoom('x')).has('ann')).toBe(false);
    expect(conversationsOf(rooms, 'ann')).toStrictEqual({});
  });

  it('who comes again is in it since then', () => {
    const rooms = connected('ann');
    take(rooms, event(1, 'added', 'x', 'ann'), event(2, 'removed', 'x', 'ann'), event(3, 'added', 'x', 'ann'));
    expect(conversationsOf(rooms, 'ann')).toStrictEqual({ [conversationRoom('x')]: at(3) });
  });

  it('stays in that of a deleted conversation, to hear of its end', () => {
    const rooms = connected('ann');
    take(rooms, event(1, 'created', 'x', 'ann'), event(2, 'deleted', 'x'));
    expect(conversationsOf(rooms, 'ann')).toStrictEqual({ [conversationRoom('x')]: at(1) });
  });

  it('leaves nothing behind when gone', () => {
    const rooms = connected('ann', 'bob');
    take(rooms, event(1, 'created', 'x', 'ann bob'));
    rooms.close('ann');
    expect([...rooms.of('ann')]).toStrictEqual([]);
    expect([...rooms.members(userRoom('ann'))]).toStrictEqual([]);
    expect([...rooms.members(conversationRoom('x'))]).toStrictEqual(['bob']);
    take(rooms, event(2, 'created', 'y', 'ann'));
    expect([...rooms.members(conversationRoom('y'))]).toStrictEqual([]);
  });
});

type Happening = Readonly<{ type: 'added' | 'removed'; conversation: string }>;

/** The memberships of the user behind the first so many happenings; the `n`-th stands at position `n + 1`. */
function membershipsAfter(happenings: readonly Happening[], count: number): readonly Membership[] {
  const since = new Map<string, string>();
  for (const [n, { type, conversation }] of happenings.slice(0, count).entries()) {
    if (type === 'removed') since.delete(conversation);
    else if (!since.has(conversation)) since.set(conversation, at(n + 1));
  }
  return [...since].map(([conversationId, position]) => ({ conversationId, since: position }));
}

it('whenever the rooms of a user are loaded, and however far the read model is, they become those of now', () => {
  const happening = fc.record({
    type: fc.constantFrom('added' as const, 'removed' as const),
    conversation: fc.constantFrom('x', 'y', 'z'),
  });
  const scene = fc.record({
    happenings: fc.array(happening, { maxLength: 30 }),
    opened: fc.nat(30),
    during: fc.nat(30),
    ahead: fc.nat(30),
  });
  fc.assert(
    fc.property(scene, ({ happenings, opened, during, ahead }) => {
      // Nobody is added who is in it already.
      const log = happenings.filter(({ type, conversation }, n) => {
        const isIn = membershipsAfter(happenings, n).some(({ conversationId }) => conversationId === conversation);
        return type === 'removed' || !isIn;
      });
      const rooms = new Rooms();
      const tell = (from: number, to: number): void => {
        for (const [n, { type, conversation }] of [...log.entries()].slice(from, to)) {
          take(rooms, event(n + 1, type, conversation, 'ann'));
        }
      };
      const open = Math.min(opened, log.length);
      const loaded = Math.min(open + during, log.length);
      tell(0, open);
      rooms.open('ann');
      tell(open, loaded);
      // The read model is at the place of `open` or anywhere behind it, also ahead of this node.
      const seen = membershipsAfter(log, Math.min(open + ahead, log.length));
      rooms.load('ann', seen, loaded === 0 ? null : at(loaded));
      tell(loaded, log.length);

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

it('nobody is let in before the event by which they join has come, however far the read model is ahead', () => {
  const rooms = new Rooms();
  rooms.open('ann');
  rooms.load('ann', [{ conversationId: 'x', since: at(5) }], at(3));
  expect(conversationsOf(rooms, 'ann')).toStrictEqual({});
  take(rooms, event(5, 'added', 'x', 'ann'));
  expect(conversationsOf(rooms, 'ann')).toStrictEqual({ [conversationRoom('x')]: at(5) });
});
