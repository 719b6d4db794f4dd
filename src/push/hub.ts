import { isStoreError, StoreError } from '../kernel/errors.ts';
import type { Logger } from '../kernel/logger.ts';
import { hasReached, type Position } from '../kernel/position.ts';
import type { Clock } from '../ports/clock.ts';
import type { EventStore, SubscriptionBatch } from '../ports/event-store.ts';
import { type Frame, type FrameId, formatFrameId, frameOf, parseFrameId } from './frames.ts';
import { type Followed, followedTypes, noticesOf } from './notices.ts';
import { ResumeBuffer } from './resume-buffer.ts';
import { type Membership, Rooms } from './rooms.ts';

/** What the resume buffer holds at most, and how much of it is read back when a node starts. */
const BUFFER = { frames: 100_000, bytes: 128 * 1024 * 1024, ageMs: 10 * 60_000 };
const READ_BACK = 10_000;
const READ_BACK_PAGE = 4_096;
/** Frames of its own that a client may have missed and still resume. */
const RESUME_MAX = 1_000;
/** How long a client's position may be ahead of this node's, in ms: another node was faster. */
const AHEAD_MS = 2_000;
/** Stands for the place before the first event: every position is later. */
const START = '!';
/** Events that may come while one user's memberships are loaded. */
const LATER_MAX = 10_000;

/** One connection of a user, as the hub sees it. */
export interface Client {
  readonly userId: string;
  readonly sessionId: string;
  /** Sends frames, in order. Must not throw: a client that cannot keep up ends itself. */
  deliver(frames: readonly Frame[]): void;
  /** Closes the connection with a WebSocket close code. */
  end(code: number, reason: string): void;
}

/** How delivery began. `id`: everything up to it was delivered or is to be read from the read models; resume behind it. */
export type Released = Readonly<{ outcome: 'live' | 'resumed' | 'resync'; id: string }>;

/** `clients`: those that are live, and the others with the place from which delivery will begin. `later`: what came while it was loaded. */
type User = { clients: Map<Client, FrameId | null | 'live'>; loading: Promise<void>; later: Followed[] | null };

/** The memberships of a user at `position` or later. Throws `UNAVAILABLE` when the read model does not get there in time. */
export type LoadMemberships = (userId: string, position: Position | null) => Promise<readonly Membership[]>;

/**
 * Follows the log and tells the users connected to this node what concerns them. The log is the bus between nodes.
 * Rights are those at delivery: rooms are kept by the same events, in the same order.
 */
export class Hub {
  readonly #deps: { events: EventStore; memberships: LoadMemberships; clock: Clock; logger: Logger };
  readonly #rooms = new Rooms();
  readonly #users = new Map<string, User>();
  readonly #stop = new AbortController();
  readonly #waiting = new Set<() => void>();
  #buffer = new ResumeBuffer(BUFFER, null);
  #position: Position | null = null;
  #epoch = '';
  #following: Promise<void> = Promise.resolve();

  constructor(deps: { events: EventStore; memberships: LoadMemberships; clock: Clock; logger: Logger }) {
    this.#deps = deps;
  }

  /** Fills the resume buffer from the log and follows it from then on. Resolves once it has caught up. */
  async start(): Promise<void> {
    this.#epoch = await this.#deps.events.epoch();
    this.#position = await this.#startingPoint();
    this.#buffer = new ResumeBuffer(BUFFER, this.#position);
    await new Promise<void>((caughtUp) => {
      this.#following = this.#follow(caughtUp).finally(caughtUp);
    });
  }

