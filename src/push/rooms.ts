import type { Position } from '../kernel/position.ts';
import { conversationRoom, type Followed, userRoom } from './notices.ts';

/** A conversation that a user is in, and since which position. */
export type Membership = Readonly<{ conversationId: string; since: Position }>;

/** The rooms of those users who are connected to this node, kept by the events as they come. */
export class Rooms {
  /** user → room → the position since which the user is in it. */
  readonly #ofUser = new Map<string, Map<string, Position>>();
  readonly #members = new Map<string, Set<string>>();

  /** Begins to keep the rooms of a user. What happens meanwhile is kept from here on; `load` adds what was before. */
  open(userId: string): void {
    if (this.#ofUser.has(userId)) return;
    this.#ofUser.set(userId, new Map());
    this.#enter(userId, userRoom(userId), '');
  }

  /**
   * Adds the memberships as they were at some position not before `open`, then what happened since `open` (`later`, in order),
   * so that the outcome is that of now, whichever position it was.
   */
  load(userId: string, memberships: readonly Membership[], later: readonly Followed[]): void {
    for (const { conversationId, since } of memberships) this.#enter(userId, conversationRoom(conversationId), since);
    for (const event of later) {
      this.before(event);
      this.after(event);
    }
  }

  /** Stops keeping the rooms of a user. */
  close(userId: string): void {
    for (const room of this.#ofUser.get(userId)?.keys() ?? []) this.#leaveMembers(userId, room);
    this.#ofUser.delete(userId);
  }

  /** The rooms of a user, with the position since which they are in each. */
  of(userId: string): ReadonlyMap<string, Position> {
    return this.#ofUser.get(userId) ?? new Map();
  }

  /** The connected users in a room. */
  members(room: string): ReadonlySet<string> {
    return this.#members.get(room) ?? new Set();
  }

  /** Lets in those whom the event brings, so that they hear of it. */
  before(event: Followed): void {
    if (event.type === 'ConversationCreated') {
      for (const userId of event.data.members)
        this.#enter(userId, conversationRoom(event.data.conversationId), event.position);
    } else if (event.type === 'MemberAdded') {
      this.#enter(event.data.userId, conversationRoom(event.data.conversationId), event.position);
    }
  }

  /** Sees off those whom the event sends away, after they have heard of it. */
  after(event: Followed): void {
    if (event.type === 'MemberRemoved') {
      const room = conversationRoom(event.data.conversationId);
      this.#leaveMembers(event.data.userId, room);
      this.#ofUser.get(event.data.userId)?.delete(room);
    } else if (event.type === 'ConversationDeleted') {
      const room = conversationRoom(event.data.conversationId);
      for (const userId of this.members(room)) this.#ofUser.get(userId)?.delete(room);
      this.#members.delete(room);
    }
  }

  #enter(userId: string, room: string, since: Position): void {
    const rooms = this.#ofUser.get(userId);
    if (rooms === undefined) return;
    rooms.set(room, since);
    const members = this.#members.get(room);
    if (members === undefined) this.#members.set(room, new Set([userId]));
    else members.add(userId);
  }

  #leaveMembers(userId: string, room: string): void {
    const members = this.#members.get(room);
    members?.delete(userId);
    if (members?.size === 0) this.#members.delete(room);
  }
}
