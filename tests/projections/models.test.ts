import { describe, expect, it } from 'vitest';
import { planQuery } from '../../src/kernel/query.ts';
import { conversations, NAMED_MEMBERS } from '../../src/projections/models/conversations.ts';
import { memberships } from '../../src/projections/models/memberships.ts';
import { messages } from '../../src/projections/models/messages.ts';
import { users } from '../../src/projections/models/users.ts';
import { activated, added, created, registered, removed, sent } from './node.ts';
import { type AnyEvent, objectId, positionOf, project, time, uuid } from './support.ts';

const opened = (n: number, userId: number, readSeq: number, at: number): AnyEvent => ({
  type: 'ConversationOpened',
  data: {
    userId: objectId(userId),
    conversationId: objectId(n),
    readSeq,
    receivedSeq: readSeq,
    openedAt: time(at),
    memberCount: 2,
  },
});

describe('users', () => {
  const zoe = { username: 'zoe.m', firstname: 'Zoë', lastname: 'Müller Ångström' };

  it('are pending and not found by a search until they have a password', () => {
    expect(project(users, registered(1, zoe))).toEqual({
      [objectId(1)]: {
        ...zoe,
        displayName: 'Zoë Müller Ångström',
        email: 'u1@example.org',
        status: 'pending',
        roles: [],
        createdAt: time(0),
        revision: 0,
        terms: [],
        shortTerms: [],
      },
    });
  });

  it('are found by every name and word of a name, without case and accents, once they are active', () => {
    const { terms, shortTerms, status, revision } = project(users, registered(1, zoe), activated(1))[objectId(1)]!;
    expect(new Set(shortTerms as string[])).toEqual(new Set(['z', 'zo', 'm', 'mu', 'a', 'an']));
    expect({ status, revision }).toEqual({ status: 'active', revision: 1 });
    expect(new Set(terms as string[])).toEqual(
      new Set([
        'zoe.m',
        'zoe',
        'm',
        'muller angstrom',
        'muller',
        'angstrom',
        'zoe muller angstrom',
        'muller angstrom zoe',
      ]),
    );
  });

  it('of an outside issuer are active and found from the start', () => {
    const provisioned: AnyEvent = {
      type: 'UserProvisioned',
      data: {
        userId: objectId(1),
        issuer: 'https://id.example.org',
        subject: 'subject 1',
        email: null,
        ...zoe,
        provisionedAt: time(5),
      },
    };
    const [local, outside] = [project(users, registered(1, zoe), activated(1)), project(users, provisioned)];
    expect(outside[objectId(1)]).toEqual({ ...local[objectId(1)], email: null, createdAt: time(5), revision: 0 });
  });

  it('are found in order by an index, without sorting, by a text of one or two characters', () => {
    const indexes = users.collections[0]?.indexes ?? [];
    const byUsername = ['username'];
    expect(planQuery(indexes, { shortTerms: { contains: 'a' } }, byUsername)?.inOrder).toBe(true);
    // All matches of a prefix have to be sorted.
    expect(planQuery(indexes, { terms: { containsPrefix: 'a' } }, byUsername)?.inOrder).toBe(false);
    const [emoji = ''] = [...'😀'];
    const { shortTerms } = project(users, registered(1, { ...zoe, firstname: '😀😀x' }), activated(1))[objectId(1)]!;
    expect(shortTerms).toEqual(expect.arrayContaining([emoji, `${emoji}${emoji}`]));
  });

  it('without names are shown by their username', () => {
    const body = project(users, registered(1, { username: 'kim', firstname: null, lastname: null }), activated(1))[
      objectId(1)
    ]!;
    expect(body).toMatchObject({ displayName: 'kim', terms: ['kim'] });
  });

  it('have the revision of the last event of their stream', () => {
    const repeated: AnyEvent = { type: 'RegistrationRepeated', data: { userId: objectId(1), attemptedAt: time(2) } };
    expect(project(users, registered(1, zoe), activated(1), repeated)[objectId(1)]).toMatchObject({
      revision: 2,
      status: 'active',
    });
  });
});

