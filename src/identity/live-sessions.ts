import { LRUCache } from 'lru-cache';
import { liveSession, sessions } from '../aggregates/sessions/decider.ts';
import { user } from '../aggregates/user/decider.ts';
import type { CommandHandler } from '../commands/command-handler.ts';
import { isStoreError, Refusal } from '../kernel/errors.ts';
import type { Clock } from '../ports/clock.ts';

/** After so long, in ms, what is known of a user's sessions is looked up again. */
const FRESH_MS = 3_000;
/** The longest, in ms, that a session ended by another node may still be taken for live here. Beyond it nothing known is believed. */
const STALE_MS = 5_000;
const USERS_MAX = 50_000;

/** The live sessions of a user, as of `lookedAt` (monotonic). */
type Known = Readonly<{ lookedAt: number; live: ReadonlySet<string> }>;

/**
 * Which sessions are live, by the log and no older than five seconds: for no longer does an access token outlive its session on any node.
 * When the log could not be read for that long, it throws `unavailable`.
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

  async isLive(userId: string, sessionId: string): Promise<boolean> {
    const known = this.known.get(userId);
    const age = known === undefined ? Number.POSITIVE_INFINITY : this.clock.monotonic() - known.lookedAt;
    if (known?.live.has(sessionId) && age < FRESH_MS) return true;
    try {
      // A look that is under way may have begun before the session did; only its yes counts.
      const shared = await this.looking.get(userId);
      if (shared?.live.has(sessionId)) return true;
      return (await this.look(userId)).live.has(sessionId);
    } catch (error) {
      if (known?.live.has(sessionId) && age < STALE_MS && isAway(error)) return true;
      throw error;
    }
  }

  /** Something changed for this user on this node: the next answer comes from the log. */
  forget(userId: string): void {
    this.known.delete(userId);
    this.looking.delete(userId);
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
    return { lookedAt, live: new Set(live.map(({ sessionId }) => sessionId)) };
  }
}

function isAway(error: unknown): boolean {
  return isStoreError(error, 'UNAVAILABLE') || (error instanceof Refusal && error.code === 'unavailable');
}
