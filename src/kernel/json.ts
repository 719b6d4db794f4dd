/** A value that JSON represents without loss. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };

/** A JSON object. */
export type JsonObject = { readonly [key: string]: Json };

/** Characters that a value takes as JSON, roughly: enough to bound memory by, and cheap. */
export function jsonSize(value: unknown): number {
  if (typeof value === 'string') return value.length + 2;
  if (typeof value !== 'object' || value === null) return 4;
  let size = 2;
  if (Array.isArray(value)) {
    for (const item of value) size += jsonSize(item) + 1;
    return size;
  }
  const members = value as Readonly<Record<string, unknown>>;
  for (const key in members) size += key.length + 4 + jsonSize(members[key]);
  return size;
}
