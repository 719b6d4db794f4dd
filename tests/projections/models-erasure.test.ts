import { describe, expect, it } from 'vitest';
import type { JsonObject } from '../../src/kernel/json.ts';
import { conversations, NAMED_MEMBERS } from '../../src/projections/models/conversations.ts';
import { messages } from '../../src/projections/models/messages.ts';
import { users } from '../../src/projections/models/users.ts';
import { activated, added, created, erased, registered, removed, sent } from './node.ts';
import { type AnyEvent, objectId, project, projectRead, readAs, recorded, time } from './support.ts';

describe('users, once they are erased,', () => {
  const zoe = { username: 'zoe.m', firstname: 'Zoë', lastname: 'Müller Ångström' };

  const expectedErased = {
    username: null,
    firstname: null,
    lastname: null,
    displayName: null,
    email: null,
    status: 'erased',
    roles: [],
    createdAt: time(0),
    terms: [],
    shortTerms: [],
  };

  it('have neither names nor address nor search terms, and keep their id', () => {
    expect(project(users, registered(1, zoe), activated(1), erased(1))).toEqual({
      [objectId(1)]: { ...expectedErased, revision: 2 },
    });
    expect(project(users, registered(1, zoe), erased(1))).toEqual({
      [objectId(1)]: { ...expectedErased, revision: 1 },
    });
  });

  it('are built from events whose personal fields cannot be read any more', () => {
    const history = [registered(1, zoe), activated(1)];
    const later = projectRead(users, ...history, erased(1));
    expect(later).toEqual({ [objectId(1)]: { ...expectedErased, revision: 2 } });
    // Before the erasure itself is reached.
    const unread = readAs(recorded([...history, erased(1)]), 'later').slice(0, 2) as unknown as readonly AnyEvent[];
    expect(project(users, ...unread)[objectId(1)]).toMatchObject({
      displayName: null,
      status: 'active',
      terms: [],
      shortTerms: [],
    });
  });

  it('get no document by an erasure without an account', () => {
    expect(project(users, erased(1))).toEqual({});
  });
});

describe('conversations, once a person was erased,', () => {
  const contents = (documents: Record<string, JsonObject>, n: number) =>
    (documents[objectId(n)]!.latest as JsonObject[]).map(({ senderId, content }) => [senderId, content]);

  const history = [created(1, [1, 2]), sent(1, 1, 1), sent(1, 2, 2), created(2, [2, 1]), sent(2, 1, 1)];

  it('contain no text of the erased person, and that of others', () => {
    const documents = project(conversations, ...history, erased(1));
    expect(contents(documents, 1)).toEqual([
      [objectId(1), null],
      [objectId(2), 'm2'],
    ]);
    expect(contents(documents, 2)).toEqual([[objectId(1), null]]);
  });

  it('lose their name when the erased person chose it', () => {
    const documents = project(conversations, ...history, erased(1));
    expect([documents[objectId(1)]?.name, documents[objectId(2)]?.name]).toEqual([null, 'c2']);
    expect(documents[objectId(1)]).toMatchObject({ namedBy: objectId(1), ownerId: objectId(1) });
  });

  it('keep their order, revision and members', () => {
    const [before, after] = [project(conversations, ...history), project(conversations, ...history, erased(1))];
    for (const id of [objectId(1), objectId(2)]) {
      const { name: _name, latest: _latest, ...kept } = before[id]!;
      expect(after[id]).toMatchObject(kept);
    }
  });

  it('contain no text of a former member', () => {
    const documents = project(conversations, ...history, removed(1, 1), removed(2, 1), erased(1));
    expect(contents(documents, 1)[0]).toEqual([objectId(1), null]);
    expect(contents(documents, 2)).toEqual([[objectId(1), null]]);
  });

  it('contain no text of a member or former member of a large one, which names no members', () => {
    const joins = Array.from({ length: NAMED_MEMBERS }, (_, i) => added(2, 1_000 + i, 0));
    const large = project(conversations, ...history, ...joins, sent(2, 2, 1_003));
    expect(large[objectId(2)]).toMatchObject({ flags: ['large'], otherSenders: [objectId(1), objectId(1_003)] });
    const gone = [...history, ...joins, sent(2, 2, 1_003), removed(2, 1_003), erased(1), erased(1_003)];
    expect(contents(project(conversations, ...gone), 2)).toEqual([
      [objectId(1), null],
      [objectId(1_003), null],
    ]);
  });

  it('note the senders among their latest messages who are not named as members, and no others', () => {
    const other = (...more: readonly AnyEvent[]) =>
      project(conversations, ...history, ...more)[objectId(1)]?.otherSenders;
    expect(other()).toEqual([]);
    expect(other(removed(1, 1))).toEqual([objectId(1)]);
    expect(other(removed(1, 1), added(1, 1, 2))).toEqual([]);
    const newer = Array.from({ length: 10 }, (_, i) => sent(1, 3 + i, 2));
    expect(other(removed(1, 1), ...newer.slice(0, 8))).toEqual([objectId(1)]);
    expect(other(removed(1, 1), ...newer)).toEqual([]);
  });

  it('are the same when they are built from a log in which the text cannot be read', () => {
    const more = [removed(1, 1), erased(1), sent(1, 3, 2)];
    expect(projectRead(conversations, ...history, ...more)).toEqual(project(conversations, ...history, ...more));
  });
});

describe('messages, once their sender was erased,', () => {
  it('have no text, also when they are built from a log in which it cannot be read', () => {
    const history = [sent(1, 1, 1), sent(1, 2, 2), sent(2, 1, 1), erased(1)];
    const documents = project(messages, ...history);
    expect(Object.values(documents).map(({ senderId, content }) => [senderId, content])).toEqual([
      [objectId(1), null],
      [objectId(2), 'm2'],
      [objectId(1), null],
    ]);
    expect(projectRead(messages, ...history)).toEqual(documents);
  });
});
