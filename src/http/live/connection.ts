import { sessionOver } from '../../aggregates/sessions/decider.ts';
import type { Principal } from '../../identity/identity.ts';
import { Refusal } from '../../kernel/errors.ts';
import type { Timer } from '../../ports/clock.ts';
import { LATE, within } from '../../ports/within.ts';
import type { Client, EndReason } from '../../push/client.ts';
import type { Frame } from '../../push/frames.ts';
import { verifyToken } from '../request/authentication.ts';
import { toProblem } from '../request/problems.ts';
import { type ClientFrame, frameIdOf, parseClientFrame } from './client-frames.ts';
import { CLOSE, ends, excesses } from './close-codes.ts';
import type { LiveDeps } from './deps.ts';
import { FrameCharges } from './frame-charges.ts';
import { FrameQueue } from './frame-queue.ts';
import { performCommand } from './perform-command.ts';
import type { LiveSocket } from './socket.ts';
import { LIVE_PATH } from './upgrade.ts';
import { type WaitingBytes, weightOf } from './waiting-bytes.ts';

/** How long the client may take to authenticate, in ms. */
export const AUTH_MS = 5_000;
/** How long delivery waits after `auth` for a `resume`, in ms. */
export const RESUME_MS = 250;
/** How long frames in progress may take when the server stops, in ms. */
const STOP_MS = 2_000;
/** How long the client may take to read what fills its socket before a frame of its own is handled, in ms. */
export const DRAIN_MS = 30_000;
/** Maximum size in bytes of a frame before authentication, and of what is read until then. A token has at most 8 KiB. */
const AUTH_FRAME_MAX = 16 * 1024;
const AUTH_READ_MAX = 32 * 1024;
/** What a client may send after its connection was closed, in bytes; then it is cut. Frames may be under way when it learns of that. */
const LATE_MAX = 256 * 1024;

type Options = Readonly<{
  correlationId: string;
  /** Where the client is, for rate limits only. */
  network: string;
  /** The token that came as a subprotocol, if any. */
  bearer: string | null;
  /** What waits in the queues of all connections of this node. */
  waiting: WaitingBytes;
  /** Called when the client is authenticated. */
  onAuthenticated: () => void;
}>;

/** One WebSocket: authenticates the client, then handles its frames one after the other and delivers the frames of the hub. */
export class LiveConnection implements Client {
  readonly #deps: LiveDeps;
  readonly #socket: LiveSocket;
  readonly #options: Options;
  readonly #charges: FrameCharges;
  readonly #queue: FrameQueue;
  readonly #ended = new AbortController();
  /** Closes the connection when the client does not authenticate in time, and later when its token expires. */
  #deadline: Timer;
  #principal: Principal | null = null;
  #released: Promise<void> | null = null;
  #late = 0;
  #hasTried = false;
  #stopping = false;

  constructor(deps: LiveDeps, socket: LiveSocket, options: Options) {
    this.#deps = deps;
    this.#socket = socket;
    this.#options = options;
    this.#charges = new FrameCharges(deps.limits.frame);
    const { bearer, waiting } = options;
    this.#queue = new FrameQueue({ clock: deps.clock, waiting, read: (on) => socket.read(on) });
    this.#deadline = deps.clock.after(AUTH_MS, () => this.#giveUp());
    socket.limitReading(AUTH_READ_MAX);
    if (bearer !== null) this.#enqueue(bearer.length, () => this.#handle({ type: 'auth', token: bearer }));
  }

  /** What a command of a frame is performed with. */
  get #request() {
    return { correlationId: this.#options.correlationId, signal: this.#ended.signal };
  }

  get userId(): string {
    return this.#principal?.userId ?? '';
  }

  get sessionId(): string | null {
    return this.#principal?.sessionId ?? null;
  }

