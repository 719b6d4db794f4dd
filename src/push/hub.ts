import { setImmediate as yieldToOthers } from 'node:timers/promises';
import { LRUCache } from 'lru-cache';
import { StoreError } from '../kernel/errors.ts';
import type { Logger } from '../kernel/logger.ts';
import { hasReached, type Position } from '../kernel/position.ts';
import type { Clock } from '../ports/clock.ts';
import type { EventStore, SubscriptionBatch } from '../ports/event-store.ts';
import { Audience, type Listener, type LoadMemberships } from './audience.ts';
import type { Client } from './client.ts';
import { followLog, placeToStartFrom } from './follow-log.ts';
import { before, endOf, type Frame, formatFrameId, frameOf, type Place, parseFrameId, resyncFrame } from './frames.ts';
import { conversationRoom, type Followed, followedTypes, noticesOf } from './notices.ts';
import { ResumeBuffer } from './resume-buffer.ts';

const FILTER = { types: followedTypes };
/** What the resume buffer holds at most, and how much of it is read back when a node starts. */
const BUFFER = { frames: 100_000, bytes: 128 * 1024 * 1024, ageMs: 10 * 60_000 };
const READ_BACK = { ageMs: BUFFER.ageMs, events: 10_000 };
/** Frames of its own that a client may have missed and still resume. */
const MISSED_MAX = 1_000;
/** Frames of its own by which a client may fall behind what comes. Fewer than it may miss, so that it can resume when it is ended for that. */
const LAG_MAX = 640;
/** How long a client's place may be ahead of this node, in ms: another node was faster. */
const AHEAD_MS = 2_000;
/** Frames sent in a row before others get their turn. */
const TURN = 2_000;
/** Ended sessions that are remembered: their tokens may be taken for good for some seconds more. */
const ENDED_MAX = 10_000;

export type HubDeps = Readonly<{ events: EventStore; memberships: LoadMemberships; clock: Clock; logger: Logger }>;

/**
 * How delivery begins: with what comes from now on, with what was missed, or with a `resync` frame because that cannot be told any more.
 * `after`: what follows is behind this id; everything up to it is settled.
 */
export type Released = Readonly<{ outcome: 'live' | 'resumed' | 'resync'; after: string }>;

/**
 * Follows the log and tells the users connected to this node what concerns them. The log is the bus between nodes.
 * Rights are those at delivery: rooms are kept by the same events, in the same order.
 */
export class Hub {
  readonly #deps: HubDeps;
  readonly #audience: Audience;
  readonly #ended = new LRUCache<string, true>({ max: ENDED_MAX });
  readonly #stop = new AbortController();
  readonly #awaiting = new Set<() => void>();
  readonly #catchingUp = new Set<Promise<void>>();
  #buffer = new ResumeBuffer(BUFFER, endOf(null));
  /** Everything up to here has been taken. */
  #position: Position | null = null;
  #epoch = '';
  #following: Promise<void> = Promise.resolve();

  constructor(deps: HubDeps) {
    this.#deps = deps;
    this.#audience = new Audience(deps.memberships, () => this.#position);
  }

