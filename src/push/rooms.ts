import type { Position } from '../kernel/position.ts';
import { conversationRoom, type Followed, userRoom } from './notices.ts';

/** A conversation that a user is in, and the position at which they joined. */
export type Membership = Readonly<{ conversationId: string; since: Position }>;

/** `rooms`: with the position since which the user is in each. `changed`: the rooms on which events spoke since `open`; `null` once loaded. */
type UserRooms = { rooms: Map<string, Position>; changed: Set<string> | null };

/**
 * The rooms of those users who are connected to this node, kept by the events as they come. A deleted conversation keeps its room:
 * nothing more is said there, and who was away still hears of its end.
 */
export class Rooms {
  readonly #users = new Map<string, UserRooms>();
  readonly #members = new Map<string, Set<string>>();

  /** Begins to keep the rooms of a user by the events that come; `load` adds those from before. */
  open(userId: string): void {
    if (this.#users.has(userId)) return;
    this.#users.set(userId, { rooms: new Map(), changed: new Set() });
    this.#enter(userId, userRoom(userId), '');
  }

  /**
   * Adds the memberships as they were at some position not before `open`. Where events have spoken since, they know better; what only becomes so
   * behind `position`, the last event that came, they will tell.
   */
  load(userId: string, memberships: readonly Membership[], position: Position | null): void {
    const user = this.#users.get(userId);
    if (user === undefined || user.changed === null) return;
    const { changed } = user;
    user.changed = null;
    for (const { conversationId, since } of memberships) {
      const room = conversationRoom(conversationId);
      if (!changed.has(room) && position !== null && since <= position) this.#enter(userId, room, since);
    }
  }

  /** Stops keeping the rooms of a user. */
  close(userId: string): void {
    for (const room of this.of(userId).keys()) this.#leave(userId, room);
    this.#users.delete(userId);
  }

  /** The rooms of a user, with the position since which they are in each. */
  of(userId: string): ReadonlyMap<string, Position> {
    return this.#users.get(userId)?.rooms ?? new Map();
  }

  /** The connected users in a room. */
  members(room: string): ReadonlySet<string> {
    return this.#members.get(room) ?? new Set();
  }

  /** Lets in those whom the event brings, so that they hear of it. */
  before(event: Followed): void {
    if (event.type !== 'ConversationCreated' && event.type !== 'MemberAdded') return;
    const room = conversationRoom(event.data.conversationId);
    for (const userId of event.type === 'MemberAdded' ? [event.data.userId] : event.data.members) {
      this.#users.get(userId)?.changed?.add(room);
      this.#enter(userId, room, event.position);
    }
  }

  /** Sees off whom the event sends away, after they have heard of it. */
  after(event: Followed): void {
    if (event.type !== 'MemberRemoved') return;
    const room = conversationRoom(event.data.conversationId);
    this.#users.get(event.data.userId)?.changed?.add(room);
    this.#leave(event.data.userId, room);
  }

  #enter(userId: string, room: string, since: Position): void {
    const user = this.#users.get(userId);
    if (user === undefined) return;
    user.rooms.set(room, since);
    const members = this.#members.get(room);
    if (members === undefined) this.#members.set(room, new Set([userId]));
    else members.add(userId);
  }

  #leave(userId: string, room: string): void {
    this.#users.get(userId)?.rooms.delete(room);
    const members = this.#members.get(room);
    members?.delete(userId);
    if (members?.size === 0) this.#members.delete(room);
  }
}
