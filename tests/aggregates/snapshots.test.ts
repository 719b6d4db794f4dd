import { createHash } from 'node:crypto';
import { expect, it } from 'vitest';
import { conversation } from '../../src/aggregates/conversation/decider.ts';
import { marks } from '../../src/aggregates/marks/decider.ts';
import { eventRegistry } from '../../src/aggregates/registry.ts';
import { address, username } from '../../src/aggregates/reservation/decider.ts';
import { sessions } from '../../src/aggregates/sessions/decider.ts';
import { user } from '../../src/aggregates/user/decider.ts';
import type { Command } from '../../src/kernel/command.ts';
import type { Aggregate } from '../../src/kernel/decider.ts';
import type { Event } from '../../src/kernel/event.ts';
import type { JsonObject } from '../../src/kernel/json.ts';
import { erased } from '../support/decider-spec.ts';
import { deleted, direct, group, longGroup, removed, sent } from './conversation-fixtures.ts';
import { alice, at, bob, carol, id, uuid, uuidAt } from './fixtures.ts';

/** An event as it was stored, in the schema version of its time, with its personal fields opened. Histories are added, never changed. */
type Stored = Readonly<{ type: string; version: number; data: JsonObject }>;

/** Hash of the snapshots of the histories, by snapshot version. Only the hash of the current version can still be checked. */
type Golden = Readonly<Record<number, string>>;

const stored = (type: string, data: JsonObject, version = 1): Stored => ({ type, version, data });

const reservation: readonly Stored[] = [
  stored('NameReserved', { kind: 'username', holder: bob, until: at(10) }),
  stored('NameReleased', { kind: 'username', holder: bob }),
  stored('NameReserved', { kind: 'username', holder: alice, until: at(20) }),
];

const link = (n: number) => ({ userId: alice, linkId: uuid(n), purpose: 'welcome', expiresAt: at(100 * n) });

const account: readonly Stored[] = [
  stored('UserRegistered', {
    userId: alice,
    email: 'alice@example.org',
    username: 'alice',
    firstname: 'Alice',
    lastname: null,
    registeredAt: at(0),
  }),
  stored('PasswordLinkIssued', { userId: alice, linkId: uuid(1), purpose: 'welcome', expiresAt: at(100) }),
  stored('PasswordSet', { userId: alice, linkId: uuid(1), passwordHash: '$argon2id$x', setAt: at(50) }),
  stored('RegistrationRepeated', { userId: alice, attemptedAt: at(60) }),
  stored('PasswordLinkIssued', { userId: alice, linkId: uuid(2), purpose: 'welcome', expiresAt: at(200) }),
];

const replacedAccount: readonly Stored[] = [
  ...account.slice(0, 2),
  stored('ProfileChanged', { userId: alice, username: 'vic', firstname: null, lastname: null, changedAt: at(10) }),
  stored(
    'PasswordLinkIssued',
    { userId: alice, linkId: uuid(3), purpose: 'welcome', usernameHolder: bob, expiresAt: at(200) },
    2,
  ),
];

const provisioned = stored('UserProvisioned', {
  userId: alice,
  issuer: 'https://id.example.org',
  subject: 'subject 1',
  email: 'alice@example.org',
  username: 'alice',
  firstname: 'Alice',
  lastname: null,
  provisionedAt: at(0),
});

const session = (n: number) => ({ userId: alice, sessionId: uuid(n) });
const mark = (conversation: number, seq: number) => ({
  conversationId: id(conversation),
  readSeq: seq,
  receivedSeq: seq + 1,
  openedAt: at(seq),
});

