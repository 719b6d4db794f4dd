import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { conversation } from '../../src/aggregates/conversation/decider.ts';
import type { ConversationEvent } from '../../src/aggregates/conversation/events.ts';
import { bytesOf, messageById, sizeOf } from '../../src/aggregates/conversation/known-messages.ts';
import { KNOWN_MESSAGES } from '../../src/aggregates/conversation/limits.ts';
import type { ConversationState } from '../../src/aggregates/conversation/state.ts';
import type { ConversationCommand } from '../../src/commands/conversation.ts';
import { fold } from '../../src/kernel/decider.ts';
import { erased, given } from '../support/decider-spec.ts';
import {
  add,
  added,
  create,
  directId,
  expel,
  group,
  leave,
  live,
  longGroup,
  remove,
  removed,
  send,
  sendTo,
  sent,
} from './conversation-fixtures.ts';
import { alice, at, bob, carol, dave, id, uuid, uuidAt } from './fixtures.ts';
import { checkRules } from './properties.ts';

describe('known messages', () => {
  const next = KNOWN_MESSAGES + 1;

  it('are the latest ones, at most KNOWN_MESSAGES', () => {
    const { messages, lastSeq } = live(fold(conversation, longGroup(700)));
    expect(lastSeq).toBe(KNOWN_MESSAGES + 700);
    expect(sizeOf(messages)).toBe(KNOWN_MESSAGES);
    expect(messageById(messages, uuid(700))).toBeUndefined();
    expect(messageById(messages, uuid(701))).toMatchObject({ seq: 701, senderId: alice, isReply: false });
    expect(messageById(messages, uuid(lastSeq))).toMatchObject({ seq: lastSeq, senderId: alice, isReply: false });
  });

  it('detect a repeated send', () => {
    const { when } = given(conversation, longGroup(1));
    when(send(alice, uuid(2))).decides([]);
    when(send(carol, uuid(next + 1), { replyTo: uuid(2) })).decides([
      sent(next + 1, { senderId: carol, replyTo: uuid(2) }),
    ]);
    when(send(carol, uuid(next + 1), { replyTo: uuid(1) })).refused('rule-broken');
  });

  it('make an id uncertain only if an older message may have it', () => {
    const { when } = given(
      conversation,
      longGroup(700, (seq) => uuidAt(seq)),
    );
    const last = KNOWN_MESSAGES + 700;
    for (const seq of [1, 512, 513, 700]) {
      when(send(alice, uuidAt(seq))).refused('send-uncertain');
      when(send(carol, uuidAt(seq))).refused('send-uncertain');
      when(send(carol, uuidAt(seq, 1))).decides([sent(last + 1, { senderId: carol, messageId: uuidAt(seq, 1) })]);
    }
    when(send(alice, uuidAt(701))).decides([]);
  });

  it('make no id uncertain up to the message up to which the stream was searched for it', () => {
    const { when } = given(
      conversation,
      longGroup(700, (seq) => uuidAt(seq)),
    );
    for (const seq of [1, 512, 513, 700]) {
      when(send(alice, uuidAt(seq), { unusedUpTo: seq - 1 })).refused('send-uncertain');
      when(send(alice, uuidAt(seq), { unusedUpTo: 700 })).decides([
        sent(KNOWN_MESSAGES + 701, { messageId: uuidAt(seq) }),
      ]);
    }
  });

  it('make no id uncertain because of the clock of its client', () => {
    // An hour late and an hour ahead, in a busy group and in a quiet one.
    const history = longGroup(700, (seq) => uuidAt(seq + (seq % 300 === 0 ? 3_600 : 0)));
    const { when } = given(conversation, history);
    for (const seconds of [-3_600, 0, 2_100, KNOWN_MESSAGES, KNOWN_MESSAGES + 700 + 3_600]) {
      const messageId = uuidAt(seconds, 7);
      when(send(carol, messageId, { seconds: 6_000 })).decides([
        sent(KNOWN_MESSAGES + 701, { senderId: carol, messageId, sentAt: at(6_000) }),
      ]);
    }
  });

  it('do not apply to ids without a time', () => {
    given(conversation, longGroup(1))
      .when(send(alice, uuid(1)))
      .decides([sent(next + 1, { messageId: uuid(1) })]);
  });

  it('do not hide an older message whose id has a later time than theirs', () => {
    const ahead = sent(1, { messageId: uuidAt(50), sentAt: at(60) });
    const history = [
      group,
      ahead,
      ...longGroup(1)
        .filter(({ type }) => type === 'MessageSent')
        .slice(1),
    ];
    given(conversation, history)
      .when(send(alice, uuidAt(50)))
      .refused('send-uncertain');
  });

  it('are restored from a snapshot in their order', () => {
    const history = longGroup(10);
    const state = fold(conversation, history);
    const thawed = conversation.thaw(JSON.parse(JSON.stringify(conversation.freeze(state))));
    const further = sent(KNOWN_MESSAGES + 11);
    expect(thawed).toEqual(state);
    expect(conversation.freeze(conversation.evolve(thawed, further))).toStrictEqual(
      conversation.freeze(fold(conversation, [...history, further])),
    );
  });
});

