import type { Position } from '../kernel/position.ts';
import { conversationRoom, type RoomChange, userRoom } from './notices/notice.ts';

/** A conversation that a user is in, and the position at which they joined. */
export type Membership = Readonly<{ conversationId: string; since: Position }>;

/** `rooms`: with the position since which the user is in each. `changed`: the rooms that events changed since `open`; `null` once loaded. */
type UserRooms = { rooms: Map<string, Position>; changed: Set<string> | null };

/**
 * The rooms of the users who are connected to this node, kept up to date by the events as they come. A deleted conversation keeps its room: nothing
 * more is sent there, and members who were away are still sent its end.
 */
export class Rooms {
  readonly #users = new Map<string, UserRooms>();
  readonly #members = new Map<string, Set<string>>();

  /** Begins to keep the rooms of a user by the events that come; `load` adds the earlier ones. */
  open(userId: string): void {
    if (this.#users.has(userId)) return;
    this.#users.set(userId, { rooms: new Map(), changed: new Set() });
    this.#enter(userId, userRoom(userId), '');
  }

  /**
   * Adds the memberships as they were at some position not before `open`. Rooms that events have changed since are left as they are; memberships that
   * begin after `position`, the last event that came, will be added by their events.
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

  /** Users entered a room by the event at `position`. */
  enter({ room, userIds }: RoomChange, position: Position): void {
    for (const userId of userIds) {
      this.#users.get(userId)?.changed?.add(room);
      this.#enter(userId, room, position);
    }
  }

  /** Users left a room. */
  leave({ room, userIds }: RoomChange): void {
    for (const userId of userIds) {
      this.#users.get(userId)?.changed?.add(room);
      this.#leave(userId, room);
    }
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
