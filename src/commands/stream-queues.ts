import type { Command } from '../kernel/command.ts';
import type { Aggregate } from '../kernel/decider.ts';
import type { Event } from '../kernel/event.ts';
import type { Timer } from '../ports/clock.ts';
import type { HandleOptions } from './command-handler.ts';
import { Job, type Search } from './job.ts';
import { unavailable } from './refusals.ts';
import { StreamQueue, type TurnDeps } from './stream-queue.ts';

/** Commands that may wait for one stream, and altogether. */
const WAITING_MAX = { perStream: 2_048, altogether: 20_000 };
/** How long a caller waits for the outcome of a command, in ms. */
export const COMMAND_MS = 10_000;
/** How often the queues are searched for commands whose deadline has passed or whose client has left, in ms. */
const SWEEP_MS = 500;

/** The commands that wait on this node, by the stream they wait for. */
export class StreamQueues {
  readonly #deps: TurnDeps;
  // biome-ignore lint/suspicious/noExplicitAny: each queue has its own aggregate's types; only here do they meet
  readonly #queues = new Map<string, StreamQueue<any, any, any>>();
  readonly #onSettled = (): void => void this.#waiting--;
  #waiting = 0;
  #closed = false;
  #timer: Timer | null = null;

  constructor(deps: TurnDeps) {
    this.#deps = deps;
  }

  /** Queues a command. `deadline`: see `Job`, by default `COMMAND_MS` from now. */
  add<State, C extends Command<string, unknown>, E extends Event>(
    aggregate: Aggregate<State, C, E>,
    stream: string,
    { command, options }: { command: C; options: HandleOptions },
    { deadline, search = null }: { deadline?: number; search?: Search | null } = {},
  ): Job<C> {
    const { clock } = this.#deps;
    const job = new Job(command, options, {
      deadline: deadline ?? clock.monotonic() + COMMAND_MS,
      search,
      onSettled: this.#onSettled,
    });
    const queue = this.#queues.get(stream) ?? this.#create(aggregate, stream);
    const isFull = this.#waiting >= WAITING_MAX.altogether || queue.length >= WAITING_MAX.perStream;
    this.#waiting++;
    if (this.#closed || isFull) {
      job.reject(unavailable('too many commands are waiting; try again'));
      return job;
    }
    this.#queues.set(stream, queue);
    this.#timer ??= clock.after(SWEEP_MS, () => this.#sweep());
    queue.add(job);
    return job;
  }

  /** Waits for the commands in progress, and takes no more. */
  async close(): Promise<void> {
    this.#closed = true;
    while (this.#queues.size > 0) await Promise.all([...this.#queues.values()].map((queue) => queue.idle));
    this.#timer?.cancel();
  }

  #create<State, C extends Command<string, unknown>, E extends Event>(
    aggregate: Aggregate<State, C, E>,
    stream: string,
  ): StreamQueue<State, C, E> {
    return new StreamQueue(this.#deps, aggregate, stream, () => this.#queues.delete(stream));
  }

  #sweep(): void {
    const { clock } = this.#deps;
    const now = clock.monotonic();
    for (const queue of this.#queues.values()) queue.sweep(now);
    this.#timer = this.#queues.size === 0 ? null : clock.after(SWEEP_MS, () => this.#sweep());
  }
}