it('a snapshot does not depend on the order in which members were added', () => {
  const frozen = [
    [bob, carol, dave],
    [dave, carol, bob],
  ].map((members) =>
    conversation.freeze(fold(conversation, [group, removed(bob), ...members.map((who) => added(who))])),
  );
  expect(JSON.stringify(frozen[0])).toBe(JSON.stringify(frozen[1]));
});

describe('personal data', () => {
  const history = [group, added(carol), sent(1), sent(2, { senderId: bob, replyTo: uuid(1) })];

  it('is not part of the state, so snapshots contain neither the name nor the content of messages', () => {
    const frozen = JSON.stringify(conversation.freeze(fold(conversation, history)));
    expect(frozen).not.toContain('Team');
    expect(frozen).not.toContain('Hello');
  });

  it('makes no difference when it was erased', () => {
    const state = fold(conversation, history.map(erased));
    expect(conversation.freeze(state)).toStrictEqual(conversation.freeze(fold(conversation, history)));
    given(conversation, history.map(erased))
      .when(send(carol, uuid(3), { replyTo: uuid(1) }))
      .decides([sent(3, { senderId: carol, replyTo: uuid(1) })]);
  });
});

describe('an event changes only its part of the state', () => {
  const crowd = Array.from({ length: 2_000 }, (_, n) => added(id(0x1000 + n)));
  const before = live(fold(conversation, [group, ...crowd, sent(1)]));

  it('a message does not change the members', () => {
    expect(live(conversation.evolve(before, sent(2))).members).toBe(before.members);
  });

  it('adding or removing a member does not change the messages', () => {
    expect(live(conversation.evolve(before, added(carol, 1))).messages).toBe(before.messages);
    expect(live(conversation.evolve(before, removed(bob))).messages).toBe(before.messages);
  });

  it('the weight of a state counts its members and messages', () => {
    const base = conversation.weight(conversation.initialState);
    expect(conversation.weight(before)).toBe(base + 2_002 * 190 + bytesOf(before.messages));
    expect(bytesOf(before.messages)).toBeGreaterThan(0);
    const full = live(fold(conversation, longGroup(0)));
    expect(conversation.weight(full)).toBeLessThan(base + 3 * 190 + 256 * 1024);
    expect(conversation.weight(full)).toBeGreaterThan(base + KNOWN_MESSAGES * 24);
  });
});

const users = [alice, bob, carol, dave];
const user = fc.constantFrom(...users);
/** Mostly the members of the 1-1 conversation. */
const partner = fc.constantFrom(alice, bob, alice, bob, carol);
const messageId = fc.oneof(
  fc.nat(8).map(uuid),
  fc.nat(8).map((seconds) => uuidAt(seconds)),
);
const replyTo = fc.oneof({ weight: 4, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: messageId });
const mentions = fc.array(user, { maxLength: 3 });

