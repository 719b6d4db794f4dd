import { randomUUID } from 'node:crypto';
import shared from '@eventstore/db-client/generated/shared_pb.js';
import type { BatchAppendReq, ReadResp } from '@eventstore/db-client/generated/streams_pb.js';
import streams from '@eventstore/db-client/generated/streams_pb.js';
import { StoreError } from '../../kernel/errors.ts';
import type { EventMetadata, NewEvent, RecordedEvent } from '../../kernel/event.ts';
import { UUID } from '../../kernel/ids.ts';
import type { JsonObject } from '../../kernel/json.ts';
import type { Position } from '../../kernel/position.ts';
import { checkEvent, type EventRegistry, upcastEvent } from '../../kernel/registry.ts';
import { MAX_APPEND_BYTES, MAX_APPEND_EVENTS } from '../../ports/event-store.ts';
import { positionOf } from './position.ts';

/** An event as it is sent. */
export type Message = BatchAppendReq.ProposedMessage;

/** An event as it was stored, whoever wrote it. */
export type StoredRecord = ReadResp.ReadEvent.RecordedEvent;

/**
 * The metadata of Parley's events in the database, as JSON. `parley` is the mark that tells them from the events of others; the names with `$` are
 * those that EventStoreDB's own projections know.
 */
type StoredMetadata = Readonly<{
  $correlationId: string;
  /** Left out for a command of a user. */
  $causationId?: string;
  parley: Readonly<{ id: string; schemaVersion: number; actor: string | null; commandId: string }>;
}>;

/** Checks the events of one append and turns them into messages, at once: what is changed afterwards is not sent. Throws `INVALID`. */
export function encodeEvents(
  registry: EventRegistry,
  events: readonly NewEvent[],
): { messages: Message[]; bytes: number } {
  if (events.length === 0 || events.length > MAX_APPEND_EVENTS) {
    throw new StoreError('INVALID', `an append has 1 to ${MAX_APPEND_EVENTS} events, not ${events.length}`);
  }
  let bytes = 0;
  const messages = events.map((event) => {
    const schemaVersion = checkEvent(registry, event);
    if (!UUID.test(event.id)) {
      throw new StoreError('INVALID', `the id of an event is a UUID in lower case, not '${event.id}'`);
    }
    const data = toJson(event.data);
    bytes += data.length + toJson(event.metadata).length;
    return encode(event.type, data, toJson(toStored(event, schemaVersion)));
  });
  if (bytes > MAX_APPEND_BYTES) {
    throw new StoreError(
      'INVALID',
      `an append has at most ${MAX_APPEND_BYTES} bytes of data and metadata, not ${bytes}`,
    );
  }
  return { messages, bytes };
}

/** An event of the adapter's own, without the mark of Parley's events. */
export function encodeOwn(type: string, data: JsonObject): Message {
  return encode(type, toJson(data), Buffer.alloc(0));
}

/**
 * Each attempt gets ids of its own in the database. A server that knows an event id again answers as if it had appended, or appends it
 * again, depending on the expected revision and on what it still remembers; so that no answer ever rests on it, it never sees one twice.
 */
function encode(type: string, data: Uint8Array, metadata: Uint8Array): Message {
  const id = new shared.UUID();
  id.setString(randomUUID());
  const message = new streams.BatchAppendReq.ProposedMessage();
  message.setId(id);
  message.getMetadataMap().set('type', type).set('content-type', 'application/json');
  message.setData(data);
  message.setCustomMetadata(metadata);
  return message;
}

function toStored({ id, metadata }: NewEvent, schemaVersion: number): StoredMetadata {
  const { actor, correlationId, causationId, commandId } = metadata;
  return {
    $correlationId: correlationId,
    ...(causationId !== null && { $causationId: causationId }),
    parley: { id, schemaVersion, actor, commandId },
  };
}

