import type { Principal } from '../../identity/identity.ts';
import { Refusal } from '../../kernel/errors.ts';
import type { Client, EndReason } from '../../push/client.ts';
import type { Frame } from '../../push/frames.ts';
import { type ClientFrame, readClientFrame } from './client-frames.ts';
import type { LiveDeps } from './deps.ts';
import type { LiveSocket } from './socket.ts';
import { performFrame } from './perform-frame.ts';
import { tell } from '../request/problems.ts';

/** Close codes: those of RFC 6455, section 7.4.1, and from 4000 on this protocol's own. */
const CLOSE = {
  stopped: 1001,
  failed: 1011,
  tryLater: 1013,
  unauthenticated: 4401,
  tooSlow: 4408,
  tooMany: 4429,
} as const;

const ENDS: Readonly<Record<EndReason, readonly [code: number, words: string]>> = {
  stopped: [CLOSE.stopped, 'the server stops'],
  'session-ended': [CLOSE.unauthenticated, 'the session was ended'],
  'too-slow': [CLOSE.tooSlow, 'read faster, and resume'],
};

/** The first frame must prove who speaks within this, in ms. */
export const AUTH_MS = 5_000;
/** How long delivery waits behind `auth` for a `resume`, in ms. */
export const RESUME_MS = 250;
/** How long a connection may go on with what it has when the server stops, in ms. */
const STOP_MS = 2_000;
/** Client frames that wait their turn before no more are read. */
const WAITING_MAX = 64;
/** Frames in a row that are refused for their number before the connection is closed. */
const REFUSED_MAX = 1_000;
const INSTANCE = '/api/v1/live';

/** One WebSocket: proves who speaks, then does what its frames ask, one after the other, and delivers what the hub tells. */
export class LiveConnection implements Client {
  readonly #deps: LiveDeps;
  readonly #socket: LiveSocket;
  readonly #correlationId: string;
  readonly #network: string;
  readonly #ended = new AbortController();
  /** Aborted when another token has taken the place of the one before. */
  #renewed = new AbortController();
  #principal: Principal | null = null;
  #released: Promise<void> | null = null;
  #work: Promise<void> = Promise.resolve();
  #waiting = 0;
  #refused = 0;
  #hasTried = false;
  #stopping = false;

  /** `bearer`: the token that came as a subprotocol, if any. `network`: where it comes from, for limiting only. */
  constructor(
    deps: LiveDeps,
    socket: LiveSocket,
    options: { correlationId: string; network: string; bearer: string | null },
  ) {
    this.#deps = deps;
    this.#socket = socket;
    this.#correlationId = options.correlationId;
    this.#network = options.network;
    const { bearer } = options;
    void this.#unlessRenewed(AUTH_MS, () => this.#giveUp());
    if (bearer !== null) this.#enqueue(() => this.#perform({ type: 'auth', token: bearer }));
  }

  get userId(): string {
    return this.#principal?.userId ?? '';
  }

  get sessionId(): string {
    return this.#principal?.sessionId ?? '';
  }

