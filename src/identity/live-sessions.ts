import { liveSession, sessions } from '../aggregates/sessions/decider.ts';
import { activeAccountOf, user } from '../aggregates/user/decider.ts';
import type { CommandHandler } from '../commands/command-handler.ts';
import { isUnavailable } from '../kernel/errors.ts';
import type { Clock } from '../ports/clock.ts';
import { createLru } from '../ports/lru.ts';
import { LATE, within } from '../ports/within.ts';

/** For how long a user's sessions are taken from the cache, in ms. */
const FRESH_MS = 3_000;
/** For how long, in ms, this node may still accept a command of a session that another node has ended. Older cache entries are not trusted. */
const STALE_MS = 5_000;
/** How long a query of a known session waits for the log, in ms. */
const QUERY_WAIT_MS = 1_000;
const USERS_MAX = 50_000;

/** What a session is needed for: only to read, or for anything else. */
export type Purpose = 'query' | 'command';

/** The live sessions of a user as loaded at `loadedAt`. `triedAt`: when loading them again last failed. Both are monotonic times. */
type Known = Readonly<{ loadedAt: number; triedAt: number; live: ReadonlySet<string> }>;

/**
 * Which sessions are live according to the log, at most five seconds old: an access token outlives its session on any node by no more than that.
 * When the log cannot be read for that long, it throws `unavailable`; only queries of sessions that were live when it was last read continue
 * (docs/decisions/0009).
 */
export class LiveSessions {
  readonly #known = createLru<Known>(USERS_MAX);
  readonly #loading = new Map<string, Promise<Known>>();
  readonly #commands: CommandHandler;
  readonly #clock: Clock;

  constructor(deps: { commands: CommandHandler; clock: Clock }) {
    this.#commands = deps.commands;
    this.#clock = deps.clock;
  }

  async isLive(userId: string, sessionId: string, purpose: Purpose): Promise<boolean> {
    const known = this.#known.get(userId);
    if (!known?.live.has(sessionId)) return this.#isLiveInLog(userId, sessionId);
    const since = purpose === 'query' ? Math.max(known.loadedAt, known.triedAt) : known.loadedAt;
    if (this.#clock.monotonic() - since < FRESH_MS) return true;
    return purpose === 'query'
      ? this.#refreshForQuery(userId, sessionId, known)
      : this.#refreshForCommand(userId, sessionId, known);
  }

  /** The user's sessions were changed by this node: they are loaded again for the next call. */
  forget(userId: string): void {
    this.#known.delete(userId);
    this.#loading.delete(userId);
  }

  async #refreshForCommand(userId: string, sessionId: string, known: Known): Promise<boolean> {
    try {
      return await this.#isLiveInLog(userId, sessionId);
    } catch (error) {
      // The time now counts, not the time of the call: it may have taken long until the log was given up.
      if (isUnavailable(error) && this.#clock.monotonic() - known.loadedAt < STALE_MS) return true;
      throw error;
    }
  }

  /** What is known holds until the log says otherwise. The wait for the log is short; a later result is used by later calls. */
  async #refreshForQuery(userId: string, sessionId: string, known: Known): Promise<boolean> {
    try {
      const isLive = await within(this.#clock, QUERY_WAIT_MS, this.#isLiveInLog(userId, sessionId));
      if (isLive !== LATE) return isLive;
    } catch (error) {
      if (!isUnavailable(error)) throw error;
    }
    if (this.#known.get(userId) === known) this.#known.set(userId, { ...known, triedAt: this.#clock.monotonic() });
    return true;
  }

  async #isLiveInLog(userId: string, sessionId: string): Promise<boolean> {
    // A load in progress may have begun before the session was started, so only a positive result of it counts.
    const shared = await this.#loading.get(userId);
    if (shared?.live.has(sessionId)) return true;
    return (await this.#load(userId)).live.has(sessionId);
  }

  async #load(userId: string): Promise<Known> {
    const inProgress = this.#loading.get(userId);
    if (inProgress !== undefined) return inProgress;
    const loading = this.#read(userId);
    this.#loading.set(userId, loading);
    try {
      const known = await loading;
      // After a `forget`, the result may be from before the change.
      if (this.#loading.get(userId) === loading) this.#known.set(userId, known);
      return known;
    } finally {
      if (this.#loading.get(userId) === loading) this.#loading.delete(userId);
    }
  }

  async #read(userId: string): Promise<Known> {
    const loadedAt = this.#clock.monotonic();
    const at = new Date(this.#clock.now()).toISOString();
    const [{ state: userState }, { state }] = await Promise.all([
      this.#commands.load(user, userId, 'fresh'),
      this.#commands.load(sessions, userId, 'fresh'),
    ]);
    const account = activeAccountOf(userState);
    const live = state.open.filter(
      ({ sessionId, startedAt }) =>
        account !== null && startedAt >= account.passwordSetAt && liveSession(state, sessionId, at) !== undefined,
    );
    return { loadedAt, triedAt: loadedAt, live: new Set(live.map(({ sessionId }) => sessionId)) };
  }
}
