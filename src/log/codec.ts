import { isStoreError, StoreError } from '../kernel/errors.ts';
import type { NewEvent, RecordedEvent } from '../kernel/event.ts';
import type { EventDefinition, EventRegistry } from '../kernel/event-definition.ts';
import type { Json, JsonObject } from '../kernel/json.ts';
import type { NewRecord, StoredRecord } from '../ports/event-store.ts';
import type { Random } from '../ports/random.ts';
import { checkAppendSize, checkEventCount, checkEventId } from './checks.ts';
import type { PersonalKey, PersonalKeys } from './personal-keys.ts';
import {
  openFields,
  personalFieldsOf,
  SEALED,
  SEALED_FORM,
  type SealedEntry,
  sealedEntriesOf,
  sealFields,
  toJson,
} from './sealed-fields.ts';

/** Events as they are stored. Made by `Codec.encode`; appending them again appends the same. */
export class EncodedEvents {
  readonly records: readonly NewRecord[];

  constructor(records: readonly NewRecord[]) {
    this.records = records;
  }
}

/** A record with its parsed data. */
type Parsed = Readonly<{ record: StoredRecord; data: JsonObject; sealed: readonly SealedEntry[] | null }>;

/**
 * Between events and records: checks the schema, seals and opens personal fields, and brings old versions up to date. What needs no key that would
 * have to be read is done at once, without a promise.
 */
export class Codec {
  readonly #registry: EventRegistry;
  readonly #keys: PersonalKeys;
  readonly #random: Random;
  readonly #listeners: ((personId: string) => void)[] = [];
  /** Types of events that erase a person. */
  readonly erasingTypes: ReadonlySet<string>;

  constructor(deps: { registry: EventRegistry; keys: PersonalKeys; random: Random }) {
    this.#registry = deps.registry;
    this.#keys = deps.keys;
    this.#random = deps.random;
    this.erasingTypes = new Set([...deps.registry].filter(([, { erases }]) => erases !== null).map(([type]) => type));
  }

  /** See `EventLog.onErased`. */
  onErased(listener: (personId: string) => void): void {
    this.#listeners.push(listener);
  }

  /** See `EventLog.admit`. */
  admit(events: readonly NewEvent[]): StoreError | null | Promise<StoreError | null> {
    try {
      checkEventCount(events.length);
      const missing = new Set<string>();
      for (const event of events) this.#admitOne(event, missing);
      return missing.size === 0 ? null : this.#fetch(missing);
    } catch (error) {
      if (isStoreError(error)) return error;
      throw error;
    }
  }

  /** See `EventLog.encode`. */
  encode(events: readonly NewEvent[]): EncodedEvents | Promise<EncodedEvents> {
    const admitted = this.admit(events);
    if (admitted instanceof Promise) return admitted.then((error) => this.#encodeUnless(error, events));
    return this.#encodeUnless(admitted, events);
  }

  /**
   * The events of records. A promise only where keys have to be read; it rejects with `UNAVAILABLE` when that fails. With `omit`, sealed fields are
   * `null`, and no key is needed.
   */
  decode(
    records: readonly StoredRecord[],
    personal: 'open' | 'omit' = 'open',
  ): readonly RecordedEvent[] | Promise<readonly RecordedEvent[]> {
    const parsed: Parsed[] = [];
    // Held here, because a key may leave the cache while others are read.
    const keys = new Map<string, PersonalKey>();
    const missing = new Set<string>();
    for (const record of records) {
      const one = parse(record);
      parsed.push(one);
      if (personal === 'omit') continue;
      for (const [personField] of one.sealed ?? []) {
        const personId = one.data[personField];
        if (typeof personId !== 'string') continue;
        const key = this.#keys.cached(personId);
        if (key === undefined) missing.add(personId);
        else keys.set(personId, key);
      }
    }
    if (missing.size === 0) return parsed.map((one) => this.#finish(one, keys));
    return this.#keys.read(missing).then((read) => {
      for (const [personId, key] of read) keys.set(personId, key);
      return parsed.map((one) => this.#finish(one, keys));
    });
  }

  #admitOne(event: NewEvent, missing: Set<string>): void {
    const definition = this.#definitionOf(event);
    checkEventId(event.id);
    const wrong = definition.check(event.data);
    if (wrong !== null) throw new StoreError('INVALID', `event '${event.type}' does not match its schema: ${wrong}`);
    for (const { personId } of personalFieldsOf(definition, event.data).values()) {
      const key = this.#keys.cached(personId);
      if (key === undefined) missing.add(personId);
      else if (key === null) throw erased();
    }
  }

