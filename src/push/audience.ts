import type { Position } from '../kernel/position.ts';
import type { Client } from './client.ts';
import type { Place } from './frames.ts';
import { type Membership, Rooms } from './rooms.ts';

/**
 * A client, and how it is served: `held` until it is released; `lagging`: it is sent the frames after `place` at its own pace; `live`: it is sent
 * frames as they come, and the other fields have no meaning. `lag`: frames after its place, at most `lagMax`.
 */
export type Listener = {
  readonly client: Client;
  state: 'held' | 'lagging' | 'live';
  place: Place;
  lag: number;
  lagMax: number;
};

/** The memberships of a user at `position` or later. Throws `UNAVAILABLE` when the read model does not get there in time. */
export type LoadMemberships = (userId: string, position: Position | null) => Promise<readonly Membership[]>;

type User = { readonly listeners: Map<Client, Listener>; loaded: Promise<void> };

/** Who is connected to this node, and in which rooms. */
export class Audience {
  readonly rooms = new Rooms();
  readonly #users = new Map<string, User>();
  readonly #memberships: LoadMemberships;
  readonly #position: () => Position | null;

  /** `position`: up to where events have been applied to `rooms`. */
  constructor(memberships: LoadMemberships, position: () => Position | null) {
    this.#memberships = memberships;
    this.#position = position;
  }

  /** Clients, and users with one. */
  get size(): Readonly<{ clients: number; users: number }> {
    const clients = [...this.#users.values()].reduce((sum, { listeners }) => sum + listeners.size, 0);
    return { clients, users: this.#users.size };
  }

  /** Adds a client at once, held at `place`, and resolves when the rooms of its user are loaded. When that throws, it is removed again. */
  async join(client: Client, place: Place): Promise<void> {
    const user = this.#users.get(client.userId) ?? this.#open(client.userId);
    user.listeners.set(client, { client, state: 'held', place, lag: 0, lagMax: 0 });
    try {
      await user.loaded;
    } catch (error) {
      this.leave(client);
      throw error;
    }
  }

  /** Removes a client. Harmless when repeated. */
  leave(client: Client): void {
    const user = this.#users.get(client.userId);
    if (user === undefined || !user.listeners.delete(client) || user.listeners.size > 0) return;
    this.#users.delete(client.userId);
    this.rooms.close(client.userId);
  }

  find(client: Client): Listener | undefined {
    return this.#users.get(client.userId)?.listeners.get(client);
  }

  /** The clients of a user, or of all. */
  clients(userId?: string): readonly Client[] {
    const users = userId === undefined ? [...this.#users.values()] : [this.#users.get(userId)];
    return users.flatMap((user) => [...(user?.listeners.keys() ?? [])]);
  }

  /** The listeners in any of these rooms that are not held any more. */
  listenersIn(rooms: readonly string[]): ReadonlySet<Listener> {
    const found = new Set<Listener>();
    for (const room of rooms) {
      for (const userId of this.rooms.members(room)) {
        for (const listener of this.#users.get(userId)?.listeners.values() ?? []) {
          if (listener.state !== 'held') found.add(listener);
        }
      }
    }
    return found;
  }

  #open(userId: string): User {
    const user: User = { listeners: new Map(), loaded: Promise.resolve() };
    this.#users.set(userId, user);
    this.rooms.open(userId);
    user.loaded = this.#load(userId, user);
    return user;
  }

  async #load(userId: string, user: User): Promise<void> {
    const memberships = await this.#memberships(userId, this.#position());
    // All clients of the user may have left meanwhile, and others have come, whose rooms are loaded again.
    if (this.#users.get(userId) === user) this.rooms.load(userId, memberships, this.#position());
  }
}
