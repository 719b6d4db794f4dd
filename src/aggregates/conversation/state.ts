import { Map as PersistentMap } from 'immutable';
import type { Json } from '../../kernel/json.ts';
import type { ConversationEvent } from './events.ts';
import { bytesOf, freezeMessages, type KnownMessages, noMessages, remember, thawMessages } from './known-messages.ts';

type Created = Extract<ConversationEvent, { type: 'ConversationCreated' }>['data'];

/** A conversation that was not deleted. Holds no personal data, so that snapshots hold none: neither the name nor the content of messages. */
export type LiveConversation = Readonly<{
  status: 'live';
  kind: Created['kind'];
  /** `null` in a 1-1 conversation. */
  ownerId: string | null;
  /** The members, each with the sequence number after which they can read. */
  members: PersistentMap<string, number>;
  /** Sequence number of the latest message; 0 before the first. */
  lastSeq: number;
  messages: KnownMessages;
}>;

/** Uses persistent collections, so that an event costs the same with 10 as with 10,000 members. */
export type ConversationState =
  | Readonly<{ status: 'none' }>
  | LiveConversation
  | Readonly<{ status: 'deleted'; ownerId: string | null }>;

export const initialState: ConversationState = { status: 'none' };

export function evolve(state: ConversationState, event: ConversationEvent): ConversationState {
  if (event.type === 'ConversationCreated') return created(event.data);
  if (state.status !== 'live') return state;
  switch (event.type) {
    case 'MemberAdded':
      return { ...state, members: state.members.set(event.data.userId, event.data.joinedSeq) };
    case 'MemberRemoved':
      return {
        ...state,
        members: state.members.delete(event.data.userId),
        ownerId: event.data.nextOwnerId ?? state.ownerId,
      };
    case 'MessageSent':
      return { ...state, lastSeq: event.data.seq, messages: remember(state.messages, event.data) };
    case 'ConversationDeleted':
      return { status: 'deleted', ownerId: state.ownerId };
    default:
      event satisfies never;
      return state;
  }
}

/** The state after `ConversationCreated`. */
export function created({ kind, ownerId, members }: Pick<Created, 'kind' | 'ownerId' | 'members'>): LiveConversation {
  return {
    status: 'live',
    kind,
    ownerId,
    members: PersistentMap(members.map((userId): [string, number] => [userId, 0])),
    lastSeq: 0,
    messages: noMessages,
  };
}

type FrozenConversation = Readonly<
  Omit<LiveConversation, 'members' | 'messages'> & {
    members: readonly (readonly [string, number])[];
    messages: ReturnType<typeof freezeMessages>;
  }
>;

type Frozen = Exclude<ConversationState, LiveConversation> | FrozenConversation;

export function freeze(state: ConversationState): Frozen {
  if (state.status !== 'live') return state;
  const members = [...state.members].sort(([a], [b]) => (a < b ? -1 : 1));
  return { ...state, members, messages: freezeMessages(state.messages) };
}

export function thaw(frozen: Json): ConversationState {
  // The version of the snapshot guarantees its shape.
  const state = frozen as Frozen;
  if (state.status !== 'live') return state;
  return { ...state, members: PersistentMap(state.members), messages: thawMessages(state.messages) };
}

/** Measured: a member takes 190 bytes, in maps of any size. */
const MEMBER_BYTES = 190;
const BASE_BYTES = 400;

export function weight(state: ConversationState): number {
  return BASE_BYTES + (state.status === 'live' ? state.members.size * MEMBER_BYTES + bytesOf(state.messages) : 0);
}
