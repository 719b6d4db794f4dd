import { StoreError } from '../../kernel/errors.ts';
import type { JsonObject } from '../../kernel/json.ts';
import type { Clock } from '../../ports/clock.ts';
import type { Change, LimitKey, LimitStates, SharedLimits } from '../../ports/limit-store.ts';
import { createLru } from '../../ports/lru.ts';

/** States kept per kind: about 20 MB when full. */
const KEYS_MAX = 100_000;

type Entry = Readonly<{ state: JsonObject; expiresAt: number }>;

export type MemoryLimitsOptions = Readonly<{
  clock: Pick<Clock, 'monotonic'>;
  /** States kept per kind; of more, the ones used least recently are dropped. */
  keysMax?: number;
}>;

/** Limits of a single process. They are lost when it ends. */
export function createMemoryLimits({ clock, keysMax = KEYS_MAX }: MemoryLimitsOptions): SharedLimits {
  return new Limits(clock, keysMax);
}

class Limits implements SharedLimits {
  /** By kind: one that a stranger fills displaces no other. */
  readonly #entries = new Map<string, ReturnType<typeof createLru<Entry>>>();
  readonly #clock: Pick<Clock, 'monotonic'>;
  readonly #keysMax: number;
  #isClosed = false;

  constructor(clock: Pick<Clock, 'monotonic'>, keysMax: number) {
    this.#clock = clock;
    this.#keysMax = keysMax;
  }

  async read(keys: readonly LimitKey[]): Promise<LimitStates> {
    this.#requireOpen();
    const now = this.#clock.monotonic();
    return { states: keys.map((key) => this.#stateOf(key, now)), now };
  }

  async update<Result>(key: LimitKey, change: Change<Result>): Promise<Result> {
    this.#requireOpen();
    const now = this.#clock.monotonic();
    const { result, next } = change(this.#stateOf(key, now), now);
    if (next === null) this.#entriesOf(key).delete(key.id);
    else if (next !== undefined) this.#entriesOf(key).set(key.id, { state: next.state, expiresAt: now + next.keepMs });
    return result;
  }

  awayMs(): number {
    return 0;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#entries.clear();
  }

  #stateOf(key: LimitKey, now: number): JsonObject | null {
    const entry = this.#entriesOf(key).get(key.id);
    return entry !== undefined && entry.expiresAt > now ? entry.state : null;
  }

  #entriesOf({ kind }: LimitKey): ReturnType<typeof createLru<Entry>> {
    let entries = this.#entries.get(kind);
    if (entries === undefined) {
      entries = createLru<Entry>(this.#keysMax);
      this.#entries.set(kind, entries);
    }
    return entries;
  }

  #requireOpen(): void {
    if (this.#isClosed) throw new StoreError('CLOSED', 'the limit store is closed');
  }
}