function toJson(value: object): Buffer {
  try {
    return Buffer.from(JSON.stringify(value));
  } catch (error) {
    throw new StoreError('INVALID', `an event cannot be written as JSON: ${String(error)}`, { cause: error });
  }
}

/** Name of the stream of a record. */
export function streamOf(record: StoredRecord): string {
  return Buffer.from(record.getStreamIdentifier()?.getStreamName_asU8() ?? []).toString();
}

/** Bytes of a record's content. */
export function sizeOf(record: StoredRecord): number {
  return record.getData_asU8().length + record.getCustomMetadata_asU8().length;
}

/** The data of a record as JSON, `undefined` when it is none. */
export function dataOf(record: StoredRecord): unknown {
  return parseJson(record.getData_asU8());
}

/** Position of a record. Throws `UNAVAILABLE` when the server does not tell it. */
export function placeOf(record: StoredRecord): Position {
  const position = positionOf(record.getCommitPosition(), record.getPreparePosition());
  if (position !== null) return position;
  throw new StoreError('UNAVAILABLE', 'the event store does not tell the positions of events; 23.10 and newer do');
}

/**
 * A record as the port shows it, its data in their current form; `null` for a record that is not Parley's.
 * Throws `UNAVAILABLE` for one that has the mark and is damaged: it is never skipped.
 */
export function decodeEvent(registry: EventRegistry, record: StoredRecord): RecordedEvent | null {
  const stream = streamOf(record);
  if (stream.startsWith('$')) return null;
  const stored = parseJson(record.getCustomMetadata_asU8());
  if (!isOwn(stored)) return null;
  const position = placeOf(record);
  const fields = record.getMetadataMap();
  const [type, created] = [fields.get('type'), fields.get('created')];
  const data = dataOf(record);
  if (type === undefined || created === undefined || !isObject(data)) {
    throw new StoreError('UNAVAILABLE', `the event at position ${position}, in stream '${stream}', is damaged`);
  }
  const { id, schemaVersion, actor, commandId } = stored.parley;
  const current = upcast(registry, { type, schemaVersion, data: data as JsonObject, position });
  const metadata: EventMetadata = {
    actor,
    correlationId: stored.$correlationId,
    causationId: stored.$causationId ?? null,
    commandId,
  };
  return {
    type,
    data: current.data,
    id,
    schemaVersion: current.schemaVersion,
    stream,
    revision: BigInt(record.getStreamRevision()),
    position,
    recordedAt: toTime(created),
    metadata,
  };
}

function upcast(
  registry: EventRegistry,
  {
    type,
    schemaVersion,
    data,
    position,
  }: Readonly<{ type: string; schemaVersion: number; data: JsonObject; position: Position }>,
): { data: JsonObject; schemaVersion: number } {
  try {
    return upcastEvent(registry, type, schemaVersion, data);
  } catch (cause) {
    throw new StoreError('UNAVAILABLE', `the event at position ${position} cannot be brought up to date`, { cause });
  }
}

function isOwn(metadata: unknown): metadata is StoredMetadata {
  if (!isObject(metadata) || !isObject(metadata.parley)) return false;
  const { id, schemaVersion, actor, commandId } = metadata.parley;
  return (
    [id, commandId, metadata.$correlationId].every((value) => typeof value === 'string') &&
    Number.isInteger(schemaVersion) &&
    (actor === null || typeof actor === 'string')
  );
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function parseJson(bytes: Uint8Array): unknown {
  if (bytes.length === 0) return undefined;
  try {
    return JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString());
  } catch {
    // Others may store what they like.
    return undefined;
  }
}

let lastTime = { ticks: '', text: '' };

/** The server's time, in ticks of 100 ns since the epoch, as ISO 8601 UTC. Many events in a row have the same, hence the memory of one. */
function toTime(ticks: string): string {
  if (lastTime.ticks !== ticks) lastTime = { ticks, text: new Date(Number(BigInt(ticks) / 10_000n)).toISOString() };
  return lastTime.text;
}
