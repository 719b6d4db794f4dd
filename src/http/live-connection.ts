import type { Principal } from '../identity/identity.ts';
import { Refusal } from '../kernel/errors.ts';
import type { Frame } from '../push/frames.ts';
import type { Client, Released } from '../push/hub.ts';
import { type ClientFrame, clientFrames } from './client-frames.ts';
import type { LiveDeps } from './live-deps.ts';
import { performFrame } from './perform-frame.ts';
import { tell } from './problems.ts';
import { createValidator, type Validator } from './validation.ts';

/** Close codes of this protocol (4000–4999 are the application's, RFC 6455, section 7.4.2). */
export const CLOSE = { unauthenticated: 4401, tooSlow: 4408, tooMany: 4429 } as const;

/** The first frame must prove who speaks within this, in ms. */
const AUTH_MS = 5_000;
/** How long delivery waits behind `auth` for a `resume`, in ms. */
const RESUME_MS = 250;
/** Bytes that may wait to be read by a client before it is closed. */
const BEHIND_MAX_BYTES = 1024 * 1024;
/** Client frames that may wait their turn. */
const WAITING_MAX = 64;
const INSTANCE = '/api/v1/live';

/** The part of a WebSocket that a connection uses. */
export interface Socket {
  readonly bufferedAmount: number;
  send(data: string | Buffer, options: { binary: boolean }): void;
  close(code: number, reason: string): void;
}

const validators = new Map<string, Validator>(
  Object.entries(clientFrames).map(([type, schema]) => [type, createValidator(schema)]),
);

/** One WebSocket: proves who speaks, then does what its frames ask, one after the other, and delivers what the hub tells. */
export class LiveConnection {
  readonly #deps: LiveDeps;
  readonly #socket: Socket;
  readonly #correlationId: string;
  readonly #closing = new AbortController();
  #renewed = new AbortController();
  #principal: Principal | null = null;
  #client: Client | null = null;
  #released: Promise<void> | null = null;
  #waiting = 0;
  #work: Promise<void> = Promise.resolve();

  /** `bearer`: the token that came as a subprotocol, if any. */
  constructor(deps: LiveDeps, socket: Socket, options: { correlationId: string; bearer: string | null }) {
    this.#deps = deps;
    this.#socket = socket;
    this.#correlationId = options.correlationId;
    const { bearer } = options;
    if (bearer === null) void this.#endAfter(AUTH_MS, this.#renewed.signal, 'the first frame must be auth');
    else this.#enqueue(() => this.#perform({ type: 'auth', token: bearer }));
  }

  /** Takes what the client sent. Never throws. */
  receive(data: Buffer, isBinary: boolean): void {
    const { frameRate } = this.#deps.limits;
    const taken = frameRate?.take(this.#principal?.userId ?? this.#correlationId) ?? { ok: true };
    if (this.#waiting >= WAITING_MAX || !taken.ok) {
      const retryAfterMs = taken.ok ? 1_000 : taken.retryAfterMs;
      this.#fail(undefined, new Refusal('too-many-requests', 'too many frames at once', { retryAfterMs }));
      return;
    }
    this.#enqueue(() => this.#take(data, isBinary));
  }

  /** The socket was closed. */
  closed(): void {
    this.#closing.abort();
    this.#renewed.abort();
    if (this.#client !== null) this.#deps.hub.disconnect(this.#client);
  }

  #enqueue(work: () => Promise<void>): void {
    this.#waiting++;
    this.#work = this.#work.then(async () => {
      if (!this.#closing.signal.aborted) await work();
      this.#waiting--;
    });
  }

