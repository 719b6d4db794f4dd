import { describe, expect, it } from 'vitest';
import { createValidator } from '../../src/http/request/validation.ts';
import {
  ConversationShape,
  DirectConversationShape,
  emptyDirectConversation,
  MemberShape,
  MessageShape,
  toConversation,
  toDirectConversation,
  toMember,
  toMessage,
} from '../../src/http/shapes/conversations.ts';
import { OwnUserShape, SessionShape, toOwnUser, toSession, toUser, UserShape } from '../../src/http/shapes/users.ts';

const [ADA, BOB, TEAM] = ['a'.repeat(24), 'b'.repeat(24), 'c'.repeat(24)];
const AT = '2026-03-14T09:26:53.589Z';
const MESSAGE = '018f3c7a-9b1e-7c44-8d0a-5b2f6e1c9a77';

/** Personal fields as they read once their person was erased. */
const erased = { username: null, firstname: null, lastname: null, displayName: null };
const membership = (userId: string) => ({
  conversationId: TEAM,
  userId,
  joinedSeq: 0,
  joinedAt: AT,
  since: '1',
  readSeq: 1,
  receivedSeq: 1,
  lastOpenedAt: AT,
});
const stored = { messageId: MESSAGE, seq: 1, senderId: BOB, content: null, sentAt: AT };
const conversation = {
  _id: TEAM,
  kind: 'group',
  name: null,
  namedBy: BOB,
  ownerId: BOB,
  memberCount: 2,
  memberIds: [ADA, BOB],
  otherSenders: [],
  flags: [],
  lastSeq: 1,
  latest: [stored],
  createdAt: AT,
  updatedAt: AT,
  activity: '1',
  revision: 1,
} as const;
const message = {
  _id: MESSAGE,
  conversationId: TEAM,
  seq: 1,
  senderId: BOB,
  content: null,
  sentAt: AT,
  editedAt: null,
  deletedAt: null,
  replyTo: null,
  mentions: [],
  reactions: {},
};
const own = { conversation, membership: membership(ADA), unread: 0 };
const members = [membership(ADA), membership(BOB)];
const ownProfile = { _id: BOB, ...erased, email: null, roles: [], createdAt: AT };
const tokens = { accessToken: 'a', refreshToken: 'r', tokenType: 'Bearer', expiresIn: 600, position: '1' } as const;

describe('the shapes of erased users and of what they wrote', () => {
  it.each([
    ['a user', UserShape, toUser({ _id: BOB, ...erased }), { displayName: null }],
    ['an own profile', OwnUserShape, toOwnUser(ownProfile), { displayName: null, email: null }],
    [
      'a session',
      SessionShape,
      toSession({ ...tokens, user: ownProfile }),
      { user: { username: null }, position: '1' },
    ],
    ['a message', MessageShape, toMessage(message), { content: null, senderId: BOB }],
    ['a member', MemberShape, toMember(membership(BOB), conversation, ADA), { userId: BOB, readSeq: 1 }],
    [
      'a conversation',
      ConversationShape,
      toConversation(own, members),
      { name: null, lastMessage: { content: null, seq: 1 } },
    ],
    [
      'a 1-1 conversation',
      DirectConversationShape,
      toDirectConversation(own, members, [message]),
      { exists: true, messages: [{ content: null }] },
    ],
  ])('%s has null for what was erased', (_name, schema, shown, expected) => {
    expect(shown).toMatchObject(expected);
    expect(() => createValidator(schema)(shown)).not.toThrow();
  });
});

describe('a conversation', () => {
  it('does not show how far others have read when it is large', () => {
    const large = { ...conversation, flags: ['large'] } as const;
    expect(toMember(membership(BOB), large, ADA)).toMatchObject({
      userId: BOB,
      readSeq: null,
      receivedSeq: null,
      lastOpenedAt: null,
    });
    expect(toMember(membership(ADA), large, ADA)).toMatchObject({ userId: ADA, readSeq: 1, lastOpenedAt: AT });
  });

  it('does not show a message from before the reader joined', () => {
    const later = { ...own, membership: { ...own.membership, joinedSeq: 1 } };
    expect(toConversation(later, members).lastMessage).toBeNull();
  });

  it('between two users is empty before its first message', () => {
    const shown = emptyDirectConversation(TEAM);
    expect(shown).toMatchObject({ _id: TEAM, exists: false, messages: [], members: [], lastMessage: null });
    expect(() => createValidator(DirectConversationShape)(shown)).not.toThrow();
  });
});
