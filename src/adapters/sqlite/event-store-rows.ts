import { crc32 } from 'node:zlib';
import { StoreError } from '../../kernel/errors.ts';
import type { EventMetadata, RecordedEvent } from '../../kernel/event.ts';
import type { JsonObject } from '../../kernel/json.ts';
import type { Position } from '../../kernel/position.ts';
import { type EventRegistry, upcastEvent } from '../../kernel/registry.ts';

/** What a query for events selects, and from where. `CROSS JOIN` keeps SQLite from starting anywhere but at the events. */
export const EVENT_COLUMNS =
  'e.position, e.revision, s.name, t.name, e.version, e.recorded_at, e.id, e.metadata, e.data, e.checksum';
export const EVENT_TABLES = 'events e CROSS JOIN streams s ON s.id = e.stream CROSS JOIN types t ON t.id = e.type';

export type EventRow = readonly [
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

/** Everything that an event row says, with names instead of the integers that stand for them. */
export type StoredEvent = Readonly<{
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

/** CRC-32 over the whole content of a row, so that damage to it, or to the tables of names, is noticed when it is read. */
export function checksumOf(event: StoredEvent): number {
  const { position, revision, stream, type, version, recordedAt, id, metadata, data } = event;
  return crc32(`${position} ${revision} ${version} ${recordedAt} ${id} ${type} ${stream}\n${metadata}\n${data}`);
}

/**
 * An event as the port shows it, its data in their current form.
 * Throws `StoreError` with `UNAVAILABLE`, naming the place, when the row does not have its checksum: a damaged event is never skipped.
 */
export function decodeRow(registry: EventRegistry, row: EventRow): RecordedEvent {
  const [position, revision, stream, type, version, recordedAt, idBytes, metadata, data, checksum] = row;
  const id = formatUuid(idBytes);
  if (checksumOf({ position, revision, stream, type, version, recordedAt, id, metadata, data }) !== checksum) {
    throw new StoreError(
      'UNAVAILABLE',
      `the event log is damaged at position ${position}, revision ${revision} of stream '${stream}'`,
    );
  }
  const current = upcastEvent(registry, type, version, JSON.parse(data) as JsonObject);
  return {
    type,
    data: current.data,
    id,
    schemaVersion: current.schemaVersion,
    stream,
    revision: BigInt(revision),
    position: toPosition(position),
    recordedAt: toTime(recordedAt),
    metadata: JSON.parse(metadata) as EventMetadata,
  };
}

const DIGITS = 16;

/** A place in the log, counted from 1, as a position: decimal digits of one length, so that strings compare as numbers do. */
export function toPosition(place: number): Position {
  return String(place).padStart(DIGITS, '0');
}

/** The place of a position, 0 for `null`. Throws `INVALID` for what is no position of this store. */
export function toPlace(position: Position | null): number {
  if (position === null) return 0;
  const place = /^\d{16}$/.test(position) ? Number(position) : Number.NaN;
  if (!Number.isSafeInteger(place))
    throw new StoreError('INVALID', `'${position}' is not a position of this event log`);
  return place;
}

let lastTime = { ms: 0, text: new Date(0).toISOString() };

/** ISO 8601 UTC. Many events in a row have the same time, hence the memory of one. */
export function toTime(ms: number): string {
  if (lastTime.ms !== ms) lastTime = { ms, text: new Date(ms).toISOString() };
  return lastTime.text;
}

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));
/** Value of a hexadecimal digit in lower case, by its character code. */
const DIGIT_VALUES: readonly number[] = Array.from({ length: 128 }, (_, code) =>
  '0123456789abcdef'.indexOf(String.fromCharCode(code)),
);
const DASHES = [8, 13, 18, 23] as const;

/** The 16 bytes of a UUID in lower case, `null` for anything else. Digit by digit: a tenth of what an append may cost went into a pattern. */
export function parseUuid(uuid: string): Buffer | null {
  if (uuid.length !== 36 || DASHES.some((at) => uuid[at] !== '-')) return null;
  const bytes = Buffer.allocUnsafe(16);
  let at = 0;
  for (let i = 0; i < 16; i++) {
    if (uuid[at] === '-') at++;
    const high = DIGIT_VALUES[uuid.charCodeAt(at++)] ?? -1;
    const low = DIGIT_VALUES[uuid.charCodeAt(at++)] ?? -1;
    if (high < 0 || low < 0) return null;
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
