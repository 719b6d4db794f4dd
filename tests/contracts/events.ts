import { randomBytes, randomUUID } from 'node:crypto';
import type { EventMetadata, NewEvent } from '../../src/kernel/event.ts';
import type { JsonObject } from '../../src/kernel/json.ts';
import type { EventDefinition, EventRegistry } from '../../src/kernel/registry.ts';

/** A definition whose data must have these fields of these types; others may come along. */
function define(
  fields: Record<string, 'string' | 'number'>,
  upcasters: EventDefinition['upcasters'] = [],
): EventDefinition {
  return {
    version: upcasters.length + 1,
    upcasters,
    check(data) {
      const wrong = Object.entries(fields).find(([field, type]) => typeof (data as JsonObject)[field] !== type);
      return wrong === undefined ? null : `/${wrong[0]} must be a ${wrong[1]}`;
    },
  };
}

const addressOfToday = define({ street: 'string', city: 'string', country: 'string' }, [
  ({ line, ...rest }) => {
    const [street = '', city = ''] = String(line).split(', ');
    return { ...rest, street, city };
  },
  (data) => ({ ...data, country: 'unknown' }),
]);

const definitions = new Map<string, EventDefinition>([
  ['NoteTaken', define({ text: 'string' })],
  // Its name starts with that of another type.
  ['NoteTakenBack', define({ text: 'string' })],
  ['NumberDrawn', define({ n: 'number' })],
  ['AddressGiven', addressOfToday],
]);

/** The types of events that the contract suite appends. Adapters under test are opened with it, and ask it at every append and read. */
export const testRegistry: EventRegistry = definitions;

/** Runs `write` with the registry as it was when `AddressGiven` was at its first version: `{ line: 'street, city' }`. */
export async function asOlderProgram<Result>(write: () => Promise<Result>): Promise<Result> {
  definitions.set('AddressGiven', define({ line: 'string' }));
  try {
    return await write();
  } finally {
    definitions.set('AddressGiven', addressOfToday);
  }
}

/** An event with an id and metadata of its own. */
export function newEvent(type: string, data: JsonObject, metadata: Partial<EventMetadata> = {}): NewEvent {
  return {
    type,
    data,
    id: randomUUID(),
    metadata: { actor: null, correlationId: randomUUID(), causationId: null, commandId: randomUUID(), ...metadata },
  };
}

export const note = (text: string): NewEvent => newEvent('NoteTaken', { text });

/** As many notes as asked for: `<text> 0`, `<text> 1` and so on. */
export const notes = (count: number, text = 'note'): NewEvent[] =>
  Array.from({ length: count }, (_, n) => note(`${text} ${n}`));

/** A category that no other test uses, also on a log that many share. */
export const newCategory = (): string => `t${randomBytes(8).toString('hex')}`;

/** A stream that no other test uses. */
export const newStream = (category: string = newCategory()): string => `${category}-${randomBytes(6).toString('hex')}`;
