import { AlreadyClaimed, type CommandHandler } from '../commands/command-handler.ts';
import { Refusal, type RefusalCode } from '../kernel/errors.ts';
import type { Clock } from '../ports/clock.ts';
import type { Telemetry } from '../ports/telemetry.ts';
import { DURATION_BUCKETS, secondsSince } from './durations.ts';

/** `repeated`: its `Idempotency-Key` was used before, and the request starts again. `error`: it failed with anything else but a `Refusal`. */
type Outcome = 'done' | 'unchanged' | 'repeated' | RefusalCode | 'error';

/** The same command handler, with its commands measured. */
export function measureCommands(commands: CommandHandler, telemetry: Telemetry, clock: Clock): CommandHandler {
  const handled = telemetry.counter({
    name: 'parley_commands_total',
    help: 'Commands handled: done, unchanged (nothing had to change), repeated (its key was used before), or the code of the refusal.',
    labels: ['type', 'outcome'],
  });
  const duration = telemetry.histogram({
    name: 'parley_command_duration_seconds',
    help: 'Duration of commands, from when they were queued until their outcome was known.',
    labels: ['type'],
    buckets: DURATION_BUCKETS,
  });

  return {
    async handle(aggregate, id, command, options) {
      const { type } = command;
      const startedAt = clock.monotonic();
      let outcome: Outcome = 'error';
      try {
        const result = await commands.handle(aggregate, id, command, options);
        outcome = result.events.length > 0 ? 'done' : 'unchanged';
        return result;
      } catch (error) {
        if (error instanceof Refusal) outcome = error.code;
        else if (error instanceof AlreadyClaimed) outcome = 'repeated';
        throw error;
      } finally {
        duration.observe(secondsSince(clock, startedAt), { type });
        handled.add(1, { type, outcome });
      }
    },
    load: (aggregate, id, how) => commands.load(aggregate, id, how),
    close: () => commands.close(),
  };
}
