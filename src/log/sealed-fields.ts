import { createCipheriv, createDecipheriv, type KeyObject } from 'node:crypto';
import { StoreError } from '../kernel/errors.ts';
import type { EventDefinition } from '../kernel/event-definition.ts';
import type { Json, JsonObject } from '../kernel/json.ts';
import type { Random } from '../ports/random.ts';

/**
 * Personal fields in stored data. In the place of the fields stands one member, `$`: an array of the version of this form, then one entry for each
 * person: the name of the field with the person's id, the names of the sealed fields with commas in between, and the sealed values in base64.
 * Data without sealed fields has no such member. Golden files of the form are in `tests/golden`; they are never changed.
 *
 * The values are sealed as a JSON array by AES-256-GCM (NIST SP 800-38D) under the person's key: 12 bytes of nonce, the cipher text, 16 bytes of
 * tag. Associated data: event id, event type and field names, so that no sealed value can be moved to another event. Nonces are random, which is
 * good for 2^32 sealings under one key (section 8.3 there): more than a person sends messages in a lifetime.
 */
export const SEALED = '$';
export const SEALED_FORM = 1;

const CIPHER = 'aes-256-gcm';
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

export type SealedEntry = readonly [personField: string, fields: string, sealed: string];

/** What the values of one person are bound to. */
type Binding = Readonly<{ id: string; type: string }>;

/** The persons whose fields of this data are to be sealed, each with the field that holds the id and the names of the fields. */
export function personalFieldsOf(
  { personal }: EventDefinition,
  data: JsonObject,
): ReadonlyMap<string, Readonly<{ personId: string; fields: string[] }>> {
  const found = new Map<string, { personId: string; fields: string[] }>();
  for (const field in personal) {
    const personField = personal[field] ?? '';
    const personId = data[personField];
    if (typeof personId !== 'string' || data[field] == null) continue;
    const entry = found.get(personField);
    if (entry === undefined) found.set(personField, { personId, fields: [field] });
    else entry.fields.push(field);
  }
  return found;
}

/** Seals some fields of data under a person's key. */
export function sealFields(
  key: KeyObject,
  { id, type }: Binding,
  personField: string,
  fields: readonly string[],
  data: JsonObject,
  random: Random,
): SealedEntry {
  const names = fields.join(',');
  const nonce = random.bytes(NONCE_BYTES);
  const cipher = createCipheriv(CIPHER, key, nonce);
  cipher.setAAD(associatedData(id, type, names));
  const text = cipher.update(toJson(fields.map((field) => data[field])), 'utf8');
  // GCM is a stream: nothing is left for the end.
  cipher.final();
  const sealed = Buffer.concat([nonce, text, cipher.getAuthTag()]);
  return [personField, names, sealed.toString('base64')];
}

/** The values of the sealed fields, in the order of their names. Throws for a value that was changed, or sealed for another event. */
export function openFields(key: KeyObject, { id, type }: Binding, [, names, base64]: SealedEntry): readonly Json[] {
  const sealed = Buffer.from(base64, 'base64');
  const decipher = createDecipheriv(CIPHER, key, sealed.subarray(0, NONCE_BYTES), { authTagLength: TAG_BYTES });
  decipher.setAAD(associatedData(id, type, names));
  decipher.setAuthTag(sealed.subarray(sealed.length - TAG_BYTES));
  const text = decipher.update(sealed.subarray(NONCE_BYTES, sealed.length - TAG_BYTES), undefined, 'utf8');
  return JSON.parse(text + decipher.final('utf8')) as readonly Json[];
}

const associatedData = (id: string, type: string, names: string): Buffer => Buffer.from(`${id}\n${type}\n${names}`);

/** The sealed entries of stored data, `null` when it has none. Throws for a form that this program does not know, and for malformed entries. */
export function sealedEntriesOf(data: JsonObject): readonly SealedEntry[] | null {
  const member = data[SEALED];
  if (member === undefined) return null;
  const [form, ...entries]: readonly unknown[] = Array.isArray(member) ? member : [];
  if (form !== SEALED_FORM) throw new Error(`unknown form of sealed fields: ${String(form)}`);
  if (!entries.every(isEntry)) throw new Error('malformed sealed fields');
  return entries;
}

const isEntry = (entry: unknown): entry is SealedEntry =>
  Array.isArray(entry) && entry.length === 3 && entry.every((part) => typeof part === 'string');

/** JSON text of what is to be stored. Throws `INVALID` for what JSON cannot represent. */
export function toJson(value: object): string {
  try {
    return JSON.stringify(value);
  } catch (cause) {
    throw new StoreError('INVALID', `an event cannot be written as JSON: ${String(cause)}`, { cause });
  }
}
