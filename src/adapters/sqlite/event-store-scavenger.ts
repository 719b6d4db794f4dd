import type { StoreError } from '../../kernel/errors.ts';
import type { Logger } from '../../kernel/logger.ts';
import type { GroupCommit } from './event-store-group-commit.ts';
import type { RetentionRules } from './event-store-retention.ts';

const EVERY_MS = 60_000;
/** What one step weighs among the jobs of a group. */
const STEP_ROWS = 256;

/** Removes in the background what streams may forget: small steps among the appends, so that none of them waits long. */
export class Scavenger {
  readonly #commits: GroupCommit;
  readonly #rules: RetentionRules;
  readonly #logger: Logger;
  readonly #timer: NodeJS.Timeout;
  #running: Promise<number> | null = null;
  #stopped = false;

  constructor(commits: GroupCommit, rules: RetentionRules, logger: Logger) {
    this.#commits = commits;
    this.#rules = rules;
    this.#logger = logger;
    this.#timer = setInterval(() => this.#runAndLog(), EVERY_MS);
    this.#timer.unref();
  }

  /** Removes all that may go now, and says how many events that were. Joins a run that is under way. */
  run(): Promise<number> {
    this.#running ??= this.#run().finally(() => {
      this.#running = null;
    });
    return this.#running;
  }

  /** A run that is under way ends after its step. */
  stop(): void {
    this.#stopped = true;
    clearInterval(this.#timer);
  }

  #runAndLog(): void {
    this.run().catch((error: unknown) =>
      this.#logger.warn({ err: error }, 'what streams may forget could not be removed'),
    );
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
