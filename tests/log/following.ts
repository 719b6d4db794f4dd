import { StoreError, type StoreErrorCode } from '../../src/kernel/errors.ts';
import type { RecordedEvent } from '../../src/kernel/event.ts';
import { anchorOf } from '../../src/log/anchor.ts';
import type { Checkpoint } from '../../src/log/checkpoint.ts';
import type { EventBatch, EventLog } from '../../src/log/event-log.ts';
import { Follower, type FollowerOptions } from '../../src/log/follower.ts';
import { system } from '../support/stores.ts';
import { newStream, note } from './fixtures.ts';

/** Before the first event. */
export const BEGINNING: Checkpoint = { position: null, anchor: null };

/** The checkpoint after an event. */
export const checkpointAt = (event: RecordedEvent): Checkpoint => ({
  position: event.position,
  anchor: anchorOf(event),
});

/** Appends notes to a new stream. */
export const appendTexts = (log: EventLog, ...texts: readonly string[]) =>
  log.append(newStream(), texts.map(note), { expect: 'none' });

const textsOf = (batches: readonly EventBatch[]) =>
  batches.flatMap(({ events }) => events.map(({ data }) => data.text));

/** Follows a log into memory, from a checkpoint that moves with what was handled. */
export function follow(log: EventLog, options: Partial<FollowerOptions> = {}) {
  const stop = new AbortController();
  const batches: EventBatch[] = [];
  let checkpoint = options.checkpoint?.() ?? BEGINNING;
  const follower = new Follower({
    ...system,
    name: 'test',
    log,
    ...options,
    checkpoint: () => checkpoint,
    async handle(batch) {
      const outcome = await options.handle?.(batch);
      batches.push(batch);
      const last = batch.events.at(-1);
      const anchor = last === undefined ? checkpoint.anchor : anchorOf(last);
      checkpoint = { position: batch.position, anchor };
      return outcome;
    },
  });
  const running = follower.run(stop.signal);
  running.catch(() => {});
  return { follower, batches, running, stop, texts: () => textsOf(batches) };
}

/** A clock on which all sleeps end at once, and which notes their lengths. */
export function hastyClock() {
  const sleeps: number[] = [];
  const clock = {
    ...system.clock,
    async sleep(ms: number) {
      sleeps.push(ms);
      await system.clock.nextTurn();
    },
  };
  return { clock, sleeps, random: { ...system.random, fraction: () => 1 } };
}

/** Fails as often as is left. */
export function failing(code: StoreErrorCode = 'UNAVAILABLE') {
  const state = { left: 0, failed: 0 };
  const fail = (): void => {
    if (state.left === 0) return;
    state.left--;
    state.failed++;
    throw new StoreError(code, `failure ${state.failed}, as the test wants it`);
  };
  return { state, fail };
}