  /** Takes a message of the client. Never throws. */
  receive(data: Buffer, isBinary: boolean): void {
    if (this.#ended.signal.aborted) this.#ignoreLate(data.length);
    else if (!this.#stopping) this.#enqueue(data.length, () => this.#take(data, isBinary));
  }

  /** Takes a ping of the client, and answers it within the limits. Never throws. */
  pinged(data: Buffer): void {
    if (this.#takeControl(data.length)) this.#socket.pong(data);
  }

  /** Takes a pong of the client. Never throws. */
  ponged(data: Buffer): void {
    this.#takeControl(data.length);
  }

  deliver(frames: readonly Frame[]): number {
    return this.#socket.sendAll(frames);
  }

  drained(): Promise<void> {
    return this.#socket.drained(this.#ended.signal);
  }

  end(reason: EndReason): void {
    this.#close(...ends[reason]);
  }

  /** Handles the frames that were received, takes no more, and ends. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await within(this.#deps.clock, STOP_MS, this.#queue.settled());
    this.end('stopped');
  }

  /** The socket was closed. May be called twice. */
  closed(): void {
    this.#ended.abort();
    this.#deadline.cancel();
    this.#queue.clear();
    this.#deps.hub.disconnect(this);
  }

  #close(code: number, words: string): void {
    if (this.#ended.signal.aborted) return;
    this.#socket.close(code, words);
    this.closed();
  }

  /** A client that goes on sending after its connection was closed is cut, and does not keep the server parsing. */
  #ignoreLate(length: number): void {
    this.#late += weightOf(length);
    if (this.#late > LATE_MAX) this.#socket.cut();
  }

  #enqueue(length: number, work: () => Promise<void>): void {
    if (this.#ended.signal.aborted) return;
    const owner = this.#principal?.userId ?? this.#options.correlationId;
    const excess = this.#queue.push(owner, length, () => this.#run(work));
    if (excess !== null) this.#close(...excesses[excess]);
  }

  async #run(work: () => Promise<void>): Promise<void> {
    try {
      // A client that does not read its answers gets no more of them.
      if (this.#socket.isFull && (await within(this.#deps.clock, DRAIN_MS, this.drained())) === LATE) {
        this.end('too-slow');
      }
      if (!this.#ended.signal.aborted) await work();
    } catch (error) {
      this.#deps.logger.error({ err: error, correlationId: this.#options.correlationId }, 'live connection failed');
      this.#close(CLOSE.failed, 'an internal error occurred');
    }
  }

  async #take(data: Buffer, isBinary: boolean): Promise<void> {
    if (this.#principal === null && data.length > AUTH_FRAME_MAX) {
      return this.#close(CLOSE.tooLarge, 'the frame is too large before authentication');
    }
    const refusal = this.#charges.take(this.#principal?.userId ?? null, data.length);
    let id: string | undefined;
    try {
      if (refusal !== null) {
        id = frameIdOf(data, isBinary);
        throw refusal;
      }
      const received = parseClientFrame(data, isBinary);
      id = received.id;
      await this.#handle(received.read());
    } catch (error) {
      this.#fail(id, error);
      if (this.#charges.isExceeded) this.#close(CLOSE.tooMany, 'too many frames');
      else if (this.#principal === null) this.#close(CLOSE.malformed, 'malformed frame before authentication');
    }
  }

  /** Charges a control frame like any other. Returns whether it is within the limits. */
  #takeControl(length: number): boolean {
    if (this.#ended.signal.aborted) {
      this.#ignoreLate(length);
      return false;
    }
    const refusal = this.#charges.take(this.#principal?.userId ?? null, length);
    if (this.#charges.isExceeded) this.#close(CLOSE.tooMany, 'too many frames');
    return refusal === null;
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
    const principal = await verifyToken(this.#deps, frame.token, {
      address: this.#options.network,
      purpose: 'command',
    });
    // A session that ended on another node may still count as live for some seconds; the hub may know of its end already.
    if (principal.sessionId !== null && hub.hasEnded(principal.sessionId)) throw sessionOver();
    if (this.#ended.signal.aborted) return;
    if (this.#principal !== null) return this.#renew(frame, this.#principal, principal);
    if (hub.connectionsOf(principal.userId) >= socketsPerUser) {
      const words = 'this user has too many connections';
      this.#fail(id, new Refusal('too-many-requests', words, { retryAfterMs: 60_000 }));
      return this.#close(CLOSE.tooMany, words);
    }
    const place = await this.#connect(principal);
    if (this.#ended.signal.aborted) return;
    this.#options.onAuthenticated();
    this.#socket.unlimitReading();
    this.#closeAtExpiry(principal);
    if (after !== undefined) return this.#resume(after, id);
    this.#answer(id, { after: place });
    // A client that does not resume sends another frame, or nothing.
    clock.after(RESUME_MS, () => this.#enqueue(0, () => this.#release(null)));
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
    const { problem, retryAfterS } = toProblem(error, LIVE_PATH);
    if (problem.code === 'internal') {
      this.#deps.logger.error({ err: error, correlationId: this.#options.correlationId }, 'client frame failed');
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
