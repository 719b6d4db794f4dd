import { randomBytes, randomUUID } from 'node:crypto';
import type { EventMetadata } from '../../src/kernel/event.ts';
import type { JsonObject } from '../../src/kernel/json.ts';
import type { NewRecord } from '../../src/ports/event-store.ts';

/** A record of schema version 1 with its own id, and metadata that is generated except for what is given. */
export function newRecord(type: string, data: JsonObject, metadata: Partial<EventMetadata> = {}): NewRecord {
  return {
    id: randomUUID(),
    type,
    schemaVersion: 1,
    data: JSON.stringify(data),
    metadata: { actor: null, correlationId: randomUUID(), causationId: null, commandId: randomUUID(), ...metadata },
  };
}

export const note = (text: string): NewRecord => newRecord('NoteTaken', { text });

/** `count` notes: `<text> 0`, `<text> 1` and so on. */
export const notes = (count: number, text = 'note'): NewRecord[] =>
  Array.from({ length: count }, (_, n) => note(`${text} ${n}`));

/** The record with the object that its data was made from. */
export const withSource = (record: NewRecord): NewRecord & { source: object } => ({
  ...record,
  source: dataOf(record),
});

/** The data of a record, parsed. */
export function dataOf(record: Pick<NewRecord, 'data'>): JsonObject {
  const data: JsonObject = JSON.parse(record.data);
  return data;
}

/** The texts of notes, in order. */
export const textsOf = (records: readonly Pick<NewRecord, 'data'>[]): unknown[] =>
  records.map((record) => dataOf(record).text);

/** A category that no other test uses, also on a log that is shared. */
export const newCategory = (): string => `t${randomBytes(8).toString('hex')}`;

/** A stream that no other test uses. */
export const newStream = (category: string = newCategory()): string => `${category}-${randomBytes(6).toString('hex')}`;
