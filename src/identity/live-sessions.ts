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

/** A user whose session is live, or whose account is active. `startedAt`: of the session, ms since the epoch; `null` without one. */
export type LiveUser = Readonly<{ roles: readonly string[]; startedAt: number | null }>;

/**
 * The account of a user and its live sessions as loaded at `loadedAt`, with the time of their start. `roles`: `null` when the account cannot be used.
 * `triedAt`: when loading them again last failed. Both are monotonic times.
 */
type Known = Readonly<{
  loadedAt: number;
  triedAt: number;
  roles: readonly string[] | null;
  live: ReadonlyMap<string, number>;
}>;

/**
 * Which accounts and sessions are live according to the log, at most five seconds old: an access token outlives its session, and the account, on any node
 * by no more than that. When the log cannot be read for that long, it throws `unavailable`; only queries of sessions that were live when it was last read continue
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

  /**
   * The user if the session is live, else `null`. `sessionId`: `null` for a token of an outside issuer, for which the account has to be active and
   * nothing else.
   */
  async find(userId: string, sessionId: string | null, purpose: Purpose): Promise<LiveUser | null> {
    const known = this.#known.get(userId);
    const live = liveIn(known, sessionId);
    if (known === undefined || live === null) return this.#findInLog(userId, sessionId);
    const since = purpose === 'query' ? Math.max(known.loadedAt, known.triedAt) : known.loadedAt;
    if (this.#clock.monotonic() - since < FRESH_MS) return live;
    return purpose === 'query'
      ? this.#refreshForQuery(userId, sessionId, { known, live })
      : this.#refreshForCommand(userId, sessionId, { known, live });
  }

  /** The user's sessions were changed by this node: they are loaded again for the next call. */
  forget(userId: string): void {
    this.#known.delete(userId);
    this.#loading.delete(userId);
  }

  async #refreshForCommand(userId: string, sessionId: string | null, { known, live }: Found): Promise<LiveUser | null> {
    try {
      return await this.#findInLog(userId, sessionId);
    } catch (error) {
      // The time now counts, not the time of the call: it may have taken long until the log was given up.
      if (isUnavailable(error) && this.#clock.monotonic() - known.loadedAt < STALE_MS) return live;
      throw error;
    }
  }

  /** What is known holds until the log says otherwise. The wait for the log is short; a later result is used by later calls. */
  async #refreshForQuery(userId: string, sessionId: string | null, { known, live }: Found): Promise<LiveUser | null> {
    try {
      const found = await within(this.#clock, QUERY_WAIT_MS, this.#findInLog(userId, sessionId));
      if (found !== LATE) return found;
    } catch (error) {
      if (!isUnavailable(error)) throw error;
    }
    if (this.#known.get(userId) === known) this.#known.set(userId, { ...known, triedAt: this.#clock.monotonic() });
    return live;
  }

  async #findInLog(userId: string, sessionId: string | null): Promise<LiveUser | null> {
    // A load in progress may have begun before the session was started, so only a positive result of it counts.
    const shared = await this.#loading.get(userId);
    return liveIn(shared, sessionId) ?? liveIn(await this.#load(userId), sessionId);
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
    return {
      loadedAt,
      triedAt: loadedAt,
      roles: account?.roles ?? null,
      live: new Map(live.map(({ sessionId, startedAt }) => [sessionId, Date.parse(startedAt)])),
    };
  }
}

/** What is known of a live user. */
type Found = Readonly<{ known: Known; live: LiveUser }>;

function liveIn(known: Known | undefined, sessionId: string | null): LiveUser | null {
  if (known === undefined || known.roles === null) return null;
  const startedAt = sessionId === null ? null : known.live.get(sessionId);
  return startedAt === undefined ? null : { roles: known.roles, startedAt };
}
