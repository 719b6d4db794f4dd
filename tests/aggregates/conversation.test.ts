import { describe, expect, it } from 'vitest';
import { conversation } from '../../src/aggregates/conversation/decider.ts';
import type { ConversationEvent } from '../../src/aggregates/conversation/events.ts';
import { MEMBERS_MAX } from '../../src/aggregates/conversation/limits.ts';
import type { ConversationCommand } from '../../src/commands/conversation.ts';
import { given } from '../support/decider-spec.ts';
import {
  add,
  added,
  create,
  deleted,
  direct,
  directId,
  expel,
  group,
  groupId,
  leave,
  live,
  remove,
  removed,
  removeErased,
  send,
  sendTo,
  sent,
} from './conversation-fixtures.ts';
import { alice, at, bob, carol, dave, id, uuid } from './fixtures.ts';

describe('CreateGroup', () => {
  it('makes the actor the owner and first member', () => {
    const state = given(conversation, [])
      .when(create(alice, [bob]))
      .decides([group]);
    expect(state).toMatchObject({ status: 'live', kind: 'group', ownerId: alice, lastSeq: 0 });
    expect(live(state).members.toObject()).toStrictEqual({ [alice]: 0, [bob]: 0 });
  });

  it('adds each participant once, and the owner not twice', () => {
    given(conversation, [])
      .when(create(alice, [bob, alice, bob]))
      .decides([group]);
  });

  it('decides nothing when the owner repeats it', () => {
    given(conversation, [group, sent(1)])
      .when(create(alice, [bob, carol]))
      .decides([]);
  });

  it('is refused when another conversation has the id', () => {
    given(conversation, [group]).when(create(bob)).refused('already-exists');
    given(conversation, [direct]).when(create(alice)).refused('already-exists');
  });
});

describe('DeleteConversation', () => {
  it('is allowed for the owner only', () => {
    const state = given(conversation, [group]).when(remove(alice)).decides([deleted]);
    expect(state).toStrictEqual({ status: 'deleted', ownerId: alice });
    given(conversation, [group]).when(remove(bob)).refused('forbidden');
  });

  it('decides nothing when the owner repeats it', () => {
    given(conversation, [group, deleted]).when(remove(alice)).decides([]);
  });

  it('makes the conversation unknown to everybody; only the owner can repeat it', () => {
    const { when } = given(conversation, [group, deleted]);
    when(remove(bob)).refused('not-found');
    when(create(alice)).refused('not-found');
    when(create(carol)).refused('not-found');
    when(add(alice, carol)).refused('not-found');
    when(expel(alice, bob)).refused('not-found');
    when(leave(bob)).refused('not-found');
    when(send(alice, uuid(1))).refused('not-found');
  });
});

describe('AddMember', () => {
  it('is allowed for any member', () => {
    const state = given(conversation, [group])
      .when(add(bob, carol))
      .decides([added(carol)]);
    expect(live(state).members.toObject()).toStrictEqual({ [alice]: 0, [bob]: 0, [carol]: 0 });
  });

  it('lets the new member read from the next message on, also after an earlier membership', () => {
    const history = [group, added(carol), sent(1), removed(carol), sent(2)];
    given(conversation, history)
      .when(add(alice, carol))
      .decides([added(carol, 2)]);
  });

  it('decides nothing for a user who is a member', () => {
    given(conversation, [group]).when(add(alice, bob)).decides([]);
  });

  it('is refused when the conversation is full', () => {
    const others = Array.from({ length: MEMBERS_MAX - 2 }, (_, n) => added(id(0x1000 + n)));
    given(conversation, [group, ...others])
      .when(add(alice, carol))
      .refused('rule-broken');
    given(conversation, [group, ...others.slice(1)])
      .when(add(alice, carol))
      .decides([added(carol)]);
  });
});

describe('RemoveMember', () => {
  it('is allowed for the owner only', () => {
    given(conversation, [group])
      .when(expel(alice, bob))
      .decides([removed(bob)]);
    given(conversation, [group, added(carol)])
      .when(expel(bob, carol))
      .refused('forbidden');
    given(conversation, [group]).when(expel(bob, alice)).refused('forbidden');
  });

  it('decides nothing for a user who is not a member', () => {
    given(conversation, [group]).when(expel(alice, carol)).decides([]);
  });

  it('of oneself is the same as leaving', () => {
    given(conversation, [group])
      .when(expel(bob, bob))
      .decides([removed(bob, 'left')]);
    given(conversation, [group]).when(expel(alice, alice)).refused('rule-broken');
  });
});

