/** Characters that a value takes as JSON, roughly: enough to bound memory by, and cheap. */
export function weigh(value: unknown): number {
  if (typeof value === 'string') return value.length + 2;
  if (typeof value !== 'object' || value === null) return 4;
  let weight = 2;
  if (Array.isArray(value)) {
    for (const item of value) weight += weigh(item) + 1;
    return weight;
  }
  const members = value as Readonly<Record<string, unknown>>;
  for (const key in members) weight += key.length + 4 + weigh(members[key]);
  return weight;
}
