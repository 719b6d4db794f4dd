import { randomBytes, randomUUID } from 'node:crypto';
import { onTestFinished } from 'vitest';
import { openSqliteEventStore, type SqliteEventStore } from '../../src/adapters/sqlite/event-store.ts';
import { openSqliteKeys } from '../../src/adapters/sqlite/keys.ts';
import type { EventMetadata, NewEvent, RecordedEvent } from '../../src/kernel/event.ts';
import type { EventDefinition, EventRegistry } from '../../src/kernel/event-definition.ts';
import type { JsonObject } from '../../src/kernel/json.ts';
import { createEventLog } from '../../src/log/create-event-log.ts';
import type { EventBatch, EventLog, Subscribe } from '../../src/log/event-log.ts';
import { PersonalKeys } from '../../src/log/personal-keys.ts';
import type { Clock } from '../../src/ports/clock.ts';
import type { EventStore, StoredRecord } from '../../src/ports/event-store.ts';
import type { KeyStore } from '../../src/ports/keys.ts';
import type { Random } from '../../src/ports/random.ts';
import { SERVER_SECRET, system } from '../support/stores.ts';

type FieldType = 'string' | 'number' | 'string or null';

/** A definition whose data must have these fields of these types, and may have others. */
function define(fields: Record<string, FieldType>, more: Partial<EventDefinition> = {}): EventDefinition {
  const { upcasters = [] } = more;
  return {
    version: upcasters.length + 1,
    personal: {},
    erases: null,
    ...more,
    upcasters,
    check(data) {
      const fits = ([field, type]: [string, FieldType]): boolean => {
        const value = (data as JsonObject)[field];
        return type === 'string or null' ? value === null || typeof value === 'string' : typeof value === type;
      };
      const wrong = Object.entries(fields).find((entry) => !fits(entry));
      return wrong === undefined ? null : `/${wrong[0]} must be a ${wrong[1]}`;
    },
  };
}

const oldAddress = define({ line: 'string' });
const currentAddress = define(
  { street: 'string', city: 'string', country: 'string' },
  {
    upcasters: [
      ({ line, ...rest }) => {
        const [street = '', city = ''] = String(line).split(', ');
        return { ...rest, street, city };
      },
      (data) => ({ ...data, country: 'unknown' }),
    ],
  },
);

/** Version 1 had one text, in which the erasure leaves `null`. */
const profile = define(
  { personId: 'string', first: 'string or null', last: 'string or null' },
  {
    personal: { first: 'personId', last: 'personId' },
    upcasters: [
      ({ name, ...rest }) => {
        const [first = null, last = null] = typeof name === 'string' ? name.split(' ') : [];
        return { ...rest, first, last };
      },
    ],
  },
);
const oldProfile = define({ personId: 'string', name: 'string' }, { personal: { name: 'personId' } });

/** The types of events in these tests. */
export const testRegistry: EventRegistry = new Map([
  ['NoteTaken', define({ text: 'string' })],
  // Its name starts with that of another type.
  ['NoteTakenBack', define({ text: 'string' })],
  ['NumberDrawn', define({ n: 'number' })],
  ['AddressGiven', currentAddress],
  [
    'LetterSent',
    define(
      { senderId: 'string or null', receiverId: 'string or null', stamp: 'number' },
      { personal: { subject: 'senderId', text: 'senderId', answer: 'receiverId' } },
    ),
  ],
  ['ProfileGiven', profile],
  ['PersonErased', define({ personId: 'string' }, { erases: 'personId' })],
]);

/** As it was when `AddressGiven` and `ProfileGiven` had their first versions: `{ line: 'street, city' }`, `{ name: 'first last' }`. */
export const olderRegistry: EventRegistry = new Map([
  ...testRegistry,
  ['AddressGiven', oldAddress],
  ['ProfileGiven', oldProfile],
]);

/** An event with its own id, and metadata that is generated except for what is given. */
export function newEvent(type: string, data: JsonObject, metadata: Partial<EventMetadata> = {}): NewEvent {
  return {
    type,
    data,
    id: randomUUID(),
    metadata: { actor: null, correlationId: randomUUID(), causationId: null, commandId: randomUUID(), ...metadata },
  };
}

