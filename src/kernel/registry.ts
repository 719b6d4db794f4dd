import { StoreError } from './errors.ts';
import type { Event } from './event.ts';
import type { JsonObject } from './json.ts';

/** How one type of event is checked when it is written and brought up to date when it is read. */
export type EventDefinition = Readonly<{
  /** Current version of the data's schema, from 1. */
  version: number;
  /** `null` when `data` fits the current schema, else what is wrong with it, in words that carry no value of it. */
  check(data: unknown): string | null;
  /** The upcaster at index `i` turns data of version `i + 1` into data of version `i + 2`. Pure. */
  upcasters: readonly ((data: JsonObject) => JsonObject)[];
}>;

/** Every type of event that may be appended, by its name. */
export type EventRegistry = ReadonlyMap<string, EventDefinition>;

/** The schema version to store an event under. Throws `INVALID` for an unknown type or data its schema refuses. */
export function checkEvent(registry: EventRegistry, event: Event): number {
  const definition = registry.get(event.type);
  if (definition === undefined) throw new StoreError('INVALID', `unknown event type '${event.type}'`);
  const wrong = definition.check(event.data);
  if (wrong !== null) throw new StoreError('INVALID', `event '${event.type}' does not fit its schema: ${wrong}`);
  return definition.version;
}

/** Stored data in its current form. A type this program does not know (a newer node wrote it) is left as it is. */
export function upcastEvent(
  registry: EventRegistry,
  type: string,
  storedVersion: number,
  data: JsonObject,
): { data: JsonObject; schemaVersion: number } {
  const definition = registry.get(type);
  if (definition === undefined || storedVersion >= definition.version) return { data, schemaVersion: storedVersion };
  const current = definition.upcasters.slice(storedVersion - 1).reduce((older, upcast) => upcast(older), data);
  return { data: current, schemaVersion: definition.version };
}
