import { StoreError } from './errors.ts';
import type { Json, JsonObject } from './json.ts';
import type { Scalar } from './query.ts';

/** Levels of nested objects and arrays in a body, the body itself included. */
export const MAX_DEPTH = 64;

/** Characters of a body as JSON. Such a body fits in 16 MiB of BSON, whatever it contains. */
export const MAX_BODY = 2_097_152;

function invalid(message: string): never {
  throw new StoreError('INVALID', message);
}

/** Whether a string is well-formed and contains no NUL, which terminates names in BSON. */
export const isText = (text: string): boolean => text.isWellFormed() && !text.includes('\0');

/** Whether every engine stores a key unchanged, and it cannot be mistaken for an operator or a path. */
export const isKey = (key: string): boolean => key !== '' && !key.startsWith('$') && !key.includes('.') && isText(key);

/** What is wrong with a value in a body, `null` when it is valid. The text never contains the value, which may be personal. */
function faultOf(value: unknown, depth: number): string | null {
  if (typeof value === 'string') return value.isWellFormed() ? null : 'contains a lone surrogate';
  if (typeof value === 'number') return Number.isFinite(value) ? null : 'contains a number that is not finite';
  if (typeof value === 'boolean' || value === null) return null;
  if (typeof value !== 'object') return `contains a value of type ${typeof value}`;
  if (depth > MAX_DEPTH) return `is nested deeper than ${MAX_DEPTH} levels`;
  if (Array.isArray(value)) {
    for (const element of value) {
      const fault = faultOf(element, depth + 1);
      if (fault !== null) return fault;
    }
    return null;
  }
  return faultOfObject(value, depth);
}

function faultOfObject(value: object, depth: number): string | null {
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return 'contains an object that is not plain';
  const members = value as Readonly<Record<string, unknown>>;
  // A plain object inherits no enumerable keys, so no check for own keys is needed.
  for (const key in members) {
    if (!isKey(key)) return 'has a key that is empty, starts with $, or contains a dot, NUL or a lone surrogate';
    const fault = faultOf(members[key], depth + 1);
    if (fault !== null) return fault;
  }
  return null;
}

/**
 * A body as JSON. Throws `INVALID` for a body that not every engine can store unchanged: not plain JSON, keys that are empty, start with `$`
 * or contain a dot or NUL, lone surrogates, more than `MAX_DEPTH` levels or `MAX_BODY` characters.
 */
export function encodeBody(body: JsonObject): string {
  const fault =
    body === null || typeof body !== 'object' || Array.isArray(body) ? 'is not an object' : faultOf(body, 1);
  if (fault !== null) invalid(`invalid document body: it ${fault}`);
  const json = JSON.stringify(body);
  if (json.length > MAX_BODY)
    invalid(`invalid document body: it is larger than ${MAX_BODY.toLocaleString('en-US')} characters of JSON`);
  return json;
}

/** The keys of a field's path. */
export function pathOf(field: string): readonly string[] {
  return field.split('.');
}

function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function valueAt(body: JsonObject, path: readonly string[]): Json | undefined {
  let value: Json | undefined = body;
  for (const key of path) {
    if (Array.isArray(value)) invalid(`the path of the indexed field '${path.join('.')}' leads through an array`);
    if (!isObject(value)) return undefined;
    value = Object.hasOwn(value, key) ? value[key] : undefined;
  }
  return value;
}

/** The value that an index over a scalar field stores for a body; `null` when the field is missing. Throws `INVALID` for an array or an object. */
export function scalarAt(body: JsonObject, path: readonly string[]): Scalar {
  const value = valueAt(body, path) ?? null;
  if (typeof value === 'object' && value !== null) invalid(`the indexed field '${path.join('.')}' must be a scalar`);
  return value;
}

/**
 * The elements that an index over an array field stores for a body, without duplicates; none when the field is missing or `null`.
 * Throws `INVALID` for another value, and for elements that are neither strings nor numbers.
 */
export function elementsAt(body: JsonObject, path: readonly string[]): readonly (string | number)[] {
  const value = valueAt(body, path) ?? [];
  if (!Array.isArray(value)) return invalid(`the indexed field '${path.join('.')}' must be an array`);
  const elements = new Set<string | number>();
  for (const element of value) {
    if (typeof element === 'string' || typeof element === 'number') elements.add(element);
    else invalid(`the elements of the indexed array '${path.join('.')}' must be strings or numbers`);
  }
  return [...elements];
}
