import { sessionOver } from '../../aggregates/sessions/decider.ts';
import type { Principal } from '../../identity/identity.ts';
import { Refusal } from '../../kernel/errors.ts';
import type { Timer } from '../../ports/clock.ts';
import { within } from '../../ports/within.ts';
import type { Client, EndReason } from '../../push/client.ts';
import type { Frame } from '../../push/frames.ts';
import { verifyToken } from '../request/authentication.ts';
import { toProblem } from '../request/problems.ts';
import { type ClientFrame, parseClientFrame } from './client-frames.ts';
import type { LiveDeps } from './deps.ts';
import { performCommand } from './perform-command.ts';
import type { LiveSocket } from './socket.ts';

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
  stopped: [CLOSE.stopped, 'the server is stopping'],
  'session-ended': [CLOSE.unauthenticated, 'the session has ended'],
  'too-slow': [CLOSE.tooSlow, 'the client reads too slowly; reconnect and resume'],
};

/** How long the client may take to authenticate, in ms. */
export const AUTH_MS = 5_000;
/** How long delivery waits after `auth` for a `resume`, in ms. */
export const RESUME_MS = 250;
/** How long frames in progress may take when the server stops, in ms. */
const STOP_MS = 2_000;
/** Client frames that may wait to be handled before reading is suspended. */
const WAITING_MAX = 64;
/** Consecutive frames that may exceed the rate limit before the connection is closed. */
const REFUSED_MAX = 1_000;
/** The `instance` of problems. */
const INSTANCE = '/api/v1/live';

/** One WebSocket: authenticates the client, then handles its frames one after the other and delivers the frames of the hub. */
export class LiveConnection implements Client {
  readonly #deps: LiveDeps;
  readonly #socket: LiveSocket;
  readonly #correlationId: string;
  readonly #network: string;
  readonly #ended = new AbortController();
  /** Closes the connection when the client does not authenticate in time, and later when its token expires. */
  #deadline: Timer;
  #principal: Principal | null = null;
  #released: Promise<void> | null = null;
  #work: Promise<void> = Promise.resolve();
  #waiting = 0;
  #refused = 0;
  #hasTried = false;
  #stopping = false;

