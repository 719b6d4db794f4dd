import { crc32 } from 'node:zlib';
import { StoreError } from '../../kernel/errors.ts';
import type { EventMetadata } from '../../kernel/event.ts';
import type { Position } from '../../kernel/position.ts';
import type { NewRecord, StoredRecord } from '../../ports/event-store.ts';

/** The columns and tables of a query for records. `CROSS JOIN` keeps SQLite from starting the join at another table. */
export const RECORD_COLUMNS =
  'e.position, e.revision, s.name, t.name, e.version, e.recorded_at, e.id, e.metadata, e.data, e.checksum';
export const RECORD_TABLES = 'events e CROSS JOIN streams s ON s.id = e.stream CROSS JOIN types t ON t.id = e.type';

export type RecordRow = readonly [
  position: number,
  revision: number,
  stream: string,
  type: string,
  version: number,
  recordedAt: number,
  id: NodeJS.NonSharedUint8Array,
  metadata: string,
  data: string,
  checksum: number,
];

/** A record that is ready to be written. */
export type EncodedRecord = Readonly<{
  record: NewRecord;
  id: Buffer;
  metadata: string;
  /** Of metadata and data together. */
  bytes: number;
}>;

/** Prepares the records of one append. Metadata that is changed afterwards is written as it was. */
export function encodeRecords(records: readonly NewRecord[]): EncodedRecord[] {
  return records.map((record) => {
    const metadata = JSON.stringify(record.metadata);
    const bytes = Buffer.byteLength(metadata) + Buffer.byteLength(record.data);
    return { record, id: parseUuid(record.id), metadata, bytes };
  });
}

/** The contents of a row, with names instead of the integers that refer to them. */
export type RowContent = Readonly<{
  position: number;
  revision: number;
  stream: string;
  type: string;
  version: number;
  recordedAt: number;
  id: string;
  metadata: string;
  data: string;
}>;

/** CRC-32 of the whole content of a row, so that damage to it, or to the tables of names, is detected when it is read. */
export function checksumOf(content: RowContent): number {
  const { position, revision, stream, type, version, recordedAt, id, metadata, data } = content;
  return crc32(`${position} ${revision} ${version} ${recordedAt} ${id} ${type} ${stream}\n${metadata}\n${data}`);
}

/** The record of a row. Throws `UNAVAILABLE` with its position when the checksum does not match: damaged records are never skipped. */
export function decodeRow(row: RecordRow): StoredRecord {
  const [position, revision, stream, type, version, recordedAt, idBytes, metadata, data, checksum] = row;
  const id = formatUuid(idBytes);
  if (checksumOf({ position, revision, stream, type, version, recordedAt, id, metadata, data }) !== checksum) {
    throw new StoreError(
      'UNAVAILABLE',
      `the event store is damaged at position ${position}, revision ${revision} of stream '${stream}'`,
    );
  }
  return {
    id,
    type,
    schemaVersion: version,
    data,
    metadata: JSON.parse(metadata) as EventMetadata,
    stream,
    revision: BigInt(revision),
    position: toPosition(position),
    recordedAt: toTime(recordedAt),
  };
}

const DIGITS = 16;

/** A place in the log, counted from 1, as a position: decimal digits of one length, so that strings compare as numbers do. */
export function toPosition(place: number): Position {
  return String(place).padStart(DIGITS, '0');
}

/** Whether a text is spelled like a position of this store. */
export function isPosition(text: string): boolean {
  const place = /^\d{16}$/.test(text) ? Number(text) : 0;
  return place >= 1 && Number.isSafeInteger(place);
}

/** The place of a position. Throws `INVALID` for a position that this store did not make. */
export function toPlace(position: Position): number {
  if (isPosition(position)) return Number(position);
  throw new StoreError('INVALID', `'${position}' is not a position of this event store`);
}

let lastTime = { ms: 0, text: new Date(0).toISOString() };

/** ISO 8601 UTC. Consecutive records often share one time, so the last result is kept. */
export function toTime(ms: number): string {
  if (lastTime.ms !== ms) lastTime = { ms, text: new Date(ms).toISOString() };
  return lastTime.text;
}

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));
/** Value of a hexadecimal digit in lower case, by its character code. */
const DIGIT_VALUES: readonly number[] = Array.from({ length: 128 }, (_, code) =>
  Math.max(0, '0123456789abcdef'.indexOf(String.fromCharCode(code))),
);
const DASH = '-'.charCodeAt(0);

/** The 16 bytes of a UUID. Digit by digit: a regular expression took a tenth of the time of an append. */
function parseUuid(uuid: string): Buffer {
  const bytes = Buffer.allocUnsafe(16);
  let at = 0;
  for (let i = 0; i < 16; i++) {
    if (uuid.charCodeAt(at) === DASH) at++;
    const high = DIGIT_VALUES[uuid.charCodeAt(at++)] ?? 0;
    const low = DIGIT_VALUES[uuid.charCodeAt(at++)] ?? 0;
    bytes[i] = high * 16 + low;
  }
  return bytes;
}

function formatUuid(bytes: Uint8Array): string {
  let uuid = '';
  for (let i = 0; i < 16; i++) {
    if (i === 4 || i === 6 || i === 8 || i === 10) uuid += '-';
    uuid += HEX[bytes[i] ?? 0];
  }
  return uuid;
}