describe('RemoveErasedMember', () => {
  const all = [group, added(carol, 0), added(dave, 0)];

  it('removes a member', () => {
    const state = given(conversation, all)
      .when(removeErased(bob))
      .decides([removed(bob, 'erased')]);
    expect(state).toMatchObject({ ownerId: alice });
  });

  it('makes the first successor who is still a member the owner', () => {
    const state = given(conversation, [...all, removed(bob, 'left')])
      .when(removeErased(alice, [bob, dave, carol]))
      .decides([removed(alice, 'erased', dave)]);
    expect(state).toMatchObject({ status: 'live', ownerId: dave });
    expect(live(state).members.has(alice)).toBe(false);
    given(conversation, [...all, removed(alice, 'erased', dave)])
      .when(remove(dave))
      .decides([deleted]);
  });

  it('makes the member who joined at the earliest message the owner when no successor is a member', () => {
    const later = [group, sent(1), added(carol, 1), removed(bob), added(dave, 1), sent(2), added(bob, 2)];
    given(conversation, later)
      .when(removeErased(alice, [id(99)]))
      .decides([removed(alice, 'erased', [carol, dave].sort()[0])]);
  });

  it('does not make the erased person their own successor', () => {
    given(conversation, all)
      .when(removeErased(alice, [alice, carol]))
      .decides([removed(alice, 'erased', carol)]);
  });

  it('deletes a group that has no other member', () => {
    const deletion = { ...deleted, data: { ...deleted.data, deletedAt: at(20) } };
    given(conversation, [group, removed(bob, 'left')])
      .when(removeErased(alice, [bob]))
      .decides([deletion]);
  });

  it('changes nothing when it is repeated, for others than members, in a 1-1 conversation and after a deletion', () => {
    given(conversation, [...all, removed(alice, 'erased', bob)])
      .when(removeErased(alice, [carol]))
      .decides([]);
    given(conversation, [group]).when(removeErased(carol)).decides([]);
    given(conversation, [direct])
      .when(removeErased(alice, [], directId))
      .decides([]);
    given(conversation, [group, deleted]).when(removeErased(alice)).decides([]);
    given(conversation, []).when(removeErased(alice)).decides([]);
  });
});

describe('LeaveConversation', () => {
  it('is allowed for members, to whom the conversation is unknown afterwards', () => {
    given(conversation, [group])
      .when(leave(bob))
      .decides([removed(bob, 'left')]);
    given(conversation, [group, removed(bob, 'left')])
      .when(leave(bob))
      .refused('not-found');
  });

  it('is refused for the owner', () => {
    given(conversation, [group]).when(leave(alice)).refused('rule-broken');
  });
});

describe('SendMessage', () => {
  it('numbers messages from 1, independent of their sender', () => {
    given(conversation, [group])
      .when(send(alice, uuid(1)))
      .decides([sent(1)]);
    given(conversation, [group, sent(1)])
      .when(send(bob, uuid(2)))
      .decides([sent(2, { senderId: bob })]);
  });

  it('is allowed for members only, also in a 1-1 conversation', () => {
    given(conversation, [direct])
      .when(send(bob, uuid(1), { conversationId: directId }))
      .decides([sent(1, { conversationId: directId, senderId: bob })]);
    given(conversation, [direct])
      .when(send(carol, uuid(1), { conversationId: directId }))
      .refused('not-found');
  });

  it('decides nothing for an id that the sender has used, even if the content differs', () => {
    given(conversation, [group, sent(1)])
      .when(send(alice, uuid(1), { content: 'Other', replyTo: uuid(9) }))
      .decides([]);
  });

  it('is refused with the id of another user’s message', () => {
    given(conversation, [group, sent(1)])
      .when(send(bob, uuid(1)))
      .refused('already-exists');
  });

  it('keeps mentions of members only, each once', () => {
    given(conversation, [group])
      .when(send(alice, uuid(1), { mentions: [bob, carol, alice, bob] }))
      .decides([sent(1, { mentions: [bob, alice] })]);
  });
});

