import { isStoreError, StoreError } from '../kernel/errors.ts';
import type { RecordedEvent } from '../kernel/event.ts';
import { laterPosition, type Position } from '../kernel/position.ts';
import { type Anchor, anchorOf } from '../log/anchor.ts';
import type { EventBatch } from '../log/event-log.ts';
import { Follower, type FollowerOptions, type FollowerStatus, LogDiverged } from '../log/follower.ts';
import { createLru } from '../ports/lru.ts';
import { Audience, type Listener, type LoadMemberships } from './audience.ts';
import type { Client, Released } from './client.ts';
import {
  before,
  endOfEvent,
  type Frame,
  formatFrameId,
  frameOf,
  type Place,
  parseFrameId,
  resyncFrame,
} from './frames.ts';
import { type Followed, isPlaceInLog } from './known-place.ts';
import { AHEAD_MS, BUFFER, ENDED_MAX, LAG_MAX, MISSED_MAX, READ_BACK, RESTART_MS, TURN } from './limits.ts';
import { eventToStartFrom } from './look-back.ts';
import { liveHandlers, liveTypes } from './notices/handlers.ts';
import { PositionWaiters } from './position-waiters.ts';
import { ResumeBuffer } from './resume-buffer.ts';

const FILTER = { types: liveTypes };
export type HubDeps = Readonly<{ memberships: LoadMemberships }> &
  Pick<FollowerOptions, 'log' | 'clock' | 'random' | 'logger'>;

/**
 * Follows the log and sends the users connected to this node what concerns them. The log is the bus between nodes.
 * Rights are those at delivery: rooms are kept by the same events, in the same order.
 */
export class Hub {
  readonly #deps: HubDeps;
  readonly #follower: Follower;
  readonly #audience: Audience;
  readonly #ended = createLru<true>(ENDED_MAX);
  readonly #stop = new AbortController();
  readonly #waiters: PositionWaiters;
  readonly #catchingUp = new Set<Promise<void>>();
  #buffer = new ResumeBuffer(BUFFER, endOfEvent(null));
  /** Everything up to here was handled. */
  #position: Position | null = null;
  /** The last event that was handled, or after which it began. */
  #anchor: Anchor | null = null;
  #isCaughtUp = false;
  #epoch = '';
  #following: Promise<void> = Promise.resolve();
  readonly #started = Promise.withResolvers<void>();
  /** Whether it has caught up once: from then on it retries by itself. */
  #hasStarted = false;

  constructor(deps: HubDeps) {
    this.#deps = deps;
    this.#waiters = new PositionWaiters(deps.clock);
    this.#audience = new Audience(deps.memberships, () => this.#position);
    this.#follower = new Follower({
      ...deps,
      name: 'push',
      filter: FILTER,
      checkpoint: () => ({ position: this.#position, anchor: this.#anchor }),
      handle: (batch) => this.#handle(batch),
      isRetried: () => this.#hasStarted,
    });
  }

