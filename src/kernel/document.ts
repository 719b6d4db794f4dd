import { StoreError } from './errors.ts';
import type { Json, JsonObject } from './json.ts';
import type { Scalar } from './query.ts';

/** Levels of objects and arrays in a body, itself included. */
export const MAX_DEPTH = 64;

/** Characters of a body as JSON. A body of that size fits in 16 MiB of BSON, whatever it holds. */
export const MAX_BODY = 2_097_152;

function invalid(message: string): never {
  throw new StoreError('INVALID', message);
}

/** Well-formed and without NUL, which ends a name in BSON. */
export const isText = (text: string): boolean => text.isWellFormed() && !text.includes('\0');

/** Whether both engines keep a key as it is, and no path takes it for something else. */
export const isKey = (key: string): boolean => key !== '' && !key.startsWith('$') && !key.includes('.') && isText(key);

/** What is wrong with a body's value, `null` when nothing is: no value of it is told, it may be personal. */
function faultOf(value: unknown, depth: number): string | null {
  if (typeof value === 'string') return value.isWellFormed() ? null : 'holds a lone surrogate';
  if (typeof value === 'number') return Number.isFinite(value) ? null : 'holds a number that is not finite';
  if (typeof value === 'boolean' || value === null) return null;
  if (typeof value !== 'object') return `holds a value of type ${typeof value}`;
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
  if (prototype !== Object.prototype && prototype !== null) return 'holds an object that is not plain';
  const members = value as Readonly<Record<string, unknown>>;
  // Nothing is inherited, so there is no need to ask whose a key is.
  for (const key in members) {
    if (!isKey(key)) return 'has a key that is empty, starts with $, or holds a dot, a NUL or a lone surrogate';
    const fault = faultOf(members[key], depth + 1);
    if (fault !== null) return fault;
  }
  return null;
}

/**
 * A body as JSON. Throws `INVALID` for one that cannot be kept alike on every engine: not plain JSON, keys that are empty, start with `$`
 * or hold a dot or NUL, lone surrogates, more than `MAX_DEPTH` levels or `MAX_BODY` characters.
 */
export function encodeBody(body: JsonObject): string {
  const fault = body === null || typeof body !== 'object' || Array.isArray(body) ? 'is no object' : faultOf(body, 1);
  if (fault !== null) invalid(`a body ${fault}`);
  const json = JSON.stringify(body);
  if (json.length > MAX_BODY) invalid(`a body is larger than ${MAX_BODY} characters of JSON`);
  return json;
}

/** The parts of a field's path. */
export function pathOf(field: string): readonly string[] {
  return field.split('.');
}

function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function valueAt(body: JsonObject, path: readonly string[]): Json | undefined {
  let value: Json | undefined = body;
  for (const key of path) {
    if (Array.isArray(value)) invalid(`the indexed field '${path.join('.')}' leads through an array`);
    if (!isObject(value)) return undefined;
    value = Object.hasOwn(value, key) ? value[key] : undefined;
  }
  return value;
}

/** What an index over a scalar field has of a body; `null` when it is missing. Throws `INVALID` for an array or an object. */
export function scalarAt(body: JsonObject, path: readonly string[]): Scalar {
  const value = valueAt(body, path) ?? null;
  if (typeof value === 'object' && value !== null) invalid(`the indexed field '${path.join('.')}' holds no scalar`);
  return value;
}

/**
 * What an index over the elements of an array has of a body, each once; nothing when it is missing or `null`.
 * Throws `INVALID` for another value, and for elements that are neither strings nor numbers.
 */
export function elementsAt(body: JsonObject, path: readonly string[]): readonly (string | number)[] {
  const value = valueAt(body, path) ?? [];
  if (!Array.isArray(value)) return invalid(`the indexed field '${path.join('.')}' holds no array`);
  const elements = new Set<string | number>();
  for (const element of value) {
    if (typeof element === 'string' || typeof element === 'number') elements.add(element);
    else invalid(`the indexed array '${path.join('.')}' holds something else than strings and numbers`);
  }
  return [...elements];
}