function keepsTheRules(state: ConversationState, history: readonly ConversationEvent[]): void {
  const messages = history.flatMap((event) => (event.type === 'MessageSent' ? [event.data] : []));
  expect(messages.map(({ seq }) => seq)).toEqual(messages.map((_, i) => i + 1));
  expect(new Set(messages.map((message) => message.messageId)).size).toBe(messages.length);
  expect(history.filter(({ type }) => type === 'ConversationCreated')).toHaveLength(1);
  for (const { replyTo: answered } of messages.filter((message) => message.replyTo !== null)) {
    expect(messages.find((message) => message.messageId === answered)).toMatchObject({ replyTo: null });
  }
  if (state.status !== 'live') return;
  expect(state.lastSeq).toBe(messages.length);
  if (state.ownerId !== null) expect(state.members.has(state.ownerId)).toBe(true);
  if (state.kind === 'direct') expect([...state.members.keys()].sort()).toEqual([alice, bob]);
  for (const joinedSeq of state.members.values()) expect(joinedSeq).toBeLessThanOrEqual(state.lastSeq);
}

it('a group keeps its rules for any sequence of commands', () => {
  checkRules<ConversationState, ConversationCommand, ConversationEvent>(conversation, {
    commands: fc.oneof(
      {
        weight: 3,
        arbitrary: fc.tuple(user, fc.array(user, { maxLength: 3 })).map(([who, others]) => create(who, others)),
      },
      { weight: 6, arbitrary: fc.tuple(user, user).map(([who, whom]) => add(who, whom)) },
      { weight: 3, arbitrary: fc.tuple(user, user).map(([who, whom]) => expel(who, whom)) },
      { weight: 1, arbitrary: user.map((who) => leave(who)) },
      { weight: 1, arbitrary: user.map((who) => remove(who)) },
      {
        weight: 20,
        arbitrary: fc
          .tuple(user, messageId, fc.record({ replyTo, mentions, seconds: fc.nat(20) }))
          .map(([who, message, more]) => send(who, message, more)),
      },
    ),
    again: ({ type, data, metadata }) => {
      const leaves = type === 'LeaveConversation' || (type === 'RemoveMember' && data.userId === metadata.actor);
      return leaves ? 'refused' : 'nothing';
    },
    invariant: keepsTheRules,
    reaches: [
      'ConversationCreated',
      'MemberAdded',
      'MemberRemoved',
      'MessageSent',
      'ConversationDeleted',
      'not-found',
      'forbidden',
      'already-exists',
      'rule-broken',
    ],
  });
});

it('a 1-1 conversation keeps its rules for any sequence of commands', () => {
  checkRules<ConversationState, ConversationCommand, ConversationEvent>(conversation, {
    commands: fc.oneof(
      {
        weight: 8,
        arbitrary: fc
          .tuple(partner, partner, messageId, fc.record({ replyTo, mentions }))
          .map(([who, whom, message, more]) => sendTo(who, whom, message, { ...more, conversationId: directId })),
      },
      {
        weight: 4,
        arbitrary: fc
          .tuple(user, messageId, fc.record({ replyTo, mentions }))
          .map(([who, message, more]) => send(who, message, { ...more, conversationId: directId })),
      },
      fc.tuple(user, user).map(([who, whom]) => add(who, whom, directId)),
      fc.tuple(user, user).map(([who, whom]) => expel(who, whom, directId)),
      user.map((who) => leave(who, directId)),
      user.map((who) => remove(who, directId)),
    ),
    again: () => 'nothing',
    invariant: keepsTheRules,
    reaches: ['ConversationCreated', 'MessageSent', 'not-found', 'already-exists', 'rule-broken'],
  });
});
