import { isUtf8 } from 'node:buffer';
import shared from '@eventstore/db-client/generated/shared_pb.js';
import type { BatchAppendReq, ReadResp } from '@eventstore/db-client/generated/streams_pb.js';
import streams from '@eventstore/db-client/generated/streams_pb.js';
import { StoreError } from '../../kernel/errors.ts';
import type { Position } from '../../kernel/position.ts';
import type { NewRecord, StoredRecord } from '../../ports/event-store.ts';
import { toPosition } from './position.ts';

/** A record as it is sent to the server. */
export type Message = BatchAppendReq.ProposedMessage;

/** A record as the server returns it, written by Parley or by another program. */
export type ServerRecord = ReadResp.ReadEvent.RecordedEvent;

/**
 * The metadata of Parley's records in the database, as JSON. `parley` marks them as Parley's; the names with `$` are those that EventStoreDB's own
 * projections use.
 */
type StoredMetadata = Readonly<{
  $correlationId: string;
  /** Omitted for a command of a user. */
  $causationId?: string;
  parley: Readonly<{ id: string; schemaVersion: number; actor: string | null; commandId: string }>;
}>;

/** The records of one append as messages, and their bytes of data and metadata. `newId` makes their ids in the database. */
export function encodeRecords(
  records: readonly NewRecord[],
  newId: () => string,
): { messages: Message[]; bytes: number } {
  let bytes = 0;
  const messages = records.map((record) => {
    const data = Buffer.from(record.data);
    const metadata = Buffer.from(JSON.stringify(toStored(record)));
    bytes += data.length + metadata.length;
    return toMessage(newId(), { type: record.type, data, metadata });
  });
  return { messages, bytes };
}

/** A record that the adapter writes for itself. Without the mark of Parley's records, it is never returned to callers. */
export function encodeInternal(id: string, { type, data }: Readonly<{ type: string; data: object }>): Message {
  return toMessage(id, { type, data: Buffer.from(JSON.stringify(data)), metadata: Buffer.alloc(0) });
}

/**
 * The id in the database must differ for each attempt. A server that has seen an event id before either responds as if it had appended the event or
 * appends it again, depending on the expected revision and on what it still has in memory. With new ids, no response depends on that.
 */
function toMessage(
  id: string,
  { type, data, metadata }: Readonly<{ type: string; data: Uint8Array; metadata: Uint8Array }>,
): Message {
  const uuid = new shared.UUID();
  uuid.setString(id);
  const message = new streams.BatchAppendReq.ProposedMessage();
  message.setId(uuid);
  message.getMetadataMap().set('type', type).set('content-type', 'application/json');
  message.setData(data);
  message.setCustomMetadata(metadata);
  return message;
}

function toStored({ id, schemaVersion, metadata }: NewRecord): StoredMetadata {
  const { actor, correlationId, causationId, commandId } = metadata;
  return {
    $correlationId: correlationId,
    ...(causationId !== null && { $causationId: causationId }),
    parley: { id, schemaVersion, actor, commandId },
  };
}

/** Bytes of data and metadata of a record. */
export function sizeOf(record: ServerRecord): number {
  return record.getData_asU8().length + record.getCustomMetadata_asU8().length;
}

/** The data of a record as a JSON value, `undefined` when it is not JSON. */
export function jsonDataOf(record: ServerRecord): unknown {
  return parseJson(record.getData_asU8());
}

/** Position of a record. Throws `UNAVAILABLE` when the server does not send it. */
export function positionOf(record: ServerRecord): Position {
  const position = toPosition(record.getCommitPosition(), record.getPreparePosition());
  if (position !== null) return position;
  throw new StoreError(
    'UNAVAILABLE',
    'the event store does not send event positions; version 23.10 or newer is required',
  );
}

/** Parley's id of a record, `null` for a record that is not Parley's. */
export function parleyIdOf(record: ServerRecord): string | null {
  return parleyMetadataOf(record)?.parley.id ?? null;
}

/**
 * A record as the port returns it, its data byte for byte; `null` for a record that is not Parley's.
 * Throws `UNAVAILABLE` for a damaged record of Parley's: those are never skipped.
 */
export function decodeRecord(record: ServerRecord): StoredRecord | null {
  const stored = parleyMetadataOf(record);
  if (stored === null) return null;
  const [stream, position] = [streamOf(record), positionOf(record)];
  const fields = record.getMetadataMap();
  const [type, created] = [fields.get('type'), fields.get('created')];
  const data = jsonTextOf(record);
  if (type === undefined || created === undefined || data === null) {
    throw new StoreError('UNAVAILABLE', `the record at position ${position} in stream '${stream}' is damaged`);
  }
  const { id, schemaVersion, actor, commandId } = stored.parley;
  return {
    id,
    type,
    schemaVersion,
    data,
    metadata: {
      actor,
      correlationId: stored.$correlationId,
      causationId: stored.$causationId ?? null,
      commandId,
    },
    stream,
    revision: BigInt(record.getStreamRevision()),
    position,
    recordedAt: toIsoTime(created),
  };
}

/** Metadata of a record of Parley's, `null` for other records. */
function parleyMetadataOf(record: ServerRecord): StoredMetadata | null {
  if (streamOf(record).startsWith('$')) return null;
  const metadata = parseJson(record.getCustomMetadata_asU8());
  return isParleyMetadata(metadata) ? metadata : null;
}

function streamOf(record: ServerRecord): string {
  return Buffer.from(record.getStreamIdentifier()?.getStreamName_asU8() ?? []).toString();
}

/** The data as text, `null` when it cannot be the JSON text of an object. The codec parses it; this finds what is not text or was cut off. */
function jsonTextOf(record: ServerRecord): string | null {
  const bytes = record.getData_asU8();
  if (!isUtf8(bytes)) return null;
  const text = toText(bytes);
  const trimmed = text.trim();
  return trimmed.startsWith('{') && trimmed.endsWith('}') ? text : null;
}

function isParleyMetadata(metadata: unknown): metadata is StoredMetadata {
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

const toText = (bytes: Uint8Array): string => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString();

/** Other programs may store anything: bytes that are not JSON are `undefined`, not an error. */
function parseJson(bytes: Uint8Array): unknown {
  if (bytes.length === 0) return undefined;
  try {
    return JSON.parse(toText(bytes));
  } catch {
    return undefined;
  }
}

let lastTime = { ticks: '', text: '' };

/** The server's time, in ticks of 100 ns since the epoch, as ISO 8601 UTC. Consecutive records often share one, so the last result is kept. */
function toIsoTime(ticks: string): string {
  if (lastTime.ticks !== ticks) lastTime = { ticks, text: new Date(Number(BigInt(ticks) / 10_000n)).toISOString() };
  return lastTime.text;
}
