import { createHmac, hash, randomFillSync } from 'node:crypto';

/** Pattern of a 24-hex id (users, conversations, projects). */
export const OBJECT_ID = /^[0-9a-f]{24}$/;

/** Pattern of a UUID of any version, lower case. */
export const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** Randomness is asked of the system by the page: each call costs as much as a whole id. A part is used once. */
const pool = Buffer.alloc(4_096);
let used = pool.length;

function random(bytes: number): Buffer {
  if (used + bytes > pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  used += bytes;
  return pool.subarray(used - bytes, used);
}

function formatUuid(bytes: Uint8Array, version: number): string {
  const uuid = Buffer.from(bytes.subarray(0, 16));
  uuid[6] = ((uuid[6] ?? 0) & 0x0f) | (version << 4);
  uuid[8] = ((uuid[8] ?? 0) & 0x3f) | 0x80;
  const hex = uuid.toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/** UUID version 5 (RFC 9562, section 5.5): the same for the same namespace and name. */
export function uuidv5(namespace: string, name: string): string {
  const input = Buffer.allocUnsafe(16 + Buffer.byteLength(name));
  input.write(namespace.replaceAll('-', ''), 0, 'hex');
  input.write(name, 16);
  return formatUuid(hash('sha1', input, 'buffer'), 5);
}

/** UUID version 7 (RFC 9562, section 5.7): ordered by its time, in ms since the epoch. */
export function uuidv7(atMs: number, randomPart: Uint8Array = random(10)): string {
  const bytes = Buffer.alloc(16);
  bytes.writeUIntBE(atMs, 0, 6);
  bytes.set(randomPart.subarray(0, 10), 6);
  return formatUuid(bytes, 7);
}

/** The id of the `index`-th event that a command decided: repeating the command repeats the ids. */
export function eventId(commandId: string, index: number): string {
  return uuidv5(commandId, String(index));
}

/** The id of the 1-1 conversation of two users: the same, whichever of them starts. */
export function directConversationId(userA: string, userB: string): string {
  const [first, second] = userA < userB ? [userA, userB] : [userB, userA];
  return hash('sha256', `direct:${first}:${second}`).slice(0, 24);
}

/** Makes the ids of one request, before any event. Each `name` gives one id, and always that. */
export type IdSource = Readonly<{
  /** 24-hex id. */
  objectId(name: string): string;
  /** UUIDv7 at the given time, in ms since the epoch. */
  uuid(name: string, atMs: number): string;
}>;

/** Ids that nobody can foresee. */
export const randomIds: IdSource = {
  objectId: () => random(12).toString('hex'),
  uuid: (_name, atMs) => uuidv7(atMs),
};

/**
 * Ids that derive from a secret and what an `Idempotency-Key` stands for, so that a retry makes the same ones on every node.
 * The secret keeps others from foreseeing them. A UUID's time part is derived too, because the retry comes later than the first try.
 */
export function derivedIds(secret: Uint8Array, scope: string): IdSource {
  const derive = (name: string): Buffer => createHmac('sha256', secret).update(`${scope}\n${name}`).digest();
  return {
    objectId: (name) => derive(name).toString('hex', 0, 12),
    uuid: (name) => formatUuid(derive(name), 8),
  };
}