describe('conversations', () => {
  it('are sorted by the position of their latest activity in the log', () => {
    const folded = project(conversations, created(1, [1, 2]), created(2, [1, 2]), sent(1, 1, 1));
    const activity = (n: number): string => String(folded[objectId(n)]?.activity);
    expect(activity(1) > activity(2)).toBe(true);
  });

  it('are summed up in one document', () => {
    const history = [created(1, [1, 2]), sent(1, 1, 1), added(1, 3, 1), removed(1, 2)];
    expect(project(conversations, ...history)).toEqual({
      [objectId(1)]: {
        kind: 'group',
        name: 'c1',
        namedBy: objectId(1),
        ownerId: objectId(1),
        memberCount: 2,
        memberIds: [objectId(1), objectId(3)],
        otherSenders: [],
        flags: [],
        lastSeq: 1,
        latest: [{ messageId: uuid(10_001), seq: 1, senderId: objectId(1), content: 'm1', sentAt: time(1) }],
        createdAt: time(0),
        updatedAt: time(50),
        activity: expect.any(String),
        revision: 3,
      },
    });
  });

  it('contain their latest 10 messages, oldest first', () => {
    const history = Array.from({ length: 14 }, (_, i) => sent(1, i + 1, 1));
    const { latest, lastSeq } = project(conversations, created(1, [1]), ...history)[objectId(1)]!;
    expect((latest as { seq: number }[]).map(({ seq }) => seq)).toEqual([5, 6, 7, 8, 9, 10, 11, 12, 13, 14]);
    expect(lastSeq).toBe(14);
  });

  it('never go back in their time of activity, even if the clocks of nodes differ', () => {
    const early = sent(1, 2, 1);
    const history = [created(1, [1]), sent(1, 30, 1), { ...early, data: { ...early.data, seq: 31 } } as AnyEvent];
    expect(project(conversations, ...history)[objectId(1)]).toMatchObject({ lastSeq: 31, updatedAt: time(30) });
  });

  it('stop naming their members above 200, and do not start again when they shrink', () => {
    const joins = Array.from({ length: NAMED_MEMBERS - 1 }, (_, i) => added(1, 1_000 + i, 0));
    const full = [created(1, [1]), ...joins];
    const named = project(conversations, ...full)[objectId(1)]!;
    expect(named).toMatchObject({ memberCount: NAMED_MEMBERS, flags: [] });
    expect(named.memberIds).toHaveLength(NAMED_MEMBERS);
    const large = [...full, added(1, 2, 0)];
    expect(project(conversations, ...large)[objectId(1)]).toMatchObject({
      memberCount: 201,
      memberIds: [],
      flags: ['large'],
    });
    const shrunk = [...large, removed(1, 2), removed(1, 1_000), removed(1, 1_001)];
    expect(project(conversations, ...shrunk)[objectId(1)]).toMatchObject({
      memberCount: 198,
      memberIds: [],
      flags: ['large'],
    });
  });

  it('have no document once they are deleted, and get none by later events', () => {
    const deleted: AnyEvent = {
      type: 'ConversationDeleted',
      data: { conversationId: objectId(1), deletedAt: time(9) },
    };
    expect(project(conversations, created(1, [1]), deleted, sent(1, 1, 1))).toEqual({});
  });
});

