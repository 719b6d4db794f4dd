import { hash } from 'node:crypto';

/** Pattern of a 24-hex id (users, conversations, projects). */
export const OBJECT_ID = /^[0-9a-f]{24}$/;

/** Pattern of a UUID of any version, lower case. */
export const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** Two hexadecimal digits of each byte. */
const HEX: readonly string[] = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));

const hex = (bytes: Uint8Array, from: number, to: number): string => {
  let text = '';
  for (let i = from; i < to; i++) text += HEX[bytes[i] ?? 0];
  return text;
};

/** The written form of 16 bytes as a UUID, as they are: version and variant are not set. */
export function formatUuid(bytes: Uint8Array): string {
  return `${hex(bytes, 0, 4)}-${hex(bytes, 4, 6)}-${hex(bytes, 6, 8)}-${hex(bytes, 8, 10)}-${hex(bytes, 10, 16)}`;
}

function versioned(bytes: Uint8Array, version: number): string {
  const uuid = Uint8Array.from(bytes.subarray(0, 16));
  uuid[6] = ((uuid[6] ?? 0) & 0x0f) | (version << 4);
  uuid[8] = ((uuid[8] ?? 0) & 0x3f) | 0x80;
  return formatUuid(uuid);
}

/** UUID version 5 (RFC 9562, section 5.5): the same for the same namespace and name. */
export function uuidv5(namespace: string, name: string): string {
  const input = Buffer.allocUnsafe(16 + Buffer.byteLength(name));
  input.write(namespace.replaceAll('-', ''), 0, 'hex');
  input.write(name, 16);
  return versioned(hash('sha1', input, 'buffer'), 5);
}

/** UUID version 7 (RFC 9562, section 5.7): ordered by its time, in ms since the epoch. `random`: 10 bytes. */
export function uuidv7(atMs: number, random: Uint8Array): string {
  const time = atMs.toString(16).padStart(12, '0');
  const versionByte = HEX[0x70 | ((random[0] ?? 0) & 0x0f)];
  const variantByte = HEX[0x80 | ((random[2] ?? 0) & 0x3f)];
  return `${time.slice(0, 8)}-${time.slice(8)}-${versionByte}${HEX[random[1] ?? 0]}-${variantByte}${HEX[random[3] ?? 0]}-${hex(random, 4, 10)}`;
}

/** Digits of a UUID from which the index of an event is mixed in: 16 bits, and an append has fewer events than that. */
const INDEX_DIGITS = 32;

/**
 * The id of the `index`-th event that a command decided: repeating the command repeats the ids. It is the command's id as a UUIDv8 with the index
 * mixed into its last bits, because a hash would cost more than all else that is done with the id (docs/decisions/0012).
 */
export function eventId(commandId: string, index: number): string {
  const mixed = Number.parseInt(commandId.slice(INDEX_DIGITS), 16) ^ (index + 1);
  return `${commandId.slice(0, 14)}8${commandId.slice(15, INDEX_DIGITS)}${mixed.toString(16).padStart(4, '0')}`;
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

/**
 * Ids that derive from a secret, or from the seed of a claim, and a scope: a repetition of a request makes the same ones on every node.
 * A UUID's time part is derived too, because the repetition comes later than the first request.
 */
export function derivedIds(secret: Uint8Array, scope: string): IdSource {
  const derive = hmacSha256(secret);
  return {
    objectId: (name) => hex(derive(`${scope}\n${name}`), 0, 12),
    uuid: (name) => versioned(derive(`${scope}\n${name}`), 8),
  };
}

const HMAC_BLOCK = 64;

/**
 * HMAC-SHA-256 (RFC 2104) for one key. By two calls that hash at once, which takes a tenth of the time of `createHmac`: that makes two objects, one for
 * the key and one for the hash.
 */
export function hmacSha256(key: Uint8Array): (text: string) => Buffer {
  const block = Buffer.alloc(HMAC_BLOCK);
  block.set(key.length > HMAC_BLOCK ? hash('sha256', key, 'buffer') : key);
  const inner = block.map((byte) => byte ^ 0x36);
  const outer = Buffer.alloc(HMAC_BLOCK + 32);
  outer.set(block.map((byte) => byte ^ 0x5c));
  return (text) => {
    const input = Buffer.allocUnsafe(HMAC_BLOCK + Buffer.byteLength(text));
    input.set(inner);
    input.write(text, HMAC_BLOCK);
    outer.set(hash('sha256', input, 'buffer'), HMAC_BLOCK);
    return hash('sha256', outer, 'buffer');
  };
}