  /** Fills the resume buffer from the log and follows it from then on. Resolves once it has caught up. Throws what reading the log throws. */
  async start(): Promise<void> {
    const { signal } = this.#stop;
    this.#epoch = await this.#deps.events.epoch();
    this.#position = await placeToStartFrom(this.#deps, FILTER, READ_BACK);
    this.#buffer = new ResumeBuffer(BUFFER, this.#here);
    await new Promise<void>((caughtUp) => {
      const take = async (batch: SubscriptionBatch): Promise<void> => {
        await this.#take(batch);
        if (batch.caughtUp) caughtUp();
      };
      const options = { after: () => this.#position, filter: FILTER, signal, take };
      this.#following = followLog(this.#deps, options).finally(caughtUp);
    });
  }

  /** Connections, users with one, and frames held for resuming. */
  stats(): Readonly<{ connections: number; users: number; buffered: number }> {
    const { clients, users } = this.#audience.size;
    return { connections: clients, users, buffered: this.#buffer.size };
  }

  /** Connections that a user has on this node. */
  connectionsOf(userId: string): number {
    return this.#audience.clients(userId).length;
  }

  /** Whether the session is known to be over. */
  hasEnded(sessionId: string): boolean {
    return this.#ended.has(sessionId);
  }

  /**
   * Lets a client in and loads the rooms of its user. Nothing is delivered before `release`. Gives the id of the place from which it listens.
   * Throws what loading throws.
   */
  async connect(client: Client): Promise<string> {
    if (this.#stop.signal.aborted) throw new StoreError('UNAVAILABLE', 'push has stopped');
    const place = this.#here;
    await this.#audience.join(client, place);
    return formatFrameId(this.#epoch, place);
  }

  /**
   * Begins delivery: behind `after` (an id, from whichever node), or behind the place from which the client listens. What cannot be resumed gets one
   * `resync` frame instead. `begun` hears how it begins, before the first frame. Once per client.
   */
  async release(client: Client, after: string | null, begun: (released: Released) => void): Promise<void> {
    const wanted = after === null ? null : this.#placeOf(after);
    if (wanted !== null) await this.#reach(wanted.position);
    const listener = this.#audience.find(client);
    if (listener?.state !== 'held') return;
    const place = after === null ? listener.place : wanted;
    const missed = place === null ? null : this.#behind(client, place, MISSED_MAX);
    if (place === null || missed === null) return this.#resync(listener, begun);
    listener.place = place;
    begun({ outcome: after === null ? 'live' : 'resumed', after: formatFrameId(this.#epoch, place) });
    this.#catchUp(listener, missed.length, missed.length + LAG_MAX);
  }

  /** Forgets a client. Harmless when repeated. */
  disconnect(client: Client): void {
    this.#audience.leave(client);
  }

  /** Ends every connection and stops following. May be called twice. */
  async close(): Promise<void> {
    this.#stop.abort();
    for (const client of this.#audience.clients()) client.end('stopped');
    await this.#following;
    await Promise.all(this.#catchingUp);
  }

  get #here(): Place {
    return endOf(this.#position);
  }

  /** The place that an id of this log stands for. */
  #placeOf(id: string): Place | null {
    const parsed = parseFrameId(id);
    return parsed?.epoch === this.#epoch ? parsed : null;
  }

  /** The frames for a client behind a place; `null` when they are more than `limit`, or cannot be told any more, or not yet. */
  #behind(client: Client, place: Place, limit: number): readonly Frame[] | null {
    if (!hasReached(this.#here.position, place.position) || !this.#buffer.reachesBackTo(place)) return null;
    return this.#buffer.read(this.#audience.rooms.of(client.userId), place, limit);
  }

  async #take({ events, position }: SubscriptionBatch): Promise<void> {
    const outgoing = new Map<Listener, Frame[]>();
    const nowMs = this.#deps.clock.monotonic();
    for (const event of events) {
      // The filter of the subscription is the list of these types.
      this.#takeEvent(event as Followed, outgoing, nowMs);
      this.#position = event.position;
    }
    if (position !== null) this.#position = position;
    this.#buffer.trim(nowMs);
    for (const look of this.#awaiting) look();
    let sent = 0;
    for (const [listener, frames] of outgoing) {
      this.#deliver(listener, frames);
      sent += frames.length;
      if (sent < TURN) continue;
      sent = 0;
      await yieldToOthers();
    }
  }

  #takeEvent(event: Followed, outgoing: Map<Listener, Frame[]>, nowMs: number): void {
    const { rooms } = this.#audience;
    try {
      const frames = noticesOf(event).map((notice, index) => frameOf(this.#epoch, event, notice, index));
      rooms.before(event);
      if (event.type === 'ConversationDeleted') this.#buffer.forget(conversationRoom(event.data.conversationId));
      for (const frame of frames) {
        this.#buffer.add(frame, nowMs);
        for (const listener of this.#audience.listenersIn(frame.rooms)) this.#offer(listener, frame, outgoing);
      }
      rooms.after(event);
      if (event.type === 'SessionEnded') this.#endSession(event.data.userId, event.data.sessionId);
    } catch (error) {
      // One event that cannot be told must not keep the others from being told.
      this.#deps.logger.error({ err: error, type: event.type, position: event.position }, 'push passed over an event');
    }
  }

  #offer(listener: Listener, frame: Frame, outgoing: Map<Listener, Frame[]>): void {
    if (listener.state === 'behind') {
      if (++listener.lag > listener.lagMax) listener.client.end('too-slow');
      return;
    }
    const frames = outgoing.get(listener);
    if (frames === undefined) outgoing.set(listener, [frame]);
    else frames.push(frame);
  }

  #deliver(listener: Listener, frames: readonly Frame[]): void {
    const sent = listener.client.deliver(frames);
    const next = frames[sent];
    if (next === undefined) return;
    listener.place = before(next);
    this.#catchUp(listener, frames.length - sent, LAG_MAX);
  }

  /** Gives a listener what lies behind its place, at its own pace, and makes it live when there is nothing more. */
  #catchUp(listener: Listener, lag: number, lagMax: number): void {
    listener.state = 'behind';
    listener.lag = lag;
    listener.lagMax = lagMax;
    const task: Promise<void> = this.#giveMissed(listener).finally(() => this.#catchingUp.delete(task));
    this.#catchingUp.add(task);
  }

  async #giveMissed(listener: Listener): Promise<void> {
    const { client } = listener;
    for (;;) {
      await client.drained();
      if (this.#audience.find(client) !== listener) return;
      const missed = this.#behind(client, listener.place, listener.lagMax);
      if (missed === null) return client.end('too-slow');
      const last = missed.at(-1);
      if (last === undefined) break;
      const sent = client.deliver(missed);
      const next = missed[sent];
      listener.place = next === undefined ? last : before(next);
      listener.lag = missed.length - sent;
    }
    listener.state = 'live';
  }

  #resync(listener: Listener, begun: (released: Released) => void): void {
    listener.state = 'live';
    begun({ outcome: 'resync', after: formatFrameId(this.#epoch, this.#here) });
    const at = new Date(this.#deps.clock.now()).toISOString();
    const sent = listener.client.deliver([resyncFrame(this.#epoch, this.#position, at)]);
    if (sent === 0) listener.client.end('too-slow');
  }

  #endSession(userId: string, sessionId: string): void {
    this.#ended.set(sessionId, true);
    for (const client of this.#audience.clients(userId))
      if (client.sessionId === sessionId) client.end('session-ended');
  }

  /** Waits until the hub has reached a position, at most `AHEAD_MS`. */
  async #reach(position: Position): Promise<void> {
    const here = (): boolean => hasReached(this.#here.position, position);
    if (here()) return;
    const done = new AbortController();
    const look = (): void => {
      if (here()) done.abort();
    };
    this.#awaiting.add(look);
    await this.#deps.clock.sleep(AHEAD_MS, AbortSignal.any([done.signal, this.#stop.signal]));
    this.#awaiting.delete(look);
  }
}
