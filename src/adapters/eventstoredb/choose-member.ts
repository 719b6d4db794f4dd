import gossip from '@eventstore/db-client/generated/gossip_pb.js';
import type { NodePreference } from './connection-string.ts';

const { VNodeState } = gossip.MemberInfo;

/** A member of a cluster as one of the members sees it. */
export type MemberView = Readonly<{ address: string; state: number; isAlive: boolean }>;

/** By the address of the member that responded: all members as it sees them. */
export type Answers = ReadonlyMap<string, readonly MemberView[]>;

const READ_ONLY: readonly number[] = [
  VNodeState.READONLYREPLICA,
  VNodeState.PREREADONLYREPLICA,
  VNodeState.READONLYLEADERLESS,
];
const USABLE: readonly number[] = [VNodeState.LEADER, VNodeState.FOLLOWER, ...READ_ONLY];
const PREFERRED: Readonly<Record<NodePreference, readonly number[]>> = {
  leader: [VNodeState.LEADER],
  follower: [VNodeState.FOLLOWER],
  readonlyreplica: READ_ONLY,
  random: USABLE,
};

/**
 * The leader: a member that has responded itself, and that most members see as the leader. Before all responses are there (`isComplete`), these are
 * most of the cluster; afterwards, most of those that responded: a leader that was paused still reports itself as the leader when it continues.
 */
export function chooseLeader(answers: Answers, isComplete: boolean): string | null {
  const members = new Set([...answers.values()].flat().map(({ address }) => address));
  // A seed may be another name of a member. It counts under the name that the members use, so that it is not counted twice.
  const voters = [...answers].filter(([address]) => members.has(address));
  const needed = isComplete ? voters.length : members.size;
  for (const [address, views] of voters) {
    if (!seesLeader(views, address)) continue;
    const votes = voters.filter(([, others]) => seesLeader(others, address)).length;
    if (votes * 2 > needed) return address;
  }
  return null;
}

/** The members that responded and are in a state that is preferred; without any, those in any usable state. */
export function candidatesFor(preference: NodePreference, answers: Answers): readonly string[] {
  const inState = (states: readonly number[]) =>
    [...answers]
      .filter(([address, views]) =>
        views.some((view) => view.address === address && view.isAlive && states.includes(view.state)),
      )
      .map(([address]) => address);
  const preferred = inState(PREFERRED[preference]);
  return preferred.length > 0 ? preferred : inState(USABLE);
}

const seesLeader = (views: readonly MemberView[], leader: string): boolean =>
  views.some(({ address, state, isAlive }) => address === leader && isAlive && state === VNodeState.LEADER);
