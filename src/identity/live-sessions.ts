import { LRUCache } from 'lru-cache';
import { liveSession, sessions } from '../aggregates/sessions/decider.ts';
import { user } from '../aggregates/user/decider.ts';
import type { CommandHandler } from '../commands/command-handler.ts';
import { isStoreError, Refusal } from '../kernel/errors.ts';
import type { Clock } from '../ports/clock.ts';

/** After so long, in ms, what is known of a user's sessions is looked up again. */
const FRESH_MS = 3_000;
/** The longest, in ms, that a command of a session ended by another node may still be taken here. Beyond it nothing known is believed. */
const STALE_MS = 5_000;
/** How long a query of a known session waits for the log, in ms. */
const QUERY_WAIT_MS = 1_000;
const USERS_MAX = 50_000;

/** What a session is needed for: to read, or to do anything else. */
export type Purpose = 'query' | 'command';

/** The live sessions of a user, as of `lookedAt`; the log was asked since, in vain, at `triedAt`. Both on the monotonic clock. */
type Known = Readonly<{ lookedAt: number; triedAt: number; live: ReadonlySet<string> }>;

/**
 * Which sessions are live, by the log and no older than five seconds: for no longer does an access token outlive its session on any node.
 * When the log could not be read for that long, it throws `unavailable`; only queries of sessions that were live when it last could be read go on
 * (docs/decisions/0009).
 */
export class LiveSessions {
  private readonly known = new LRUCache<string, Known>({ max: USERS_MAX });
  private readonly looking = new Map<string, Promise<Known>>();
  private readonly commands: CommandHandler;
  private readonly clock: Clock;

  constructor(deps: { commands: CommandHandler; clock: Clock }) {
    this.commands = deps.commands;
    this.clock = deps.clock;
  }

  async isLive(userId: string, sessionId: string, purpose: Purpose): Promise<boolean> {
    const known = this.known.get(userId);
    if (!known?.live.has(sessionId)) return this.ask(userId, sessionId);
    const since = purpose === 'query' ? Math.max(known.lookedAt, known.triedAt) : known.lookedAt;
    if (this.clock.monotonic() - since < FRESH_MS) return true;
    return purpose === 'query'
      ? this.askForQuery(userId, sessionId, known)
      : this.askForCommand(userId, sessionId, known);
  }

  /** Something changed for this user on this node: the next answer comes from the log. */
  forget(userId: string): void {
    this.known.delete(userId);
    this.looking.delete(userId);
  }

  private async askForCommand(userId: string, sessionId: string, known: Known): Promise<boolean> {
    try {
      return await this.ask(userId, sessionId);
    } catch (error) {
      // By now, and not by when it was asked: a silent log may have taken long to be given up.
      if (isAway(error) && this.clock.monotonic() - known.lookedAt < STALE_MS) return true;
      throw error;
    }
  }

  /** What is known stands until the log says otherwise. It is waited for, but not long; an answer that comes later counts from then on. */
  private async askForQuery(userId: string, sessionId: string, known: Known): Promise<boolean> {
    const asked = this.ask(userId, sessionId);
    // Nobody may be waiting for it any more when it fails.
    asked.catch(() => {});
    const answered = new AbortController();
    const late = this.clock.sleep(QUERY_WAIT_MS, answered.signal).then(() => null);
    try {
      const answer = await Promise.race([asked, late]);
      if (answer !== null) return answer;
    } catch (error) {
      if (!isAway(error)) throw error;
    } finally {
      answered.abort();
    }
    if (this.known.get(userId) === known) this.known.set(userId, { ...known, triedAt: this.clock.monotonic() });
    return true;
  }

  /** By the log. */
  private async ask(userId: string, sessionId: string): Promise<boolean> {
    // A look that is under way may have begun before the session did; only its yes counts.
    const shared = await this.looking.get(userId);
    if (shared?.live.has(sessionId)) return true;
    return (await this.look(userId)).live.has(sessionId);
  }

  private async look(userId: string): Promise<Known> {
    const underWay = this.looking.get(userId);
    if (underWay !== undefined) return underWay;
    const looking = this.read(userId);
    this.looking.set(userId, looking);
    try {
      const known = await looking;
      // After a `forget`, what was read may be of before it.
      if (this.looking.get(userId) === looking) this.known.set(userId, known);
      return known;
    } finally {
      if (this.looking.get(userId) === looking) this.looking.delete(userId);
    }
  }

  private async read(userId: string): Promise<Known> {
    const lookedAt = this.clock.monotonic();
    const at = new Date(this.clock.now()).toISOString();
    const [{ state: account }, { state }] = await Promise.all([
      this.commands.look(user, userId, 'fresh'),
      this.commands.look(sessions, userId, 'fresh'),
    ]);
    const live = state.open.filter(
      ({ sessionId, startedAt }) =>
        account.status === 'active' &&
        startedAt >= account.passwordSetAt &&
        liveSession(state, sessionId, at) !== undefined,
    );
    return { lookedAt, triedAt: lookedAt, live: new Set(live.map(({ sessionId }) => sessionId)) };
  }
}

function isAway(error: unknown): boolean {
  return isStoreError(error, 'UNAVAILABLE') || (error instanceof Refusal && error.code === 'unavailable');
}
