import { createHmac } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createSystemRandom } from '../../src/adapters/system/system-random.ts';
import {
  derivedIds,
  directConversationId,
  eventId,
  formatUuid,
  hmacSha256,
  OBJECT_ID,
  UUID,
  uuidv5,
  uuidv7,
} from '../../src/kernel/ids.ts';

const UUID_V8 = /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
/** An append has at most so many events. */
const EVENTS_MAX = 4_096;

const random = createSystemRandom();
const objectId = fc.string({ unit: fc.constantFrom(...'0123456789abcdef'), minLength: 24, maxLength: 24 });
const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
/** Ids of commands as they occur: random ones (version 7), and derived ones of requests with an `Idempotency-Key` (version 8). */
const commandId = fc.oneof(
  fc.tuple(fc.nat(2 ** 47), bytes(10)).map(([atMs, tail]) => uuidv7(atMs, tail)),
  fc.tuple(bytes(32), fc.string()).map(([secret, scope]) => derivedIds(secret, scope).uuid('command', 0)),
);

describe('UUIDs', () => {
  it('have their 16 bytes in hexadecimal digits', () => {
    const property = fc.property(bytes(16), (all) => {
      expect(formatUuid(all)).toMatch(UUID);
      expect(formatUuid(all).replaceAll('-', '')).toBe(Buffer.from(all).toString('hex'));
    });
    fc.assert(property);
  });

  it('of version 5 match the example of RFC 9562, appendix A.4', () => {
    expect(uuidv5('6ba7b810-9dad-11d1-80b4-00c04fd430c8', 'www.example.com')).toBe(
      '2ed6657d-e927-568b-95e1-2665a8aea6a2',
    );
  });

  it('of version 7 match the example of RFC 9562, appendix A.6', () => {
    const tail = Buffer.from('0cc318c4dc0c0c07398f', 'hex');
    expect(uuidv7(1_645_557_742_000, tail)).toBe('017f22e2-79b0-7cc3-98c4-dc0c0c07398f');
  });

  it('of version 7 begin with their time and sort by it', () => {
    const [earlier, later] = [random.uuid(1_645_557_742_000), random.uuid(1_645_557_742_001)];
    expect(earlier).toMatch(/^017f22e2-79b0-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(earlier < later).toBe(true);
    const property = fc.property(fc.nat(2 ** 47), fc.nat(2 ** 47), bytes(10), bytes(10), (a, b, left, right) => {
      if (a !== b) expect(uuidv7(a, left) < uuidv7(b, right)).toBe(a < b);
    });
    fc.assert(property);
  });
});

describe('random ids', () => {
  it('are unique and well-formed', () => {
    const count = 100_000;
    const objectIds = Array.from({ length: count }, () => random.ids.objectId('x'));
    const uuids = Array.from({ length: count }, () => random.ids.uuid('x', 0));
    expect(objectIds.every((id) => OBJECT_ID.test(id))).toBe(true);
    expect(uuids.every((id) => UUID.test(id))).toBe(true);
    expect(new Set(objectIds).size).toBe(count);
    expect(new Set(uuids).size).toBe(count);
  });
});

describe('derived ids', () => {
  it('are the same for the same secret, scope and name, and differ otherwise', () => {
    const secret = Buffer.alloc(32, 1);
    const [one, same, other] = [derivedIds(secret, 'a'), derivedIds(secret, 'a'), derivedIds(secret, 'b')];
    expect(one.objectId('user')).toBe(same.objectId('user'));
    expect(one.uuid('command', 1)).toBe(same.uuid('command', 2));
    expect(new Set([one.objectId('user'), one.objectId('x'), other.objectId('user')]).size).toBe(3);
    expect(derivedIds(Buffer.alloc(32, 2), 'a').objectId('user')).not.toBe(one.objectId('user'));
    expect(one.objectId('user')).toMatch(OBJECT_ID);
    expect(one.uuid('command', 1)).toMatch(UUID_V8);
  });
});

describe('event ids', () => {
  const idsOf = (command: string) => Array.from({ length: EVENTS_MAX }, (_, index) => eventId(command, index));

  it('are distinct UUIDs of version 8 for all events of a command, and differ from the id of the command', () => {
    const property = fc.property(commandId, (command) => {
      const ids = idsOf(command);
      expect(ids.filter((id) => !UUID_V8.test(id))).toEqual([]);
      expect(new Set([command, ...ids]).size).toBe(EVENTS_MAX + 1);
    });
    fc.assert(property, { numRuns: 20 });
  });

  it('are the same when a command is repeated', () => {
    const property = fc.property(commandId, fc.nat(EVENTS_MAX - 1), (command, index) => {
      expect(eventId(command, index)).toBe(eventId(command, index));
    });
    fc.assert(property);
    // Stored events have these ids, so they must never change.
    expect(eventId('017f22e2-79b0-7cc3-98c4-dc0c0c07398f', 0)).toBe('017f22e2-79b0-8cc3-98c4-dc0c0c07398e');
    expect(eventId('017f22e2-79b0-7cc3-98c4-dc0c0c07398f', 4_095)).toBe('017f22e2-79b0-8cc3-98c4-dc0c0c07298f');
  });

  it('differ between commands', () => {
    const commands = Array.from({ length: 1_000 }, () => random.uuid(0));
    const ids = commands.flatMap((command) => [0, 1, 2].map((index) => eventId(command, index)));
    expect(new Set(ids).size).toBe(3_000);
  });
});

describe('the id of a 1-1 conversation', () => {
  it('is the same in either order of the users, and different for other users', () => {
    fc.assert(
      fc.property(objectId, objectId, objectId, (a, b, c) => {
        expect(directConversationId(a, b)).toBe(directConversationId(b, a));
        expect(directConversationId(a, b)).toMatch(OBJECT_ID);
        if (b !== c) expect(directConversationId(a, b)).not.toBe(directConversationId(a, c));
      }),
    );
  });
});

it('HMAC-SHA-256 is that of RFC 2104, for keys shorter and longer than a block', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 200 }),
      fc.array(fc.string({ unit: 'binary' }), { maxLength: 3 }),
      (key, texts) => {
        const hmac = hmacSha256(key);
        const expected = texts.map((text) => createHmac('sha256', key).update(text).digest('hex'));
        expect(texts.map((text) => hmac(text).toString('hex'))).toEqual(expected);
      },
    ),
    { numRuns: 30 },
  );
});