  /** Takes what the client sent. Never throws. */
  receive(data: Buffer, isBinary: boolean): void {
    if (!this.#stopping) this.#enqueue(() => this.#take(data, isBinary));
  }

  deliver(frames: readonly Frame[]): number {
    return this.#socket.sendAll(frames);
  }

  drained(): Promise<void> {
    return this.#socket.drained(this.#ended.signal);
  }

  end(reason: EndReason): void {
    this.#close(...ENDS[reason]);
  }

  /** Finishes the frames it has, takes no more, and ends. */
  async stop(): Promise<void> {
    this.#stopping = true;
    const patience = new AbortController();
    await Promise.race([this.#work, this.#deps.clock.sleep(STOP_MS, patience.signal)]);
    patience.abort();
    this.end('stopped');
  }

  /** The socket was closed. May be called twice. */
  closed(): void {
    this.#ended.abort();
    this.#renewed.abort();
    this.#deps.hub.disconnect(this);
  }

  #close(code: number, words: string): void {
    if (this.#ended.signal.aborted) return;
    this.#socket.close(code, words);
    this.closed();
  }

  #enqueue(work: () => Promise<void>): void {
    if (this.#ended.signal.aborted) return;
    if (++this.#waiting === WAITING_MAX) this.#socket.read(false);
    this.#work = this.#work.then(() => this.#run(work));
  }

  async #run(work: () => Promise<void>): Promise<void> {
    try {
      // Who does not read the answers gets no more of them.
      await this.drained();
      if (!this.#ended.signal.aborted) await work();
    } catch (error) {
      this.#deps.logger.error({ err: error, correlationId: this.#correlationId }, 'a live connection failed');
      this.#close(CLOSE.failed, 'something went wrong on our side');
    }
    if (--this.#waiting === WAITING_MAX / 2) this.#socket.read(true);
  }

  async #take(data: Buffer, isBinary: boolean): Promise<void> {
    let id: string | undefined;
    try {
      const { id: given, check } = readClientFrame(data, isBinary);
      id = given;
      this.#charge();
      await this.#perform(check());
    } catch (error) {
      this.#fail(id, error);
      if (this.#refused > REFUSED_MAX) this.#close(CLOSE.tooMany, 'too many frames');
    }
  }

  #charge(): void {
    const taken = this.#deps.limits.frame.take(this.#principal?.userId ?? this.#correlationId);
    this.#refused = taken.ok ? 0 : this.#refused + 1;
    if (taken.ok) return;
    throw new Refusal('too-many-requests', 'too many frames at once', { retryAfterMs: taken.retryAfterMs });
  }

  async #perform(frame: ClientFrame): Promise<void> {
    try {
      if (frame.type === 'auth') return await this.#authenticate(frame);
      const principal = this.#principal;
      if (principal === null) throw new Refusal('unauthenticated', 'the first frame must be auth');
      if (frame.type === 'resume') return await this.#resume(frame.after, frame.id);
      await this.#release(null);
      this.#answer(frame.id, await performFrame(this.#deps, principal, frame, this.#correlationId));
    } catch (error) {
      this.#fail(frame.id, error);
    }
  }

  async #authenticate(frame: Extract<ClientFrame, { type: 'auth' }>): Promise<void> {
    const { hub, identity, socketsPerUser } = this.#deps;
    const { id, after } = frame;
    this.#hasTried = true;
    const principal = await identity.authenticate(frame.token, 'command');
    // A session that ended elsewhere may still be taken for live for some seconds; the hub may have heard of its end already.
    if (hub.hasEnded(principal.sessionId)) throw new Refusal('unauthenticated', 'the session is over; sign in again');
    if (this.#ended.signal.aborted) return;
    if (this.#principal !== null) return this.#renew(frame, this.#principal, principal);
    if (hub.connectionsOf(principal.userId) >= socketsPerUser) {
      const words = 'this user has too many connections';
      this.#fail(id, new Refusal('too-many-requests', words, { retryAfterMs: 60_000 }));
      return this.#close(CLOSE.tooMany, words);
    }
    const place = await this.#enter(principal);
    if (this.#ended.signal.aborted) return;
    this.#holdFor(principal);
    if (after !== undefined) return this.#resume(after, id);
    this.#answer(id, { after: place });
    // A client that does not resume says so by its next frame, or by silence.
    const silence = this.#deps.clock.sleep(RESUME_MS, this.#ended.signal);
    void silence.then(() => this.#enqueue(() => this.#release(null)));
  }

  #renew(frame: Extract<ClientFrame, { type: 'auth' }>, before: Principal, principal: Principal): void {
    if (principal.userId !== before.userId) throw new Refusal('forbidden', 'this connection belongs to another user');
    if (frame.after !== undefined) throw new Refusal('rule-broken', 'only the first auth may say where to resume');
    this.#principal = principal;
    this.#holdFor(principal);
    this.#answer(frame.id, {});
  }

  /** Gives the id of the place from which it listens. */
  async #enter(principal: Principal): Promise<string> {
    this.#principal = principal;
    try {
      return await this.#deps.hub.connect(this);
    } catch (error) {
      this.#principal = null;
      throw error;
    }
  }

  /** The connection lasts as long as the token, unless another one comes. */
  #holdFor(principal: Principal): void {
    this.#renewed.abort();
    this.#renewed = new AbortController();
    const ms = principal.expiresAt - this.#deps.clock.now();
    void this.#unlessRenewed(ms, () => this.#close(CLOSE.unauthenticated, 'the token ran out'));
  }

  /** Nobody has proved in time who speaks: because nobody tried, or because it could not be found out. */
  #giveUp(): void {
    if (this.#hasTried) {
      this.#close(CLOSE.tryLater, 'it could not be found out in time who speaks; try again');
    } else {
      this.#deps.limits.badToken.take(this.#network);
      this.#close(CLOSE.unauthenticated, 'the first frame must be auth');
    }
  }

  async #unlessRenewed(ms: number, then: () => void): Promise<void> {
    const { signal } = this.#renewed;
    await this.#deps.clock.sleep(Math.max(0, ms), signal);
    if (!signal.aborted) then();
  }

  async #resume(after: string, id: string | undefined): Promise<void> {
    if (this.#released !== null) throw new Refusal('rule-broken', 'resume only before anything else');
    await this.#release(after, id);
  }

  #release(after: string | null, id?: string): Promise<void> {
    this.#released ??= this.#deps.hub.release(this, after, (released) => this.#answer(id, released));
    return this.#released;
  }

  #answer(id: string | undefined, outcome: object): void {
    if (id !== undefined) this.#send({ type: 'ack', id, ok: true, ...outcome });
  }

  /** Says what went wrong, and ends what cannot go on. */
  #fail(id: string | undefined, error: unknown): void {
    const { problem, retryAfterS } = tell(error, INSTANCE);
    if (problem.code === 'internal') {
      this.#deps.logger.error({ err: error, correlationId: this.#correlationId }, 'a client frame failed');
    }
    const head = id === undefined ? { type: 'error' } : { type: 'ack', id, ok: false };
    this.#send({ ...head, problem, ...(retryAfterS === null ? {} : { retryAfter: retryAfterS }) });
    if (problem.code !== 'unauthenticated') return;
    this.#deps.limits.badToken.take(this.#network);
    this.#close(CLOSE.unauthenticated, 'not signed in');
  }

  #send(message: object): void {
    if (!this.#ended.signal.aborted) this.#socket.send(JSON.stringify(message));
  }
}
