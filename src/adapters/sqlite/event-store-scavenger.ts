import type { StoreError } from '../../kernel/errors.ts';
import type { Logger } from '../../kernel/logger.ts';
import type { Clock, Timer } from '../../ports/clock.ts';
import type { GroupCommit } from './event-store-group-commit.ts';
import type { RetentionRules } from './event-store-retention.ts';

const INTERVAL_MS = 60_000;
/** Rows that one step counts as within a group. */
const STEP_ROWS = 256;

/** Removes records in the background as the retention of streams allows, in small steps between the appends, so that none of them waits long. */
export class Scavenger {
  readonly #commits: GroupCommit;
  readonly #rules: RetentionRules;
  readonly #logger: Logger;
  readonly #timer: Timer;
  #running: Promise<number> | null = null;
  #stopped = false;

  constructor(deps: { commits: GroupCommit; rules: RetentionRules; clock: Clock; logger: Logger }) {
    this.#commits = deps.commits;
    this.#rules = deps.rules;
    this.#logger = deps.logger;
    this.#timer = deps.clock.every(INTERVAL_MS, () => this.#runAndLog());
  }

  /** Removes all records that may be removed now, and resolves with their number. Joins a run in progress. */
  run(): Promise<number> {
    this.#running ??= this.#run().finally(() => {
      this.#running = null;
    });
    return this.#running;
  }

  /** A run in progress ends after its current step. */
  stop(): void {
    this.#stopped = true;
    this.#timer.cancel();
  }

  #runAndLog(): void {
    this.run().catch((error: unknown) => this.#logger.warn({ err: error }, 'scavenging the event store failed'));
  }

  async #run(): Promise<number> {
    let total = 0;
    while (!this.#stopped) {
      const { removed, more } = await this.#step();
      total += removed;
      if (!more) break;
    }
    return total;
  }

  #step(): Promise<{ removed: number; more: boolean }> {
    return new Promise((resolve, reject) => {
      let outcome = { removed: 0, more: false };
      this.#commits.submit({
        rows: STEP_ROWS,
        bytes: 0,
        run: () => {
          outcome = this.#rules.step();
        },
        done: () => resolve(outcome),
        failed: (error: StoreError) => reject(error),
      });
    });
  }
}
