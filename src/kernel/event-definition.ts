import type { JsonObject } from './json.ts';

/** What the event log needs to know of one type of event; see `src/log/codec.ts`. */
export type EventDefinition = Readonly<{
  /** Current version of the data's schema, from 1. */
  version: number;
  /** `null` when `data` fits the current schema, else what is wrong with it, in words that carry no value of it. */
  check(data: unknown): string | null;
  /**
   * The upcaster at index `i` turns data of version `i + 1` into data of version `i + 2`. Pure, and total also where a personal field is `null`
   * because the person was erased.
   */
  upcasters: readonly ((data: JsonObject) => JsonObject)[];
  /**
   * Personal fields by name, each with the field that holds the id of the person it is about. They are stored sealed under that person's key, and
   * read as `null` once the key was destroyed. A field that is `null` by itself, or whose person is `null`, is stored as it is.
   */
  personal: Readonly<Record<string, string>>;
  /** The field with the id of the person whom this event erases. */
  erases: string | null;
}>;

/** Every type of event that may be appended, by its name. */
export type EventRegistry = ReadonlyMap<string, EventDefinition>;