const recorded: Readonly<Record<string, { histories: readonly (readonly Stored[])[]; golden: Golden }>> = {
  user: {
    histories: [
      account,
      account.map(erased),
      replacedAccount,
      [...account.map(erased), stored('UserErased', { userId: alice, erasedAt: at(70) })],
      [...account, stored('PasswordLinkIssued', { ...link(3), language: 'fr' }, 2)],
      [provisioned],
      [erased(provisioned)],
      [
        ...account,
        stored('ErasureRequested', {
          userId: alice,
          names: [{ kind: 'username', id: 'ab'.repeat(32) }],
          requestedAt: at(65),
        }),
      ],
    ],
    golden: {
      1: 'eccb6e485f504d2e',
      2: 'e96d9389818385b3',
      3: '891876b64647bf85',
      4: '21375fe3a10a8a20',
      5: 'e12bbad253dfa013',
    },
  },
  username: {
    histories: [reservation],
    golden: { 1: 'f13f877dafa08fae' },
  },
  address: {
    histories: [[...reservation, stored('NameConfirmed', { kind: 'address', holder: alice })]],
    golden: { 1: 'dc94d235195e6d8f' },
  },
  sessions: {
    histories: [
      [
        stored('SessionStarted', { ...session(1), userAgent: null, startedAt: at(0), expiresAt: at(10) }),
        stored('SessionStarted', { ...session(2), userAgent: 'Browser', startedAt: at(5), expiresAt: at(100) }),
        stored('SessionStarted', { ...session(3), userAgent: null, startedAt: at(20), expiresAt: at(100) }),
        stored('SessionRefreshed', { ...session(2), counter: 1, refreshedAt: at(21) }),
        stored('SessionRefreshForgiven', { ...session(2), counter: 1 }),
        stored('SessionEnded', { ...session(3), reason: 'signed-out', endedAt: at(30) }),
      ],
      [
        stored('SessionStarted', { ...session(1), userAgent: null, startedAt: at(0), expiresAt: at(10) }),
        stored('SessionsSummarised', {
          userId: alice,
          sessions: [{ sessionId: uuid(1), counter: 2, forgiven: true, startedAt: at(0), expiresAt: at(10) }],
          userAgents: ['Browser'],
          over: [uuid(7)],
        }),
        stored('SessionRefreshed', { ...session(1), counter: 3, refreshedAt: at(5) }),
      ],
      [
        stored(
          'SessionsSummarised',
          {
            userId: alice,
            sessions: [{ sessionId: uuid(1), counter: 2, rotatedAt: at(4), startedAt: at(0), expiresAt: at(10) }],
            userAgents: [null],
            over: [],
          },
          2,
        ),
      ],
    ],
    golden: { 1: '0b8e1480bc079666', 2: '1e75654b1c6a26e9', 3: 'e0b9405a7f92f330' },
  },
  conversation: {
    histories: [
      [...longGroup(10), sent(5_011, { senderId: carol, replyTo: uuid(5_010), sentAt: at(5_011) }), removed(bob)],
      longGroup(600, (seq) => uuidAt(seq)),
      [direct, sent(1)],
      [group, deleted],
      [erased(group), erased(sent(1))],
      [group, removed(alice, 'erased', bob)],
    ].map((history) => history.map(({ type, data }) => stored(type, data))),
    golden: {
      1: '42fedf25e235f435',
      2: '341643dd2c2ea640',
      3: '3839fb42c2d8e13c',
      4: 'bceb080f309d1777',
      5: '37cb90f722348b3d',
    },
  },
  marks: {
    histories: [
      [
        stored('ConversationOpened', { userId: alice, ...mark(2, 1), memberCount: 2 }),
        stored('MarksSummarised', { userId: alice, marks: [mark(2, 3), mark(3, 4)] }),
        ...Array.from({ length: 20 }, (_, n) =>
          stored('ConversationOpened', { userId: alice, ...mark(30 - n, n), memberCount: 2 }),
        ),
        stored('MarksSummarised', { userId: alice, marks: [mark(30, 0)], dropped: [id(2)] }, 2),
      ],
    ],
    golden: { 1: 'd51c0139799f52e2', 2: 'de010e4eeaf41c73' },
  },
};

function upcast(type: string, version: number, data: JsonObject): JsonObject {
  const upcasters = eventRegistry.get(type)?.upcasters ?? [];
  return upcasters.slice(version - 1).reduce((older, upcaster) => upcaster(older), data);
}

// biome-ignore lint/suspicious/noExplicitAny: one list of aggregates of all kinds
const aggregates: readonly Aggregate<any, any, any>[] = [user, username, address, sessions, conversation, marks];

it.each(aggregates.map((aggregate) => [aggregate.category, aggregate] as const))(
  'snapshots of %s stay valid as long as their version does not change',
  (category, aggregate: Aggregate<unknown, Command<string, unknown>, Event>) => {
    const { histories, golden } = recorded[category] ?? { histories: [], golden: {} };
    const frozen = histories.map((history) => {
      const state = history.reduce(
        (before, { type, version, data }) => aggregate.evolve(before, { type, data: upcast(type, version, data) }),
        aggregate.initialState,
      );
      return aggregate.freeze(state);
    });
    const hash = createHash('sha256').update(JSON.stringify(frozen)).digest('hex').slice(0, 16);
    expect(
      hash,
      `state, evolve or an upcaster of '${category}' has changed: raise its snapshotVersion and add the new hash to its golden ones`,
    ).toBe(golden[aggregate.snapshotVersion]);
  },
);

it('the histories contain every type of event, so that a new type also raises a version', () => {
  // A node that ignores a new type of event may still write a snapshot that includes it.
  const types = Object.values(recorded).flatMap(({ histories }) => histories.flat().map(({ type }) => type));
  // A claim is a lock and an installation a record: neither is an aggregate, and neither is folded.
  const unfolded = ['CommandClaimed', 'CommandAnswered', 'InstallationCreated'];
  const folded = [...eventRegistry.keys()].filter((type) => !unfolded.includes(type));
  expect([...new Set(types)].sort()).toStrictEqual(folded.sort());
});
