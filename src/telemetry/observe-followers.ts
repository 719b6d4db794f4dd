import type { FollowerStatus } from '../log/follower.ts';
import type { Clock } from '../ports/clock.ts';
import type { Gauge, Telemetry } from '../ports/telemetry.ts';
import { LATE, within } from '../ports/within.ts';

/** How long reading the followers may take, in ms: less than the time that a scrape is usually given, also while a store does not answer. */
const READ_MS = 2_000;

/** What is shown of a follower. Its name is chosen by the program. */
export type ObservedFollower = Pick<FollowerStatus, 'name' | 'lagEvents' | 'lagMs'> & Readonly<{ state: string }>;

/**
 * Shows the followers of this node, read before each collection. A value that is `null` is not shown, nor are those of a follower that is no longer
 * listed; none are when the followers cannot be read within 2 s. Returns a function that ends it.
 */
export function observeFollowers(
  telemetry: Telemetry,
  followers: () => readonly ObservedFollower[] | Promise<readonly ObservedFollower[]>,
  clock: Clock,
): () => void {
  const labels = ['follower'] as const;
  const up = telemetry.gauge({
    name: 'parley_follower_up',
    help: '1 while the follower has reached the end of the log and follows it live, else 0.',
    labels,
  });
  const lagEvents = telemetry.gauge({
    name: 'parley_follower_lag_events',
    help: 'Events of the log that the follower has not handled yet, at most.',
    labels,
  });
  const lagSeconds = telemetry.gauge({
    name: 'parley_follower_lag_seconds',
    help: 'Age of the last event that the follower has handled while others wait, else 0.',
    labels,
  });
  let shown: ReadonlySet<string> = new Set();

  function show(current: readonly ObservedFollower[]): void {
    const names = new Set(current.map(({ name }) => name));
    for (const follower of shown) {
      if (!names.has(follower)) for (const gauge of [up, lagEvents, lagSeconds]) gauge.remove({ follower });
    }
    for (const { name, state, ...lag } of current) {
      up.set(state === 'live' ? 1 : 0, { follower: name });
      setOrRemove(lagEvents, lag.lagEvents, name);
      setOrRemove(lagSeconds, lag.lagMs === null ? null : lag.lagMs / 1_000, name);
    }
    shown = names;
  }

  return telemetry.beforeCollect(async () => {
    try {
      const current = await within(clock, READ_MS, Promise.resolve(followers()));
      if (current === LATE) throw new Error('the followers could not be read in time');
      show(current);
    } catch (error) {
      show([]);
      throw error;
    }
  });
}

function setOrRemove(gauge: Gauge<'follower'>, value: number | null, follower: string): void {
  if (value === null) gauge.remove({ follower });
  else gauge.set(value, { follower });
}