  /** `bearer`: the token that came as a subprotocol, if any. `network`: where the client is, for rate limits only. */
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
    this.#deadline = deps.clock.after(AUTH_MS, () => this.#giveUp());
    if (bearer !== null) this.#enqueue(() => this.#handle({ type: 'auth', token: bearer }));
  }

  /** What a command of a frame is performed with. */
  get #request() {
    return { correlationId: this.#correlationId, signal: this.#ended.signal };
  }

  get userId(): string {
    return this.#principal?.userId ?? '';
  }

  get sessionId(): string {
    return this.#principal?.sessionId ?? '';
  }

  /** Takes a message of the client. Never throws. */
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

  /** Handles the frames that were received, takes no more, and ends. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await within(this.#deps.clock, STOP_MS, this.#work);
    this.end('stopped');
  }

  /** The socket was closed. May be called twice. */
  closed(): void {
    this.#ended.abort();
    this.#deadline.cancel();
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
      // A client that does not read its answers gets no more of them.
      await this.drained();
      if (!this.#ended.signal.aborted) await work();
    } catch (error) {
      this.#deps.logger.error({ err: error, correlationId: this.#correlationId }, 'live connection failed');
      this.#close(CLOSE.failed, 'an internal error occurred');
    }
    if (--this.#waiting === WAITING_MAX / 2) this.#socket.read(true);
  }

  async #take(data: Buffer, isBinary: boolean): Promise<void> {
    let id: string | undefined;
    try {
      const received = parseClientFrame(data, isBinary);
      id = received.id;
      this.#charge();
      await this.#handle(received.read());
    } catch (error) {
      this.#fail(id, error);
      if (this.#refused > REFUSED_MAX) this.#close(CLOSE.tooMany, 'too many frames');
    }
  }

  #charge(): void {
    const decision = this.#deps.limits.frame.take(this.#principal?.userId ?? this.#correlationId);
    this.#refused = decision.ok ? 0 : this.#refused + 1;
    if (decision.ok) return;
    const { retryAfterMs } = decision;
    throw new Refusal('too-many-requests', 'too many frames; try again later', { retryAfterMs });
  }

  async #handle(frame: ClientFrame): Promise<void> {
    try {
      if (frame.type === 'auth') return await this.#authenticate(frame);
      const principal = this.#principal;
      if (principal === null) throw new Refusal('unauthenticated', 'the first frame must be auth');
      if (frame.type === 'resume') return await this.#resume(frame.after, frame.id);
      await this.#release(null);
      const outcome = frame.type === 'ping' ? {} : await performCommand(this.#deps, principal, frame, this.#request);
      this.#answer(frame.id, outcome);
    } catch (error) {
      this.#fail(frame.id, error);
    }
  }

  async #authenticate(frame: Extract<ClientFrame, { type: 'auth' }>): Promise<void> {
    const { hub, socketsPerUser, clock } = this.#deps;
    const { id, after } = frame;
    this.#hasTried = true;
    const principal = await verifyToken(this.#deps, frame.token, { address: this.#network, purpose: 'command' });
    // A session that ended on another node may still count as live for some seconds; the hub may know of its end already.
    if (hub.hasEnded(principal.sessionId)) throw sessionOver();
    if (this.#ended.signal.aborted) return;
    if (this.#principal !== null) return this.#renew(frame, this.#principal, principal);
    if (hub.connectionsOf(principal.userId) >= socketsPerUser) {
      const words = 'this user has too many connections';
      this.#fail(id, new Refusal('too-many-requests', words, { retryAfterMs: 60_000 }));
      return this.#close(CLOSE.tooMany, words);
    }
    const place = await this.#connect(principal);
    if (this.#ended.signal.aborted) return;
    this.#closeAtExpiry(principal);
    if (after !== undefined) return this.#resume(after, id);
    this.#answer(id, { after: place });
    // A client that does not resume sends another frame, or nothing.
    clock.after(RESUME_MS, () => this.#enqueue(() => this.#release(null)));
  }

  #renew(frame: Extract<ClientFrame, { type: 'auth' }>, previous: Principal, principal: Principal): void {
    if (principal.userId !== previous.userId) throw new Refusal('forbidden', 'this connection belongs to another user');
    if (frame.after !== undefined) throw new Refusal('rule-broken', 'only the first auth frame can resume');
    this.#principal = principal;
    this.#closeAtExpiry(principal);
    this.#answer(frame.id, {});
  }

  /** Joins the hub. Returns the id of the place from which it gets frames. */
  async #connect(principal: Principal): Promise<string> {
    this.#principal = principal;
    try {
      return await this.#deps.hub.connect(this);
    } catch (error) {
      this.#principal = null;
      throw error;
    }
  }

  /** The connection lasts as long as the token, unless a later `auth` renews it. */
  #closeAtExpiry({ expiresAt }: Principal): void {
    this.#deadline.cancel();
    const ms = Math.max(0, expiresAt - this.#deps.clock.now());
    this.#deadline = this.#deps.clock.after(ms, () => this.#close(CLOSE.unauthenticated, 'the token has expired'));
  }

  /** The client was not authenticated in time: it sent no token, or the token could not be verified yet. */
  #giveUp(): void {
    if (this.#hasTried) {
      this.#close(CLOSE.tryLater, 'the token could not be verified in time; try again');
    } else {
      this.#deps.limits.badToken.take(this.#network);
      this.#close(CLOSE.unauthenticated, 'the first frame must be auth');
    }
  }

  async #resume(after: string, id: string | undefined): Promise<void> {
    if (this.#released !== null) throw new Refusal('rule-broken', 'resume must be the first frame after auth');
    await this.#release(after, id);
  }

  #release(after: string | null, id?: string): Promise<void> {
    this.#released ??= this.#deps.hub.release(this, after, (released) => this.#answer(id, released));
    return this.#released;
  }

  #answer(id: string | undefined, outcome: object): void {
    if (id !== undefined) this.#send({ type: 'ack', id, ok: true, ...outcome });
  }

  /** Reports an error to the client, and closes the connection when it is not authenticated. */
  #fail(id: string | undefined, error: unknown): void {
    const { problem, retryAfterS } = toProblem(error, INSTANCE);
    if (problem.code === 'internal') {
      this.#deps.logger.error({ err: error, correlationId: this.#correlationId }, 'client frame failed');
    }
    const head = id === undefined ? { type: 'error' } : { type: 'ack', id, ok: false };
    this.#send({ ...head, problem, ...(retryAfterS === null ? {} : { retryAfter: retryAfterS }) });
    if (problem.code !== 'unauthenticated') return;
    this.#close(CLOSE.unauthenticated, 'not signed in');
  }

  #send(message: object): void {
    if (!this.#ended.signal.aborted) this.#socket.send(JSON.stringify(message));
  }
}