  async #fetch(missing: ReadonlySet<string>): Promise<StoreError | null> {
    try {
      const keys = await Promise.all([...missing].map((personId) => this.#keys.create(personId)));
      return keys.includes(null) ? erased() : null;
    } catch (error) {
      if (!isStoreError(error)) throw error;
      const message = 'a personal key cannot be read, so nothing can be sealed under it';
      return error.code === 'UNAVAILABLE' ? new StoreError('UNAVAILABLE', message, { cause: error }) : error;
    }
  }

  #encodeUnless(error: StoreError | null, events: readonly NewEvent[]): EncodedEvents {
    if (error !== null) throw error;
    const records = events.map((event) => this.#encodeOne(event));
    checkAppendSize(records);
    return new EncodedEvents(records);
  }

  #encodeOne({ id, type, data, metadata }: NewEvent): NewRecord {
    const definition = this.#definitionOf({ type });
    let stored: Record<string, Json | undefined> = data;
    const entries: SealedEntry[] = [];
    for (const [personField, { personId, fields }] of personalFieldsOf(definition, data)) {
      const key = this.#keys.cached(personId);
      // Keys were read before; one may have left the cache, or the person may have been erased, in between.
      if (key === undefined) throw new StoreError('UNAVAILABLE', 'a personal key is not in memory any more');
      if (key === null) throw erased();
      if (stored === data) stored = { ...data };
      // JSON leaves out what is undefined.
      for (const field of fields) stored[field] = undefined;
      entries.push(sealFields(key, { id, type }, personField, fields, data, this.#random));
    }
    if (entries.length > 0) stored[SEALED] = [SEALED_FORM, ...entries];
    return { id, type, schemaVersion: definition.version, data: toJson(stored), metadata, source: data };
  }

  #finish({ record, data: stored, sealed }: Parsed, keys: Map<string, PersonalKey>): RecordedEvent {
    try {
      const data = sealed === null ? stored : opened(record, stored, sealed, keys);
      const definition = this.#registry.get(record.type);
      // A type that this program does not know was written by a newer node; it is returned as it is.
      if (definition === undefined || record.schemaVersion >= definition.version) {
        return this.#observe(recorded(record, data, record.schemaVersion), keys);
      }
      return this.#observe(recorded(record, upcast(definition, record.schemaVersion, data), definition.version), keys);
    } catch (cause) {
      throw new StoreError('UNAVAILABLE', `the event at position ${record.position} cannot be decoded`, { cause });
    }
  }

  /** An erased person's key must not outlive its event, neither in this node's memory nor for what follows in the batch. */
  #observe(event: RecordedEvent, keys: Map<string, PersonalKey>): RecordedEvent {
    if (!this.erasingTypes.has(event.type)) return event;
    const personId = event.data[this.#registry.get(event.type)?.erases ?? ''];
    if (typeof personId !== 'string') return event;
    this.#keys.forget(personId);
    keys.delete(personId);
    for (const listener of this.#listeners) listener(personId);
    return event;
  }

  #definitionOf({ type }: Pick<NewEvent, 'type'>): EventDefinition {
    const definition = this.#registry.get(type);
    if (definition === undefined) throw new StoreError('INVALID', `unknown event type '${type}'`);
    return definition;
  }
}

const erased = (): StoreError => new StoreError('ERASED', 'the personal key was destroyed: this person was erased');

function parse(record: StoredRecord): Parsed {
  // Appended in this process: there is nothing to parse or to open.
  if (record.source !== undefined) return { record, data: record.source as JsonObject, sealed: null };
  try {
    const data: unknown = JSON.parse(record.data);
    if (typeof data !== 'object' || data === null || Array.isArray(data)) throw new Error('its data is not an object');
    return { record, data: data as JsonObject, sealed: sealedEntriesOf(data as JsonObject) };
  } catch (cause) {
    throw new StoreError('UNAVAILABLE', `the event at position ${record.position} is damaged`, { cause });
  }
}

/** The data of a record with its sealed fields; `null` in those of persons without a key. */
function opened(
  record: StoredRecord,
  data: JsonObject,
  sealed: readonly SealedEntry[],
  keys: ReadonlyMap<string, PersonalKey>,
): JsonObject {
  const { [SEALED]: _, ...fields } = data as Record<string, Json>;
  for (const entry of sealed) {
    const [personField, names] = entry;
    const personId = data[personField];
    if (typeof personId !== 'string') throw new Error(`'${personField}' does not contain the id of a person`);
    const key = keys.get(personId) ?? null;
    const values = key === null ? null : openFields(key, record, entry);
    for (const [index, field] of names.split(',').entries()) fields[field] = values?.[index] ?? null;
  }
  return fields;
}

function upcast({ upcasters }: EventDefinition, storedVersion: number, data: JsonObject): JsonObject {
  return upcasters.slice(storedVersion - 1).reduce((older, upcaster) => upcaster(older), data);
}

function recorded(record: StoredRecord, data: JsonObject, schemaVersion: number): RecordedEvent {
  const { type, id, stream, revision, position, recordedAt, metadata } = record;
  return { type, data, id, schemaVersion, stream, revision, position, recordedAt, metadata };
}
