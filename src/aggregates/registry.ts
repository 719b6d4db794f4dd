import type { TObject } from 'typebox';
import { Compile } from 'typebox/compile';
import type { EventDefinition, EventRegistry } from '../kernel/registry.ts';
import { claimEvents } from './claim/events.ts';
import { conversationEvents } from './conversation/events.ts';
import { marksEvents } from './marks/events.ts';
import { reservationEvents } from './reservation/events.ts';
import { sessionsEvents } from './sessions/events.ts';
import { userEvents } from './user/events.ts';

function define(schema: TObject, upcasters: EventDefinition['upcasters'] = []): EventDefinition {
  const validator = Compile(schema);
  return {
    version: upcasters.length + 1,
    upcasters,
    check(data) {
      if (validator.Check(data)) return null;
      const [first] = validator.Errors(data);
      return first === undefined ? 'it does not fit' : `${first.instancePath || '/'} ${first.message}`;
    },
  };
}

/** Every event that Parley appends, by its type. A type whose schema changed passes its upcasters to `define`. */
export const eventRegistry: EventRegistry = new Map(
  Object.entries({
    ...userEvents,
    ...reservationEvents,
    ...sessionsEvents,
    ...conversationEvents,
    ...marksEvents,
    ...claimEvents,
  }).map(([type, schema]) => [type, define(schema)]),
);
