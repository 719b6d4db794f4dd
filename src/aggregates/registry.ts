import { Compile } from 'typebox/compile';
import type { EventDefinition, EventRegistry } from '../kernel/event-definition.ts';
import { claimEvents } from './claim/events.ts';
import { conversationEvents } from './conversation/events.ts';
import type { EventSpec } from './event-spec.ts';
import { installationEvents } from './installation/events.ts';
import { marksEvents } from './marks/events.ts';
import { reservationEvents } from './reservation/events.ts';
import { sessionsEvents } from './sessions/events.ts';
import { userEvents } from './user/events.ts';

function define({ schema, personal, upcasters, erases }: EventSpec): EventDefinition {
  const validator = Compile(schema);
  return {
    version: upcasters.length + 1,
    upcasters,
    personal,
    erases,
    check(data) {
      if (validator.Check(data)) return null;
      const [first] = validator.Errors(data);
      return first === undefined ? 'does not match the schema' : `${first.instancePath || '/'} ${first.message}`;
    },
  };
}

/** Every event that Parley appends, by its type. */
export const eventRegistry: EventRegistry = new Map(
  Object.entries({
    ...userEvents,
    ...reservationEvents,
    ...sessionsEvents,
    ...conversationEvents,
    ...marksEvents,
    ...claimEvents,
    ...installationEvents,
  }).map(([type, spec]) => [type, define(spec)]),
);
