import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { conversation } from '../../src/aggregates/conversation/decider.ts';
import type { ConversationEvent } from '../../src/aggregates/conversation/events.ts';
import { KNOWN_MESSAGES } from '../../src/aggregates/conversation/limits.ts';
import type { ConversationState } from '../../src/aggregates/conversation/state.ts';
import type { ConversationCommand } from '../../src/commands/conversation.ts';
import { fold } from '../../src/kernel/decider.ts';
import { given } from '../support/decider-spec.ts';
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

describe('the latest messages', () => {
  const next = KNOWN_MESSAGES + 1;

  it('are all that a conversation keeps in mind', () => {
    const { messages, lastSeq } = live(fold(conversation, longGroup(700)));
    expect(lastSeq).toBe(KNOWN_MESSAGES + 700);
    expect(messages.byId.size).toBe(KNOWN_MESSAGES);
    expect(messages.ring.size).toBe(KNOWN_MESSAGES);
    expect(messages.byId.has(uuid(700))).toBe(false);
    expect(messages.byId.get(uuid(701))).toMatchObject({ seq: 701, senderId: alice, isReply: false });
  });

  it('tell a repetition for as long as they are known', () => {
    const { when } = given(conversation, longGroup(1));
    when(send(alice, uuid(2))).decides([]);
    when(send(carol, uuid(next + 1), { replyTo: uuid(2) })).decides([
      sent(next + 1, { senderId: carol, replyTo: uuid(2) }),
    ]);
    when(send(carol, uuid(next + 1), { replyTo: uuid(1) })).refused('rule-broken');
  });

  it('make an id that is older than all of them uncertain', () => {
    const { when } = given(conversation, longGroup(1));
    when(send(carol, uuidAt(1))).refused('send-uncertain');
    when(send(carol, uuidAt(2))).refused('send-uncertain');
    when(send(carol, uuidAt(2.001))).decides([sent(next + 1, { senderId: carol, messageId: uuidAt(2.001) })]);
  });

  it('leave nothing uncertain while all messages are among them', () => {
    given(conversation, longGroup(-1))
      .when(send(carol, uuidAt(0)))
      .decides([sent(KNOWN_MESSAGES, { senderId: carol, messageId: uuidAt(0) })]);
  });

  it('say nothing of ids that carry no time', () => {
    given(conversation, longGroup(1))
      .when(send(alice, uuid(1)))
      .decides([sent(next + 1, { messageId: uuid(1) })]);
  });

  it('are judged by the latest time so far, where the clocks of nodes differ', () => {
    const ahead = sent(1, { messageId: uuidAt(50), sentAt: at(60) });
    const history = [
      group,
      ahead,
      ...longGroup(1)
        .filter(({ type }) => type === 'MessageSent')
        .slice(1),
    ];
    // The oldest known message says second 2, but was sent behind one that said second 60 and is forgotten.
    given(conversation, history)
      .when(send(alice, uuidAt(50)))
      .refused('send-uncertain');
  });

  it('come back from a snapshot in their order', () => {
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

it('a snapshot says the same, in whatever order the members came', () => {
  const frozen = [
    [bob, carol, dave],
    [dave, carol, bob],
  ].map((members) =>
    conversation.freeze(fold(conversation, [group, removed(bob), ...members.map((who) => added(who))])),
  );
  expect(JSON.stringify(frozen[0])).toBe(JSON.stringify(frozen[1]));
});

describe('an event changes no more of the state than it is about', () => {
  const crowd = Array.from({ length: 2_000 }, (_, n) => added(id(0x1000 + n)));
  const before = live(fold(conversation, [group, ...crowd, sent(1)]));

  it('a message leaves the members as they are', () => {
    expect(live(conversation.evolve(before, sent(2))).members).toBe(before.members);
  });

  it('a member who comes or goes leaves the messages as they are', () => {
    expect(live(conversation.evolve(before, added(carol, 1))).messages).toBe(before.messages);
    expect(live(conversation.evolve(before, removed(bob))).messages).toBe(before.messages);
  });

  it('the weight of a state is that of its members and messages', () => {
    expect(conversation.weight(before)).toBe(1 + 2_002 + 1);
    expect(conversation.weight(conversation.initialState)).toBe(1);
  });
});

const users = [alice, bob, carol, dave];
const user = fc.constantFrom(...users);
/** Mostly of those whose 1-1 conversation it is. */
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

it('whatever is asked, a group keeps the rules', () => {
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

it('whatever is asked, a 1-1 conversation keeps the rules', () => {
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