  async #take(data: Buffer, isBinary: boolean): Promise<void> {
    let id: string | undefined;
    try {
      const frame = parse(data, isBinary);
      if (typeof frame.id === 'string') id = frame.id.slice(0, 64);
      validators.get(String(frame.type))?.(frame);
      if (!validators.has(String(frame.type))) {
        const errors = [{ path: '/type', message: `must be one of ${[...validators.keys()].join(', ')}` }];
        throw new Refusal('malformed', 'this type of frame is not known', { errors });
      }
      // Its validator has passed it.
      await this.#perform(frame as ClientFrame);
    } catch (error) {
      this.#fail(id, error);
    }
  }

  async #perform(frame: ClientFrame): Promise<void> {
    try {
      if (frame.type === 'auth') return await this.#authenticate(frame);
      const principal = this.#principal;
      if (principal === null) return this.end(CLOSE.unauthenticated, 'the first frame must be auth');
      if (frame.type === 'resume') return await this.#resume(frame);
      await this.#release(null);
      this.#answer(frame.id, await performFrame(this.#deps, principal, frame, this.#correlationId));
    } catch (error) {
      this.#fail(frame.id, error);
    }
  }

  async #authenticate(frame: Extract<ClientFrame, { type: 'auth' }>): Promise<void> {
    const principal = await this.#deps.identity.authenticate(frame.token).catch((error: unknown) => {
      if (error instanceof Refusal && error.code === 'unauthenticated')
        this.end(CLOSE.unauthenticated, 'the token is not good');
      throw error;
    });
    if (this.#principal !== null && this.#principal.userId !== principal.userId) {
      throw new Refusal('forbidden', 'this connection belongs to another user');
    }
    const place = this.#principal === null ? await this.#enter(principal) : null;
    this.#principal = principal;
    this.#renewed.abort();
    this.#renewed = new AbortController();
    void this.#endAfter(principal.expiresAt - this.#deps.clock.now(), this.#renewed.signal, 'the token ran out');
    if (frame.after !== undefined) return this.#resume({ ...frame, type: 'resume', after: frame.after });
    this.#answer(frame.id, place === null ? {} : { after: place });
    if (this.#released !== null) return;
    // A client that does not resume says so by its next frame, or by silence.
    const { clock } = this.#deps;
    void clock.sleep(RESUME_MS, this.#closing.signal).then(() => this.#enqueue(() => this.#release(null)));
  }

  /** Gives the id behind which delivery will begin. */
  async #enter(principal: Principal): Promise<string> {
    const { hub, limits } = this.#deps;
    if (hub.connectionsOf(principal.userId) >= limits.socketsPerUser) {
      this.end(CLOSE.tooMany, 'this user has too many connections');
      throw new Refusal('too-many-requests', 'this user has too many connections', { retryAfterMs: 60_000 });
    }
    const client: Client = {
      userId: principal.userId,
      sessionId: principal.sessionId,
      deliver: (frames) => this.#deliver(frames),
      end: (code, reason) => this.end(code, reason),
    };
    const place = await hub.connect(client);
    if (this.#closing.signal.aborted) hub.disconnect(client);
    else this.#client = client;
    return place;
  }

  async #resume(frame: Extract<ClientFrame, { type: 'resume' }>): Promise<void> {
    if (this.#released !== null) throw new Refusal('rule-broken', 'resume only before anything else');
    await this.#release(frame.after, frame.id);
  }

  #release(after: string | null, id?: string): Promise<void> {
    this.#released ??= this.#begin(after, id);
    return this.#released;
  }

  async #begin(after: string | null, id: string | undefined): Promise<void> {
    if (this.#client === null) return;
    const answer = (released: Released) => this.#answer(id, { outcome: released.outcome, after: released.id });
    await this.#deps.hub.release(this.#client, after, answer);
  }

  #deliver(frames: readonly Frame[]): void {
    if (this.#socket.bufferedAmount > BEHIND_MAX_BYTES) this.end(CLOSE.tooSlow, 'read faster, and resume');
    else for (const { bytes } of frames) this.#socket.send(bytes, { binary: false });
  }

  #answer(id: string | undefined, outcome: object): void {
    if (id !== undefined) this.#send(JSON.stringify({ type: 'ack', id, ok: true, ...outcome }));
  }

  #fail(id: string | undefined, error: unknown): void {
    const { problem, retryAfterS } = tell(error, INSTANCE);
    if (problem.code === 'internal') {
      this.#deps.logger.error({ err: error, correlationId: this.#correlationId }, 'a client frame failed');
    }
    const head = id === undefined ? { type: 'error' } : { type: 'ack', id, ok: false };
    this.#send(JSON.stringify({ ...head, problem, ...(retryAfterS === null ? {} : { retryAfter: retryAfterS }) }));
  }

  #send(text: string): void {
    if (!this.#closing.signal.aborted) this.#socket.send(text, { binary: false });
  }

  /** Closes the socket with a code; what it waits for ends too. */
  end(code: number, reason: string): void {
    this.#socket.close(code, reason);
    this.closed();
  }

  async #endAfter(ms: number, renewed: AbortSignal, reason: string): Promise<void> {
    await this.#deps.clock.sleep(Math.max(0, ms), renewed);
    if (!renewed.aborted && !this.#closing.signal.aborted) this.end(CLOSE.unauthenticated, reason);
  }
}

function parse(data: Buffer, isBinary: boolean): Record<string, unknown> {
  let parsed: unknown = null;
  try {
    if (!isBinary) parsed = JSON.parse(data.toString());
  } catch {
    // Told below, with everything else that is no frame.
  }
  if (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)) return parsed as Record<string, unknown>;
  throw new Refusal('malformed', 'a frame is a JSON object in a text message');
}