  /** Fills the resume buffer from the log and follows it from then on. Resolves once it has caught up. Throws what reading the log throws until then. */
  async start(): Promise<void> {
    await this.#startFromLog();
    const following = this.#follow();
    // `start` throws it until the hub has caught up; afterwards `#follow` logs it.
    this.#following = following.catch(() => {});
    await Promise.race([this.#started.promise, following]);
  }

  /** The state of its follower. */
  status(): Promise<FollowerStatus> {
    return this.#follower.status();
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

  /** Whether the session is known to have ended. */
  hasEnded(sessionId: string): boolean {
    return this.#ended.has(sessionId);
  }

  /**
   * Adds a client and loads the rooms of its user. Nothing is delivered before `release`. Returns the id of the place from which it listens.
   * Throws what loading throws, and `UNAVAILABLE` when the hub has stopped, or has not caught up yet with a log that was restored.
   */
  async connect(client: Client): Promise<string> {
    if (this.#stop.signal.aborted || !this.#isCaughtUp) throw new StoreError('UNAVAILABLE', 'push is not running');
    const place = this.#here;
    await this.#audience.join(client, place);
    return formatFrameId(this.#epoch, place);
  }

  /**
   * Begins delivery: after `after` (an id of any node), or after the place from which the client listens. A client that cannot resume is sent one
   * `resync` frame instead. `begun` is called with how it begins, before the first frame. Once per client.
   */
  async release(client: Client, after: string | null, begun: (released: Released) => void): Promise<void> {
    const wanted = after === null ? null : this.#placeOf(after);
    if (wanted !== null) await this.#waiters.wait(wanted.position, () => this.#position, AHEAD_MS, this.#stop.signal);
    const isKnown = wanted !== null && (await isPlaceInLog(wanted, this.#followed));
    const listener = this.#audience.find(client);
    if (listener?.state !== 'held') return;
    const place = after === null ? listener.place : isKnown ? wanted : null;
    const missed = place === null ? null : this.#framesAfter(client, place, MISSED_MAX);
    if (place === null || missed === null) return this.#resync(listener, begun);
    listener.place = place;
    begun({ outcome: after === null ? 'live' : 'resumed', after: formatFrameId(this.#epoch, place) });
    this.#catchUp(listener, missed.length, missed.length + LAG_MAX);
  }

  /** Removes a client. Harmless when repeated. */
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

  /** After the last event that was handled: between that and the position there is nothing to send. */
  get #here(): Place {
    return endOfEvent(this.#anchor);
  }

  get #followed(): Followed {
    return { log: this.#deps.log, position: this.#position, anchor: this.#anchor, buffer: this.#buffer };
  }

  /** The place of an id, `null` for one of another log. */
  #placeOf(id: string): Place | null {
    const parsed = parseFrameId(id);
    return parsed?.epoch !== this.#epoch ? null : parsed;
  }

  /** The frames for a client after a place that was reached; `null` when they are more than `limit`, or no longer available. */
  #framesAfter(client: Client, place: Place, limit: number): readonly Frame[] | null {
    if (!this.#buffer.reachesBackTo(place)) return null;
    return this.#buffer.read(this.#audience.rooms.of(client.userId), place, limit);
  }

  /** Follows until the hub stops. A log that was restored from an older copy is followed anew, and its clients have to read again. */
  async #follow(): Promise<void> {
    const { signal } = this.#stop;
    for (let isRestored = false; !signal.aborted; isRestored = true) {
      try {
        if (isRestored) await this.#startFromLog();
        await this.#follower.run(signal);
      } catch (error) {
        if (!this.#hasStarted) throw error;
        if (error instanceof LogDiverged) this.#endAll();
        else if (isStoreError(error, 'UNAVAILABLE')) await this.#deps.clock.sleep(RESTART_MS, signal);
        else if (isStoreError(error, 'CLOSED')) return;
        else return this.#deps.logger.error({ err: error }, 'push has stopped following the log');
      }
    }
  }

  #endAll(): void {
    this.#isCaughtUp = false;
    for (const client of this.#audience.clients()) client.end('stopped');
  }

  async #startFromLog(): Promise<void> {
    this.#epoch = await this.#deps.log.epoch();
    this.#anchor = await eventToStartFrom(this.#deps, FILTER, READ_BACK);
    this.#position = this.#anchor?.position ?? null;
    this.#buffer = new ResumeBuffer(BUFFER, this.#here);
  }

  async #handle({ events, position, caughtUp }: EventBatch): Promise<undefined> {
    const outgoing = new Map<Listener, Frame[]>();
    const nowMs = this.#deps.clock.monotonic();
    for (const event of events) {
      this.#handleEvent(event, outgoing, nowMs);
      this.#position = event.position;
    }
    const last = events.at(-1);
    if (last !== undefined) this.#anchor = anchorOf(last);
    this.#position = laterPosition(this.#position, position);
    this.#buffer.trim(nowMs);
    this.#waiters.check();
    let sent = 0;
    for (const [listener, frames] of outgoing) {
      this.#deliver(listener, frames);
      sent += frames.length;
      if (sent < TURN) continue;
      sent = 0;
      await this.#deps.clock.nextTurn();
    }
    this.#isCaughtUp ||= caughtUp;
    this.#hasStarted ||= caughtUp;
    if (caughtUp) this.#started.resolve();
  }

  #handleEvent(event: RecordedEvent, outgoing: Map<Listener, Frame[]>, nowMs: number): void {
    const handler = liveHandlers.get(event.type);
    if (handler === undefined) return;
    const { rooms } = this.#audience;
    try {
      const notices = handler.notices?.(event) ?? [];
      const frames = notices.map((notice, index) => frameOf(this.#epoch, event, notice, index));
      if (handler.enters) rooms.enter(handler.enters(event), event.position);
      if (handler.closes) this.#buffer.forget(handler.closes(event));
      for (const frame of frames) {
        this.#buffer.add(frame, nowMs);
        for (const listener of this.#audience.listenersIn(frame.rooms)) this.#offer(listener, frame, outgoing);
      }
      if (handler.leaves) rooms.leave(handler.leaves(event));
      if (handler.endsSession) this.#endSession(handler.endsSession(event));
      if (handler.erases) this.#erase(handler.erases(event), outgoing.values());
    } catch (error) {
      // One event that cannot be handled must not hold up the others.
      this.#deps.logger.error({ err: error, type: event.type, position: event.position }, 'push skipped an event');
    }
  }

  #offer(listener: Listener, frame: Frame, outgoing: Map<Listener, Frame[]>): void {
    if (listener.state === 'lagging') {
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

  /** Sends a listener the frames after its place, at its own pace, and makes it live when there are no more. */
  #catchUp(listener: Listener, lag: number, lagMax: number): void {
    listener.state = 'lagging';
    listener.lag = lag;
    listener.lagMax = lagMax;
    const task: Promise<void> = this.#sendMissed(listener).finally(() => this.#catchingUp.delete(task));
    this.#catchingUp.add(task);
  }

  async #sendMissed(listener: Listener): Promise<void> {
    const { client } = listener;
    for (;;) {
      await client.drained();
      if (this.#audience.find(client) !== listener) return;
      const missed = this.#framesAfter(client, listener.place, listener.lagMax);
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
    const sent = listener.client.deliver([resyncFrame(this.#epoch, this.#position, at, this.#here)]);
    if (sent === 0) listener.client.end('too-slow');
  }

  #endSession({ userId, sessionId }: Readonly<{ userId: string; sessionId: string }>): void {
    this.#ended.set(sessionId, true);
    const clients = this.#audience.clients(userId).filter((client) => client.sessionId === sessionId);
    for (const client of clients) client.end('session-ended');
  }

  #erase(userId: string, unsent: Iterable<Frame[]>): void {
    this.#buffer.redact(userId, unsent);
    for (const client of this.#audience.clients(userId)) client.end('session-ended');
  }
}