describe('messages', () => {
  it('are identified by their place in their conversation, even if clients use an id twice', () => {
    const twin = { ...sent(2, 1, 1).data, messageId: uuid(10_001) };
    const history = [sent(1, 1, 1), { type: 'MessageSent', data: twin } as AnyEvent, sent(1, 2, 2)];
    expect(Object.keys(project(messages, ...history))).toEqual([
      `${objectId(1)}:000000000001`,
      `${objectId(2)}:000000000001`,
      `${objectId(1)}:000000000002`,
    ]);
  });

  it('leave out reply and mentions where there are none', () => {
    const { data } = sent(1, 2, 1);
    const reply = {
      type: 'MessageSent',
      data: { ...data, replyTo: uuid(10_001), mentions: [objectId(2)] },
    } as AnyEvent;
    expect(Object.values(project(messages, sent(1, 1, 1), reply))).toEqual([
      {
        conversationId: objectId(1),
        messageId: uuid(10_001),
        seq: 1,
        senderId: objectId(1),
        content: 'm1',
        sentAt: time(1),
      },
      {
        conversationId: objectId(1),
        messageId: uuid(10_002),
        seq: 2,
        senderId: objectId(1),
        content: 'm2',
        sentAt: time(2),
        replyTo: uuid(10_001),
        mentions: [objectId(2)],
      },
    ]);
  });
});

describe('memberships', () => {
  const id = (n: number, user: number): string => `${objectId(n)}:${objectId(user)}`;

  it('begin where the member joined', () => {
    const documents = project(memberships, created(1, [1]), added(1, 2, 7));
    expect(documents[id(1, 2)]).toEqual({
      conversationId: objectId(1),
      userId: objectId(2),
      joinedSeq: 7,
      joinedAt: time(7),
      since: positionOf(2),
      readSeq: 7,
      receivedSeq: 7,
      lastOpenedAt: null,
    });
    expect(documents[id(1, 1)]).toMatchObject({ joinedSeq: 0, readSeq: 0, since: positionOf(1) });
  });

  it("move by what the member sends, and not by others' messages", () => {
    const documents = project(memberships, created(1, [1, 2]), sent(1, 1, 1), sent(1, 2, 1));
    expect(documents[id(1, 1)]).toMatchObject({ readSeq: 2, receivedSeq: 2, lastOpenedAt: null });
    expect(documents[id(1, 2)]).toMatchObject({ readSeq: 0, receivedSeq: 0 });
  });

  it('only move forward', () => {
    const history = [created(1, [1]), opened(1, 1, 5, 10), opened(1, 1, 3, 9)];
    expect(project(memberships, ...history)[id(1, 1)]).toMatchObject({
      readSeq: 5,
      receivedSeq: 5,
      lastOpenedAt: time(10),
    });
  });

  it('are the same whether marks come one by one or summarised', () => {
    const summary: AnyEvent = {
      type: 'MarksSummarised',
      data: {
        userId: objectId(1),
        marks: [
          { conversationId: objectId(1), readSeq: 5, receivedSeq: 6, openedAt: time(10) },
          { conversationId: objectId(9), readSeq: 1, receivedSeq: 1, openedAt: time(10) },
        ],
        dropped: [],
      },
    };
    const alone = project(memberships, created(1, [1]), summary);
    expect(alone[id(1, 1)]).toMatchObject({ readSeq: 5, receivedSeq: 6, lastOpenedAt: time(10) });
    // A mark does not create a membership.
    expect(Object.keys(alone)).toEqual([id(1, 1)]);
    expect(project(memberships, created(1, [1]), opened(1, 1, 5, 10), summary)).toEqual(alone);
  });

  it('of a deleted conversation do not affect a new one with the same id', () => {
    const history = [created(1, [1, 2]), opened(1, 2, 4, 9), created(1, [2])];
    expect(project(memberships, ...history)[id(1, 2)]).toMatchObject({ readSeq: 0, since: positionOf(3) });
  });

  it('end when the member is removed, and begin again when the member returns', () => {
    const history = [created(1, [1, 2]), opened(1, 2, 4, 9), removed(1, 2)];
    expect(project(memberships, ...history)[id(1, 2)]).toBeUndefined();
    expect(project(memberships, ...history, added(1, 2, 8))[id(1, 2)]).toMatchObject({
      joinedSeq: 8,
      readSeq: 8,
      lastOpenedAt: null,
    });
  });
});