export const note = (text: string): NewEvent => newEvent('NoteTaken', { text });

/** `count` notes: `<text> 0`, `<text> 1` and so on. */
export const notes = (count: number, text = 'note'): NewEvent[] =>
  Array.from({ length: count }, (_, n) => note(`${text} ${n}`));

/** A stream that no other test uses. */
export const newStream = (category = 't'): string => `${category}-${randomBytes(6).toString('hex')}`;

/** The store as another process sees it: records without the objects that they were made from. */
export function withoutSources(store: EventStore): EventStore {
  const strip = ({ source: _, ...record }: StoredRecord): StoredRecord => record;
  return {
    append: (stream, records, options) => store.append(stream, records, options),
    async readStream(stream, options) {
      const slice = await store.readStream(stream, options);
      return { ...slice, records: slice.records.map(strip) };
    },
    async readAll(options) {
      const slice = await store.readAll(options);
      return { ...slice, records: slice.records.map(strip) };
    },
    async *subscribe(options) {
      for await (const batch of store.subscribe(options)) yield { ...batch, records: batch.records.map(strip) };
    },
    setRetention: (stream, retention) => store.setRetention(stream, retention),
    head: () => store.head(),
    isPosition: (text) => store.isPosition(text),
    idAt: (position) => store.idAt(position),
    countAfter: (position) => store.countAfter(position),
    epoch: () => store.epoch(),
    close: () => store.close(),
  };
}

type NodeOptions = Readonly<{ registry?: EventRegistry; random?: Random; keys?: KeyStore; store?: EventStore }>;

/** The log of one process, and the personal keys that it has in memory. */
export type TestLog = Readonly<{ log: EventLog; personalKeys: PersonalKeys }>;

export type TestStores = TestLog &
  Readonly<{
    store: SqliteEventStore;
    keys: KeyStore;
    /** The log over the same stores in another process. */
    another(options?: NodeOptions): TestLog;
  }>;

/** The embedded stores, in memory or on files in a folder, with a log over them; closed at the end of the test. */
export async function openTestStores(
  options: NodeOptions & Readonly<{ clock?: Clock; folder?: string }> = {},
): Promise<TestStores> {
  const { clock = system.clock, folder, ...node } = options;
  const path = (file: string): string => (folder === undefined ? ':memory:' : `${folder}/${file}`);
  const store = await openSqliteEventStore({ ...system, clock, path: path('events.db') });
  const keys = await openSqliteKeys({ ...system, path: path('keys.db'), secret: Buffer.from(SERVER_SECRET) });
  onTestFinished(async () => {
    await store.close();
    await keys.close();
  });
  const open = (more: NodeOptions): TestLog => {
    const { random = system.random, registry = testRegistry } = more;
    const personalKeys = new PersonalKeys({ keys: more.keys ?? keys, random });
    return {
      personalKeys,
      log: createEventLog({ store: more.store ?? store, registry, keys: personalKeys, random }),
    };
  };
  return {
    ...open(node),
    store,
    keys,
    another: (more = {}) => open({ ...node, store: withoutSources(store), ...more }),
  };
}

/** The texts of notes, in order. */
export const textsOf = (events: readonly RecordedEvent[]) => events.map(({ data }) => data.text);

/** Everything that a subscription delivers until it has caught up. */
export async function followed(log: EventLog, options: Partial<Subscribe> = {}): Promise<readonly EventBatch[]> {
  const batches: EventBatch[] = [];
  for await (const batch of log.subscribe({ after: null, ...options })) {
    batches.push(batch);
    if (batch.caughtUp) break;
  }
  return batches;
}

export const eventsOf = (batches: readonly EventBatch[]) => batches.flatMap(({ events }) => events);

/** All events of a stream, slice by slice. */
export async function readWhole(log: EventLog, stream: string): Promise<readonly RecordedEvent[]> {
  const events: RecordedEvent[] = [];
  for (;;) {
    const slice = await log.readStream(stream, { from: BigInt(events.length) });
    events.push(...slice.events);
    if (slice.end) return events;
  }
}
