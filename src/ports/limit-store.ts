import type { JsonObject } from '../kernel/json.ts';

/**
 * Counts of what guards accounts (sign-ins, registrations, mails), shared by all nodes. A state expires by itself. Losing one is harmless: its count
 * starts again.
 * The adapters are tested by `tests/contracts/limits.ts`, which has no options per adapter.
 *
 * Every method may throw `StoreError` with `UNAVAILABLE` or `CLOSED`. A change that fails with `UNAVAILABLE` may have been done nevertheless.
 */
export interface LimitStore {
  /** The states of these keys (at most 16) in their order, `null` for those that do not exist or expired, and the time. */
  read(keys: readonly LimitKey[]): Promise<LimitStates>;

  /**
   * Changes the state of a key atomically: no other change, of any node, takes effect between the state that `change` received and the one that it
   * returned. `change` is pure and may be called several times. Returns its last result.
   */
  update<Result>(key: LimitKey, change: Change<Result>): Promise<Result>;

  /** Releases all resources. May be called twice. */
  close(): Promise<void>;
}

/** A store that always answers: from the counts of all nodes, or from those of this node alone while they are unavailable. */
export interface SharedLimits extends LimitStore {
  /** For how long this node has been without the counts of the others, in ms; 0 when it has them. */
  awayMs(): number;
}

/** `kind`: the limit, one of a fixed number. `id`: what it counts, such as a network; at most 512 characters. */
export type LimitKey = Readonly<{ kind: string; id: string }>;

/** `now`: ms from an arbitrary start that is the same for all nodes. */
export type LimitStates = Readonly<{ states: readonly (JsonObject | null)[]; now: number }>;

/** @param state `null` when there is none, or it expired */
export type Change<Result> = (state: JsonObject | null, now: number) => Changed<Result>;

/** `next`: the state from now on, at most 16 KB, and for how many ms it is kept without another change. `null` removes it; without it, it stays. */
export type Changed<Result> = Readonly<{
  result: Result;
  next?: Readonly<{ state: JsonObject; keepMs: number }> | null;
}>;

/** Maximum number of keys of one `read`. */
export const LIMIT_KEYS_MAX = 16;