describe('A reply', () => {
  const history = [group, sent(1), sent(2, { replyTo: uuid(1) })];

  it('is accepted to a message of the conversation', () => {
    given(conversation, history)
      .when(send(bob, uuid(3), { replyTo: uuid(1) }))
      .decides([sent(3, { senderId: bob, replyTo: uuid(1) })]);
  });

  it.each([
    ['an unknown message', uuid(9)],
    ['itself', uuid(3)],
    ['another reply', uuid(2)],
  ])('is refused to %s', (_what, replyTo) => {
    given(conversation, history)
      .when(send(bob, uuid(3), { replyTo }))
      .refused('rule-broken');
  });

  it('is refused to a message from before the sender joined', () => {
    const { when } = given(conversation, [group, sent(1), added(carol, 1), sent(2)]);
    when(send(carol, uuid(3), { replyTo: uuid(1) })).refused('rule-broken');
    when(send(carol, uuid(3), { replyTo: uuid(2) })).decides([sent(3, { senderId: carol, replyTo: uuid(2) })]);
  });
});

describe('SendDirectMessage', () => {
  const first = sent(1, { conversationId: directId });

  it('creates the conversation, the same one whichever user starts', () => {
    const state = given(conversation, [])
      .when(sendTo(alice, bob, uuid(1)))
      .decides([direct, first]);
    expect(state).toMatchObject({ status: 'live', kind: 'direct', ownerId: null, lastSeq: 1 });
    expect(live(state).members.toObject()).toStrictEqual({ [alice]: 0, [bob]: 0 });
    given(conversation, [])
      .when(sendTo(bob, alice, uuid(1)))
      .decides([direct, sent(1, { conversationId: directId, senderId: bob })]);
  });

  it('adds to the existing conversation', () => {
    given(conversation, [direct, first])
      .when(sendTo(bob, alice, uuid(2), { replyTo: uuid(1), mentions: [alice, carol] }))
      .decides([sent(2, { conversationId: directId, senderId: bob, replyTo: uuid(1), mentions: [alice] })]);
  });

  it('decides nothing when it is repeated', () => {
    given(conversation, [direct, first])
      .when(sendTo(alice, bob, uuid(1)))
      .decides([]);
  });

  it('is refused when sent to oneself', () => {
    given(conversation, [])
      .when(sendTo(alice, alice, uuid(1)))
      .refused('rule-broken');
  });

  it('is refused in the conversation of two other users', () => {
    for (const history of [[], [direct]]) {
      given(conversation, history)
        .when(sendTo(carol, alice, uuid(1), { conversationId: directId }))
        .refused('not-found');
    }
  });

  it('is refused as a reply when there is no message yet', () => {
    given(conversation, [])
      .when(sendTo(alice, bob, uuid(1), { replyTo: uuid(1) }))
      .refused('rule-broken');
  });
});

it.each<[string, ConversationCommand]>([
  ['deleted', remove(alice, directId)],
  ['joined', add(alice, carol, directId)],
  ['left', leave(alice, directId)],
  ['left by removing oneself', expel(alice, alice, directId)],
  ['changed by removing the other member', expel(alice, bob, directId)],
])('a 1-1 conversation cannot be %s', (_what, command) => {
  given(conversation, [direct]).when(command).refused('rule-broken');
});

it.each<[string, readonly ConversationEvent[]]>([
  ['a user who was never a member', [group]],
  ['a former member', [group, added(dave), removed(dave)]],
  ['everybody before its creation', []],
])('a conversation is unknown to %s', (_who, history) => {
  const { when } = given(conversation, history);
  when(remove(dave)).refused('not-found');
  when(add(dave, carol)).refused('not-found');
  when(expel(dave, bob)).refused('not-found');
  when(leave(dave)).refused('not-found');
  when(send(dave, uuid(1))).refused('not-found');
});

it('commands without an actor are refused', () => {
  given(conversation, []).when(create(null)).refused('unauthenticated');
  given(conversation, [group])
    .when(send(null, uuid(1)))
    .refused('unauthenticated');
});

it('events before the creation are ignored', () => {
  expect(given(conversation, [added(carol), sent(1), deleted]).state).toStrictEqual({ status: 'none' });
});

it('a message has the time of the decision', () => {
  given(conversation, [group])
    .when(send(alice, uuid(1), { seconds: 77 }))
    .decides([sent(1, { sentAt: at(77), conversationId: groupId })]);
});
