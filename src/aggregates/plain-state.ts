import type { Command } from '../kernel/command.ts';
import type { Aggregate } from '../kernel/decider.ts';
import type { Event } from '../kernel/event.ts';
import type { Json } from '../kernel/json.ts';

/** `freeze` and `thaw` for a state that is JSON already. */
export function plainState<State extends Json>(): Pick<
  Aggregate<State, Command<string, unknown>, Event>,
  'freeze' | 'thaw'
> {
  return {
    freeze: (state) => state,
    // The version of the snapshot guarantees its shape.
    thaw: (frozen) => frozen as State,
  };
}
