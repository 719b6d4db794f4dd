import { StoreError } from '../../kernel/errors.ts';
import type { NewEvent } from '../../kernel/event.ts';
import { checkEvent, type EventRegistry } from '../../kernel/registry.ts';
import { type ExpectedRevision, MAX_APPEND_BYTES, MAX_APPEND_EVENTS } from '../../ports/event-store.ts';
import { parseUuid } from './event-store-rows.ts';

/** An event checked and ready to be written. */
export type EncodedEvent = Readonly<{
  event: NewEvent;
  id: Buffer;
  version: number;
  metadata: string;
  data: string;
  /** Of metadata and data together. */
  bytes: number;
}>;

/** Checks the events of one append and turns them into JSON, at once: what is changed afterwards is not written. Throws `INVALID`. */
export function encodeEvents(registry: EventRegistry, events: readonly NewEvent[]): EncodedEvent[] {
  if (events.length === 0 || events.length > MAX_APPEND_EVENTS) {
    throw new StoreError('INVALID', `an append has 1 to ${MAX_APPEND_EVENTS} events, not ${events.length}`);
  }
  const encoded = events.map((event) => encodeEvent(registry, event));
  const bytes = encoded.reduce((sum, event) => sum + event.bytes, 0);
  if (bytes > MAX_APPEND_BYTES) {
    throw new StoreError(
      'INVALID',
      `an append has at most ${MAX_APPEND_BYTES} bytes of data and metadata, not ${bytes}`,
    );
  }
  return encoded;
}

function encodeEvent(registry: EventRegistry, event: NewEvent): EncodedEvent {
  const version = checkEvent(registry, event);
  const id = parseUuid(event.id);
  if (id === null) throw new StoreError('INVALID', `the id of an event is a UUID in lower case, not '${event.id}'`);
  const metadata = toJson(event.metadata);
  const data = toJson(event.data);
  return { event, id, version, metadata, data, bytes: Buffer.byteLength(metadata) + Buffer.byteLength(data) };
}

function toJson(value: object): string {
  try {
    return JSON.stringify(value);
  } catch (error) {
    throw new StoreError('INVALID', `an event cannot be written as JSON: ${String(error)}`, { cause: error });
  }
}

const MAX_STREAM_NAME = 200;

/** Throws `INVALID` for a name that no stream can have. */
export function checkStreamName(stream: string): void {
  const fits =
    stream.length > 0 && stream.length <= MAX_STREAM_NAME && !stream.startsWith('$') && stream.isWellFormed();
  if (!fits)
    throw new StoreError(
      'INVALID',
      `a stream's name is 1 to ${MAX_STREAM_NAME} characters of text, without $ in front`,
    );
}

/** Throws `INVALID` for an expectation that cannot be. */
export function checkExpectation(expect: ExpectedRevision): void {
  if (typeof expect === 'bigint' ? expect < 0n : !['none', 'exists', 'any'].includes(expect)) {
    throw new StoreError('INVALID', `'${expect}' is no expectation of a stream`);
  }
}
