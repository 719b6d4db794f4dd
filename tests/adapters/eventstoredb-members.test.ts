import gossip from '@eventstore/db-client/generated/gossip_pb.js';
import { describe, expect, it } from 'vitest';
import { candidatesFor, chooseLeader, type MemberView } from '../../src/adapters/eventstoredb/choose-member.ts';
import { parseConnectionString } from '../../src/adapters/eventstoredb/connection-string.ts';

const { VNodeState } = gossip.MemberInfo;

/** A member's view: upper-case letters lead, lower-case ones follow, and those after a `!` are not alive. */
const view = (text: string): MemberView[] => {
  const [alive = '', dead = ''] = text.split('!');
  return [...alive, ...dead].map((letter, n) => ({
    address: letter.toLowerCase(),
    state: letter === letter.toUpperCase() ? VNodeState.LEADER : VNodeState.FOLLOWER,
    isAlive: n < alive.length,
  }));
};
const answersOf = (views: Readonly<Record<string, string>>) =>
  new Map(Object.entries(views).map(([address, text]) => [address, view(text)]));

describe('the leader of a cluster', () => {
  it.each<[string, Record<string, string>, boolean, string | null]>([
    ['that all report', { a: 'Abc', b: 'Abc', c: 'Abc' }, false, 'a'],
    ['that most report, before the last one responds', { a: 'Abc', b: 'Abc' }, false, 'a'],
    ['that has not responded itself is not used', { b: 'Abc', c: 'Abc' }, true, null],
    ['that only one of three reports so far is not used yet', { a: 'Abc' }, false, null],
    ['that the only member which responds reports', { a: 'Abc' }, true, 'a'],
    ['of a cluster of one', { a: 'A' }, false, 'a'],
    ['that was replaced while suspended is not used', { a: 'Abc', b: 'Bc!a', c: 'Bc!a' }, false, 'b'],
    ['that two of three report is undecided against the other', { a: 'Abc', b: 'aBc' }, true, null],
    ['that is not alive by the others is not used', { a: 'abc', b: 'bc!A', c: 'bc!A' }, true, null],
    ['is known by its own address, not by that of a seed', { seed: 'Abc', a: 'Abc' }, false, null],
    ['is known by its own address, once all have responded', { seed: 'Abc', a: 'Abc' }, true, 'a'],
    ['is unknown without responses', {}, true, null],
  ])('%s', (_name, views, isComplete, expected) => {
    expect(chooseLeader(answersOf(views), isComplete)).toBe(expected);
  });
});

it('other members are chosen by their own state, and any rather than none', () => {
  const answers = answersOf({ a: 'Abc', b: 'Abc' });
  expect(candidatesFor('follower', answers)).toEqual(['b']);
  expect(candidatesFor('random', answers)).toEqual(['a', 'b']);
  expect(candidatesFor('readonlyreplica', answers)).toEqual(['a', 'b']);
  expect(candidatesFor('leader', answersOf({ b: 'Abc' }))).toEqual(['b']);
});

describe('a connection string', () => {
  const settings = { preference: 'leader', attempts: 10, intervalMs: 100, timeoutMs: 2_000 };

  it.each<[string, unknown]>([
    ['esdb://a', 'a:2113'],
    ['esdb://a:1/?tls=false', 'a:1'],
    ['esdb://a:1,b,c:3', { ...settings, seeds: ['a:1', 'b:2113', 'c:3'] }],
    ['esdb+discover://a:1,b,c:3', { ...settings, seeds: ['a:1', 'b:2113', 'c:3'] }],
    ['kurrentdb+discover://cluster.example', { ...settings, seeds: ['cluster.example:2113'] }],
    [
      'esdb://u:p@a,b?node_preference=Read_Only_Replica&maxDiscoverAttempts=3&discovery-interval=20&gossipTimeout=1',
      { seeds: ['a:2113', 'b:2113'], preference: 'readonlyreplica', attempts: 3, intervalMs: 20, timeoutMs: 1_000 },
    ],
    ['esdb://a,b?gossipTimeout=60', { ...settings, seeds: ['a:2113', 'b:2113'] }],
  ])('names a node or members: %s', (url, target) => {
    expect(parseConnectionString(url).target).toEqual(target);
  });
});