  /** Live connections, users with one, and frames held for resuming. */
  stats(): Readonly<{ connections: number; users: number; buffered: number }> {
    const connections = [...this.#users.values()].reduce((sum, user) => sum + user.clients.size, 0);
    return { connections, users: this.#users.size, buffered: this.#buffer.size };
  }

  /**
   * Lets a client in and loads the rooms of its user. Nothing is delivered before `release`. Gives the id to resume behind.
   * Throws what loading throws.
   */
  async connect(client: Client): Promise<string> {
    let user = this.#users.get(client.userId);
    if (user === undefined) {
      user = { clients: new Map(), loading: Promise.resolve(), later: [] };
      this.#users.set(client.userId, user);
      user.loading = this.#load(client.userId, user);
    }
    const place = this.#here();
    user.clients.set(client, parseFrameId(place));
    try {
      await user.loading;
    } catch (error) {
      this.disconnect(client);
      throw error;
    }
    return place;
  }

  /** Connections that a user has on this node. */
  connectionsOf(userId: string): number {
    return this.#users.get(userId)?.clients.size ?? 0;
  }

  /**
   * Begins delivery: behind `after` (a frame's id, from whichever node), or behind where `connect` let the client in. What cannot be
   * resumed gets one `resync` frame instead. `begun` hears how it begins, before the first frame. Once per client.
   */
  async release(client: Client, after: string | null, begun: (released: Released) => void): Promise<void> {
    const wanted = after === null ? null : parseFrameId(after);
    if (wanted !== null && wanted.epoch === this.#epoch) await this.#reach(wanted.position);
    const place = this.#users.get(client.userId)?.clients.get(client);
    if (place === undefined || place === 'live') return;
    this.#users.get(client.userId)?.clients.set(client, 'live');
    const missed = this.#missed(client.userId, after === null ? place : wanted);
    const id = this.#here();
    begun({ outcome: missed === null ? 'resync' : after === null ? 'live' : 'resumed', id });
    if (missed === null) client.deliver([this.#resync(id)]);
    else if (missed.length > 0) client.deliver(missed);
  }

  /** Forgets a client. Harmless when repeated. */
  disconnect(client: Client): void {
    const user = this.#users.get(client.userId);
    if (user === undefined || !user.clients.delete(client) || user.clients.size > 0) return;
    this.#users.delete(client.userId);
    this.#rooms.close(client.userId);
  }

  /** Ends every connection (1001) and stops following. */
  async close(): Promise<void> {
    this.#stop.abort();
    for (const user of this.#users.values())
      for (const client of user.clients.keys()) client.end(1001, 'the server stops');
    await this.#following;
  }

  async #load(userId: string, user: User): Promise<void> {
    this.#rooms.open(userId);
    const memberships = await this.#deps.memberships(userId, this.#position);
    if (this.#users.get(userId) !== user) return;
    if (user.later === null) throw new StoreError('UNAVAILABLE', 'too much happened while the rooms were loaded');
    this.#rooms.load(userId, memberships, user.later);
    user.later = null;
  }

  /** The frames that a user missed; `null` when they cannot be told any more. */
  #missed(userId: string, place: FrameId | null): readonly Frame[] | null {
    if (place === null || place.epoch !== this.#epoch) return null;
    if (!hasReached(this.#position ?? START, place.position) || !this.#buffer.reachesBackTo(place.position))
      return null;
    return this.#buffer.read(this.#rooms.of(userId), place, RESUME_MAX);
  }

  #here(): string {
    return formatFrameId(this.#epoch, this.#position ?? START, 'end');
  }

  async #startingPoint(): Promise<Position | null> {
    const { events, clock } = this.#deps;
    const oldest = clock.now() - BUFFER.ageMs;
    let from: Position | null = null;
    for (let read = 0; read < READ_BACK; ) {
      const filter = { types: followedTypes };
      const slice = await events.readAll({ direction: 'backwards', from, limit: READ_BACK_PAGE, filter });
      const tooOld = slice.events.find((event) => Date.parse(event.recordedAt) < oldest);
      if (tooOld !== undefined) return tooOld.position;
      if (slice.end) return null;
      read += slice.events.length;
      from = slice.next;
    }
    return from;
  }

  async #follow(caughtUp: () => void): Promise<void> {
    const { events, clock, logger } = this.#deps;
    const { signal } = this.#stop;
    for (let failures = 0; !signal.aborted; failures++) {
      try {
        const after = this.#position;
        for await (const batch of events.subscribe({ after, filter: { types: followedTypes }, signal })) {
          failures = 0;
          this.#take(batch);
          if (batch.caughtUp) caughtUp();
        }
        return;
      } catch (error) {
        if (isStoreError(error, 'CLOSED')) return;
        logger.error({ err: error }, 'push lost the log and tries again');
        await clock.sleep(Math.min(5_000, 100 * 2 ** Math.min(failures, 6)), signal);
      }
    }
  }

  #take(batch: SubscriptionBatch): void {
    const outgoing = new Map<Client, Frame[]>();
    const now = this.#deps.clock.monotonic();
    for (const event of batch.events) {
      // The filter of the subscription is the list of these types.
      this.#takeEvent(event as Followed, outgoing, now);
      this.#position = event.position;
    }
    if (batch.position !== null) this.#position = batch.position;
    this.#buffer.trim(now);
    for (const [client, frames] of outgoing) client.deliver(frames);
    for (const wake of this.#waiting) wake();
  }

  #takeEvent(event: Followed, outgoing: Map<Client, Frame[]>, nowMs: number): void {
    this.#rooms.before(event);
    noticesOf(event).forEach((notice, index) => {
      const frame = frameOf(this.#epoch, event, notice, index);
      this.#buffer.add(frame, nowMs);
      for (const client of this.#listeners(frame.rooms)) {
        const frames = outgoing.get(client);
        if (frames === undefined) outgoing.set(client, [frame]);
        else frames.push(frame);
      }
    });
    this.#rooms.after(event);
    this.#noteForLoads(event);
    if (event.type === 'SessionEnded') this.#endSession(event.data.userId, event.data.sessionId);
  }

  #listeners(rooms: readonly string[]): ReadonlySet<Client> {
    const clients = new Set<Client>();
    for (const room of rooms) {
      for (const userId of this.#rooms.members(room)) {
        for (const [client, state] of this.#users.get(userId)?.clients ?? []) if (state === 'live') clients.add(client);
      }
    }
    return clients;
  }

  #noteForLoads(event: Followed): void {
    if (event.type === 'MessageSent' || event.type === 'ConversationOpened' || event.type === 'SessionEnded') return;
    for (const user of this.#users.values()) {
      if (user.later === null) continue;
      if (user.later.length < LATER_MAX) user.later.push(event);
      else user.later = null;
    }
  }

  #endSession(userId: string, sessionId: string): void {
    for (const client of this.#users.get(userId)?.clients.keys() ?? []) {
      if (client.sessionId === sessionId) client.end(4401, 'the session was ended');
    }
  }

  /** Waits until the hub has reached a position, at most `AHEAD_MS`. */
  async #reach(position: Position): Promise<void> {
    if (hasReached(this.#position, position)) return;
    const given = new AbortController();
    const reached = new Promise<void>((resolve) => {
      const wake = () => {
        if (!hasReached(this.#position, position) && !given.signal.aborted) return;
        this.#waiting.delete(wake);
        resolve();
      };
      this.#waiting.add(wake);
      given.signal.addEventListener('abort', wake);
    });
    const patience = this.#deps.clock.sleep(AHEAD_MS, given.signal).then(() => given.abort());
    await reached;
    given.abort();
    await patience;
  }

  #resync(id: string): Frame {
    const at = new Date(this.#deps.clock.now()).toISOString();
    const bytes = Buffer.from(JSON.stringify({ event: 'resync', id, at, user: null, payload: {} }));
    return { position: this.#position ?? START, index: 0, name: 'resync', rooms: [], bytes };
  }
}
